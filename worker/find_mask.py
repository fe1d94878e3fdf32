"""A job of a mask: an image in, the silhouette of the subject in it out."""

import io
from functools import partial

import numpy as np
from PIL import Image

from ledger import images, jobs, subjects
from lipe_core.captioning.captions import plain_caption
from lipe_core.masks.border import cut_off_sides
from lipe_core.methods.nima.find import find_subject
from lipe_core.methods.request import EditRequest
from lipe_core.pixels import to_mask
from lipe_core.subject import Subject
from worker.attempt import Attempt, ClaimLost
from worker.context import WorkerContext
from worker.gpu import reduced_memory, with_memory_fallbacks
from worker.job_result import File, JobResult
from worker.job_warnings import check_subject
from worker.output_format import MASK_FORMAT


def find_mask(context: WorkerContext, attempt: Attempt) -> JobResult:
    """Find the job's mask. Raises GpuOutOfMemory, NoSuchObject, StorageError and what `Attempt.report` raises."""
    model = context.gpu.base_model()
    with attempt.stage("loading"):
        image, subject = _load(context, attempt)
    prompt = plain_caption(image, subject)
    check_subject(context, attempt, EditRequest(image, prompt, (prompt,), subject))

    def find() -> Image.Image:
        return find_subject(model, image, subject, prompt, context.gpu.segmenter())

    def find_in_reduced_memory() -> Image.Image:
        context.gpu.free_kept()
        with reduced_memory(model):
            return find()

    with attempt.stage("finding"):
        mask = with_memory_fallbacks([find, find_in_reduced_memory])
    resolved = {
        "base_model": context.gpu.name,
        "fingerprint": model.fingerprint,
        "source_prompt": prompt,
        "segmenter": context.gpu.segmenter_name,
        "share": round(float(np.asarray(mask).mean()) / 255, 4),
        "cut_off": cut_off_sides(to_mask(mask)),
    }
    content = MASK_FORMAT.encode(mask)
    return JobResult([File("source_mask", "mask.png", MASK_FORMAT.content_type, content)], resolved)


def _load(context: WorkerContext, attempt: Attempt) -> tuple[Image.Image, Subject]:
    project_id = attempt.claim.project_id
    with context.begin() as session:
        job = jobs.get(session, project_id, attempt.claim.job_id)
        subject = subjects.get(session, project_id, job.subject_id) if job is not None else None
        row = images.get(session, project_id, job.image_id) if job is not None and job.image_id else None
    if subject is None or row is None:
        raise ClaimLost  # the image or the subject was erased, and the job with it
    content = attempt.retry_storage(partial(context.input, row.key, row.sha256))
    return Image.open(io.BytesIO(content)).convert("RGB"), Subject(subject.token, subject.class_noun)
