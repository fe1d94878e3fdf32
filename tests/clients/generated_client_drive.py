"""Trains a prior and edits an image with the client that openapi-python-client generated, by the service of LIPE_URL.

`python drive.py REFERENCE... SOURCE`, in the generator's environment.
"""

import io
import os
import sys
import time
from pathlib import Path

import httpx
from generated_client import AuthenticatedClient
from generated_client.api.edits import create_edit, get_edit
from generated_client.api.images import upload_image
from generated_client.api.jobs import get_job
from generated_client.api.priors import train_prior
from generated_client.api.subjects import create_subject, get_subject
from generated_client.models import (
    DownloadableEdit,
    ImageBody,
    JobBody,
    NewEdit,
    NewPrior,
    NewSubject,
    NimaParameters,
    PriorParameters,
    ProblemDocument,
    RegularizationParameters,
    SdeditParameters,
    SubjectBody,
    UploadImageFilesBody,
)
from generated_client.types import UNSET, File

POLL_SECONDS = 0.2


def upload(body: UploadImageFilesBody | File) -> str:
    image = upload_image.sync(client=client, body=body)
    assert isinstance(image, ImageBody), image
    return image.id


def finished(job: object) -> JobBody:
    assert isinstance(job, JobBody), job
    while job.status in ("queued", "running"):
        time.sleep(POLL_SECONDS)
        job = get_job.sync(job.id, client=client)
        assert isinstance(job, JobBody), job
    assert job.status == "succeeded", job.error
    return job


def results(body: NewEdit) -> DownloadableEdit:
    job = finished(create_edit.sync(client=client, body=body))
    edit = get_edit.sync(str(job.edit_id), client=client)
    assert isinstance(edit, DownloadableEdit), edit
    return edit


client = AuthenticatedClient(os.environ["LIPE_URL"], token=os.environ["LIPE_API_KEY"], raise_on_unexpected_status=True)
*references, source = (Path(file).read_bytes() for file in sys.argv[1:])
reference_ids = [upload(UploadImageFilesBody(file=File(io.BytesIO(content), "rex.png"))) for content in references]
rex = create_subject.sync(client=client, body=NewSubject(name="Rex", class_noun="dog", references=reference_ids))
assert isinstance(rex, SubjectBody), rex

small = RegularizationParameters(count=2, steps=2)
body = NewPrior(parameters=PriorParameters(steps=4, rank=2), regularization=small)
finished(train_prior.sync(rex.id, client=client, body=body))

prompt = f"a photo of {rex.token} dog jumping"
minimal = NewEdit(image_id=upload(File(io.BytesIO(source))), subject_id=rex.id, prompt=prompt)
assert minimal.to_dict().keys() == {"image_id", "subject_id", "prompt"}
assert minimal.parameters is UNSET
minimal.parameters = NimaParameters(steps=2)
(result,) = results(minimal).results
assert httpx.get(result.image.url).raise_for_status().content.startswith(b"\x89PNG")
sdedit = NewEdit.from_dict({**minimal.to_dict(), "method": "sdedit", "seeds": [1, 2]})
sdedit.parameters = SdeditParameters(steps=2, strength=0.5)
assert [result.seed for result in results(sdedit).results] == [1, 2]

problem = get_subject.sync("sub_unknown", client=client)
assert isinstance(problem, ProblemDocument), problem
assert (problem.status, problem.retryable) == (404, False)
