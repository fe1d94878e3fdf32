"""The database rows of an edit job."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from ledger import edits, images, jobs, partial_results, priors, projects, subjects
from ledger.models import Edit, Image, Prior, Subject
from ledger.partial_results import PartialResults
from ledger.projects import ResultDefaults
from lipe_core.methods.registry import METHODS


@dataclass(frozen=True)
class EditRows:
    """The rows that an edit reads. A method that uses no prior has no `prior` and no `mix`."""

    edit: Edit
    subject: Subject
    image: Image
    mask: Image | None
    prior: Prior | None
    mix: Prior | None
    parameters: dict[str, Any]
    partial: PartialResults | None
    archive: bytes | None
    project: ResultDefaults

    @property
    def references(self) -> list[Image]:
        """The references that the method may read, in their order."""
        method = METHODS.get(self.edit.method)
        reads = method is not None and method.reads_references
        return [reference.image for reference in self.subject.references] if reads else []


def find_rows(session: Session, project_id: str, job_id: str) -> EditRows | None:
    """The rows of the job; None if the job, the subject or the image no longer exist."""
    job = jobs.get(session, project_id, job_id)
    edit = edits.get(session, project_id, job.edit_id) if job is not None and job.edit_id else None
    if job is None or edit is None:
        return None
    subject = subjects.get(session, project_id, edit.subject_id)
    image = images.get(session, project_id, edit.image_id)
    if subject is None or image is None:
        return None
    method = METHODS.get(edit.method)
    uses_prior = method is None or method.has_prior
    return EditRows(
        edit,
        subject,
        image,
        images.get(session, project_id, edit.mask_image_id) if edit.mask_image_id else None,
        priors.get(session, project_id, edit.prior_id) if edit.prior_id and uses_prior else None,
        priors.get(session, project_id, edit.mix_prior_id) if edit.mix_prior_id and uses_prior else None,
        job.parameters,
        partial_results.read(job),
        images.credentials(session, project_id, edit.image_id),
        projects.result_defaults(session, project_id),
    )
