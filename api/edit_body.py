"""The bodies of an edit and its results in answers."""

from collections.abc import Iterable, Mapping

from api.artefact_body import ArtefactBody, artefact_body, new_artefact_body
from api.fields import Moment, ResponseModel
from api.job_body import JobWarning
from api.mixing import MixBody, mix_body
from api.service import Service
from ledger import partial_results
from ledger.models import Artefact, Edit, Job
from ledger.states import State


class EditBody(ResponseModel):
    """The request for an edit."""

    id: str
    """Id of the edit."""

    subject_id: str
    """Id of the subject."""

    prior_id: str | None
    """Id of the prior; null if the edit uses the base model alone, or if the prior was deleted."""

    prior_deleted_at: Moment | None
    """Time at which the prior of the edit, or that of its mix, was deleted, in UTC; null if neither was."""

    mix: MixBody | None
    """The second prior that the edit mixes in; null without one."""

    image_id: str
    """Id of the source image."""

    mask_image_id: str | None
    """Id of the mask that the request gave; null without one."""

    method: str
    """Editing method."""

    source_prompt: str | None
    """Description of the source image from the request; null without one."""

    target_prompts: list[str]
    """Target prompts, in the order of the request. That of an edit by `action` is the one that the service makes, as
    soon as the job has made it."""

    created_at: Moment
    """Time at which the edit was created, in UTC."""

    warnings: list[JobWarning]
    """Reasons why the results will probably be poor: the warnings of the newest job."""

    @classmethod
    def of(cls, edit: Edit, warnings: Iterable[Mapping[str, str]]) -> "EditBody":
        """The body of a row, with the warnings of its newest job."""
        columns = {name: getattr(edit, name) for name in EditBody.model_fields if name not in {"warnings", "mix"}}
        return EditBody.model_validate(columns | {"warnings": list(warnings), "mix": mix_body(edit)})


class EditResult(ResponseModel):
    """One edited image. Masks are white where the image may change. `uncomposited` is the image before the source's
    background was restored."""

    prompt: str | None
    """Target prompt of this image."""

    seed: int | None
    """Seed of this image. The same seed and settings give the same image again."""

    image: ArtefactBody
    """The edited image."""

    source_mask: ArtefactBody | None = None
    """Mask of the subject in the source image, if the method makes one."""

    edit_mask: ArtefactBody | None = None
    """Mask of the region that may change, white where it may, if the method makes one."""

    uncomposited: ArtefactBody | None = None
    """The image before the source's background was restored, if the request has it in `include`."""


class DownloadableEdit(EditBody):
    """An edit with its newest job and, when that has succeeded, one result for each prompt and seed."""

    job_id: str | None
    """Id of the newest job; null if it was deleted."""

    status: State | None
    """State of the newest job; null if it was deleted."""

    action: str | None
    """What the subject does in the wanted image, from the request; null if the request gave prompts."""

    used_source_prompt: str | None
    """Description of the source image that the job used: that of the request, or the one that the service wrote. Null
    until the job has succeeded."""

    results: list[EditResult]
    """One result for each prompt and seed. While the job runs, those that it has stored so far; a job that then ends
    without success has none."""


def edit_files(service: Service, job: Job | None, stored: list[Artefact]) -> list[ArtefactBody]:
    """The files of an edit: those that its job ended with, or those that the running job has stored so far."""
    if job is not None and job.status is State.RUNNING and (partial := partial_results.read(job)):
        return [new_artefact_body(service, file) for _, made in sorted(partial.files.items()) for file in made]
    return [artefact_body(service, artefact) for artefact in stored]


def edit_results(files: list[ArtefactBody]) -> list[EditResult]:
    """One result for each image, in the job's order, with the masks of the same prompt and seed."""
    grouped: dict[tuple[str | None, int | None], dict[str, ArtefactBody]] = {}
    for file in files:
        key = file.details.get("target_prompt"), file.details.get("seed")
        grouped.setdefault(key, {})[file.role] = file
    shared = grouped.get((None, None), {})
    return [
        EditResult.model_validate({"prompt": prompt, "seed": seed, **shared, **bodies})
        for (prompt, seed), bodies in grouped.items()
        if "image" in bodies
    ]
