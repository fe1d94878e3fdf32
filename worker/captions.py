"""A job of captions: images of a subject in, a caption for each out, checked by CLIP."""

import io
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from PIL import Image

from ledger import images, jobs, subjects
from lipe_core.errors import InvalidRequest
from lipe_core.subject import Subject
from worker.attempt import Attempt, ClaimLost
from worker.captioner import CaptionerUnavailable, load_captioner
from worker.context import WorkerContext
from worker.job_result import JobResult
from worker.job_warnings import check_captions
from worker.target_prompts import target_prompt

NO_CAPTIONER = "this service has no model that writes captions: its operator sets LIPE_CAPTIONER"


@dataclass(frozen=True)
class CaptionInputs:
    """The images of the request by their ids, in its order."""

    subject: Subject
    images: dict[str, Image.Image]
    action: str | None


def write_captions(context: WorkerContext, attempt: Attempt) -> JobResult:
    """Write the job's captions. Raises CaptionerUnavailable, InvalidRequest and what `Attempt.report` raises."""
    if context.caption_model is None:
        raise CaptionerUnavailable(NO_CAPTIONER)
    base = context.gpu.base_model()
    with attempt.stage("loading"):
        inputs = _load(context, attempt)
        load_captioner(attempt, context.caption_model, base)
    loaded, subject = list(inputs.images.values()), inputs.subject
    with attempt.stage("captioning", 0, len(loaded)):
        written = context.caption_model.captions(loaded, subject, base=base, on_step=attempt.reporter("captioning"))
        captions = [base.shortened(caption) for caption in written]
    phrases = check_captions(context, attempt, loaded, captions, subject)
    results: list[dict[str, Any]] = []
    with attempt.stage("writing"):
        for image_id, caption, checked in zip(inputs.images, captions, phrases, strict=True):
            prompt = target_prompt(context, attempt, base, caption, inputs.action, subject) if inputs.action else None
            results.append(
                {
                    "image_id": image_id,
                    "caption": caption,
                    "phrases": [asdict(phrase) | {"is_doubtful": phrase.is_doubtful} for phrase in checked],
                    "target_prompt": prompt,
                }
            )
    return JobResult([], {"captioner": context.caption_model.name, "captions": results})


def _load(context: WorkerContext, attempt: Attempt) -> CaptionInputs:
    project_id = attempt.claim.project_id
    with context.begin() as session:
        job = jobs.get(session, project_id, attempt.claim.job_id)
        subject = subjects.get(session, project_id, job.subject_id) if job is not None else None
        if job is None or subject is None:
            raise ClaimLost
        wanted: list[str] = job.parameters["image_ids"]
        rows = {row.id: row for row in images.get_many(session, project_id, wanted)}
    if missing := [image_id for image_id in wanted if image_id not in rows]:
        raise InvalidRequest(f"the image {missing[0]} was deleted: ask for the captions of the others")
    loaded = {}
    for number, image_id in enumerate(wanted, start=1):
        content = attempt.retry_storage(partial(context.input, rows[image_id].key, rows[image_id].sha256))
        loaded[image_id] = Image.open(io.BytesIO(content)).convert("RGB")
        attempt.report("loading", number, len(wanted))
    return CaptionInputs(Subject(subject.token, subject.class_noun), loaded, job.parameters.get("action"))
