"""The objects that a job will read from the storage, in the order in which it reads them."""

from sqlalchemy.orm import Session

from ledger import images, jobs, subjects
from ledger.models import Image, Job
from worker.edit_rows import find_rows
from worker.prefetched import Needed


def needed_objects(session: Session, project_id: str, job_id: str) -> list[Needed]:
    """The objects of the job; none if it no longer exists. Files of an import and checkpoints are not among them."""
    job = jobs.get(session, project_id, job_id)
    if job is None:
        return []
    if job.kind == "edit":
        return _of_edit(session, job)
    return [Needed(image.key, image.sha256) for image in _images(session, job)]


def _of_edit(session: Session, job: Job) -> list[Needed]:
    rows = find_rows(session, job.project_id, job.id)
    if rows is None:
        return []
    found = [rows.image, rows.mask, *rows.references]
    adapters = [
        Needed(prior.adapter_key, prior.adapter_sha256)
        for prior in (rows.prior, rows.mix)
        if prior is not None and prior.adapter_key is not None and prior.adapter_sha256 is not None
    ]
    return [Needed(image.key, image.sha256) for image in found if image is not None] + adapters


def _images(session: Session, job: Job) -> list[Image]:
    """The images that a training, captions or a mask read."""
    if job.kind == "captions":
        return _existing(session, job, job.parameters["image_ids"])
    if job.kind == "mask":
        return _existing(session, job, [job.image_id] if job.image_id else [])
    subject = subjects.get(session, job.project_id, job.subject_id)
    if subject is None or "import" in job.parameters:
        return []
    return [reference.image for reference in subject.references]


def _existing(session: Session, job: Job, image_ids: list[str]) -> list[Image]:
    found = [images.get(session, job.project_id, image_id) for image_id in image_ids]
    return [image for image in found if image is not None]
