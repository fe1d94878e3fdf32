"""The body of a prior in answers, with its files and its snapshots."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from api.artefact_body import ArtefactBody, artefact_body
from api.fields import Moment, ResponseModel
from api.job_body import JobWarning
from api.service import Service
from ledger import artefacts, consents, jobs, snapshots
from ledger.models import Artefact, Prior
from ledger.snapshots import Snapshot


class TrainedModel(ResponseModel):
    """The base model that a prior belongs to."""

    name: str
    """Name of the base model when the prior was trained."""

    fingerprint: str
    """Fingerprint of its weights: the prior works with these only."""


class PriorBody(ResponseModel):
    """A prior; `ready_at` and `adapter_sha256` are null until its job has succeeded."""

    id: str
    """Id of the prior."""

    subject_id: str
    """Id of the subject."""

    adapter_sha256: str | None
    """SHA-256 of the adapter file that edits use, in hexadecimal; null until the training has succeeded."""

    base_model: TrainedModel | None
    """Base model that it was trained on; null until the training has succeeded."""

    reference_ids: list[str]
    """Ids of the images that the prior was trained on, in the order of its captions. Some may be deleted since. Empty
    until the training has succeeded."""

    ready_at: Moment | None
    """Time at which the training succeeded, in UTC; null until then."""

    created_at: Moment
    """Time at which the training was requested, in UTC."""

    warnings: list[JobWarning]
    """Reasons why edits with this prior will probably be poor: the warnings of its newest job."""

    @classmethod
    def of(cls, prior: Prior, warnings: Iterable[Mapping[str, str]]) -> "PriorBody":
        """The body of a row, with the warnings of its newest job."""
        made = {"warnings": list(warnings), "base_model": _trained_model(prior.manifest or {})}
        columns = {name: getattr(prior, name) for name in PriorBody.model_fields if name not in made}
        return PriorBody.model_validate(columns | made)


class SnapshotBody(ResponseModel):
    """The prior as it was after a step of its training. Edits use the chosen one."""

    step: int
    """Number of training steps. Name it to choose this snapshot."""

    identity: float
    """How well the prior knows the subject, from its references: 1 - loss / loss of the base model. 0: no better than
    the base model; 1: perfect. Compare it only between snapshots of one prior."""

    flexibility: float | None
    """How much of the base model's knowledge of the class is kept: 1 - distance to its predictions / its own loss. 1:
    all. It may be below 0. Null: the training used no images of the class."""

    is_chosen: bool
    """Whether edits use this snapshot. The last one is chosen at first."""

    is_recommended: bool
    """Whether it is the earliest one whose identity is at most 5 % below the best. A hint: look at the previews."""

    adapter_sha256: str
    """SHA-256 of its adapter file, in hexadecimal. `resolved.adapter_sha256` of an edit's job names the one used."""

    preview: ArtefactBody | None
    """Preview image of this step; null if the training made none at this step."""


class DownloadablePrior(PriorBody):
    """A prior with its newest job and, when ready, its manifest, its files and its snapshots."""

    job_id: str | None
    """Id of the newest job; null if it was deleted."""

    manifest: dict[str, Any] | None
    """Base model and settings of the training; null until it has succeeded."""

    artefacts: list[ArtefactBody]
    """Files: adapter and manifest, the other snapshots with theirs, and previews. Empty until the training has
    succeeded, and after the end of the consent of the person shown."""

    snapshots: list[SnapshotBody]
    """The prior after several steps of its training, first step first. Empty if there is no choice: for an imported
    prior, for a training without snapshots, and where `artefacts` is empty."""


def downloadable_prior(service: Service, session: Session, prior: Prior) -> DownloadablePrior:
    """The body of a row, with signed URLs of its files."""
    job = jobs.of_prior(session, prior.project_id, prior.id)
    is_withheld = job is None or consents.ended(session, [prior.subject_id])
    files = [] if job is None or is_withheld else artefacts.of_job(session, prior.project_id, job.id)
    found = snapshots.of_prior(prior, files)
    return DownloadablePrior(
        **PriorBody.of(prior, job.warnings if job else ()).model_dump(),
        job_id=job.id if job else None,
        manifest=prior.manifest,
        artefacts=[_file(service, file, found) for file in files],
        snapshots=[_snapshot(service, snapshot) for snapshot in found],
    )


def _trained_model(manifest: Mapping[str, Any]) -> TrainedModel | None:
    name, fingerprint = manifest.get("base_model"), manifest.get("fingerprint")
    return TrainedModel(name=str(name), fingerprint=str(fingerprint)) if fingerprint else None


def _snapshot(service: Service, snapshot: Snapshot) -> SnapshotBody:
    return SnapshotBody(
        step=snapshot.step,
        identity=snapshot.identity,
        flexibility=snapshot.flexibility,
        is_chosen=snapshot.is_chosen,
        is_recommended=snapshot.is_recommended,
        adapter_sha256=snapshot.adapter.sha256,
        preview=artefact_body(service, snapshot.preview) if snapshot.preview else None,
    )


def _file(service: Service, file: Artefact, found: Sequence[Snapshot]) -> ArtefactBody:
    role, name = snapshots.role_and_name(file, found)
    url = service.storage.presign_get(file.key, filename=name)
    return artefact_body(service, file).model_copy(update={"role": role, "name": name, "url": url})
