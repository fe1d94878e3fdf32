"""Snapshots of a prior: its adapter after some steps of the training, of which edits use one, the chosen.

Until another one is chosen, it is the last step's. The adapters and their scores are artefacts of the training. They
stay until the prior is erased, so that each choice can be undone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import Artefact, Job, Prior
from ledger.states import State

ADAPTER, MANIFEST, SNAPSHOT, SNAPSHOT_MANIFEST = "adapter", "manifest", "snapshot", "snapshot_manifest"
ROLES = {ADAPTER: ADAPTER, SNAPSHOT: ADAPTER, MANIFEST: MANIFEST, SNAPSHOT_MANIFEST: MANIFEST}


@dataclass(frozen=True)
class Snapshot:
    """One adapter of a prior, its scores (`docs/snapshots.md`), and the preview image of its step, if there is one."""

    step: int
    identity: float
    flexibility: float | None
    is_recommended: bool
    is_chosen: bool
    adapter: Artefact
    preview: Artefact | None


class NoSuchSnapshot(Exception):
    """The prior has no snapshot of that step. `steps` are those that it has."""

    def __init__(self, steps: list[int]) -> None:
        super().__init__(f"there are snapshots of the steps {steps}")
        self.steps = steps


class PriorNotReady(Exception):
    """The prior's training has not succeeded."""


def of_prior(prior: Prior, artefacts: Sequence[Artefact]) -> list[Snapshot]:
    """The prior's snapshots among the artefacts of its training, first step first.

    Empty for an imported prior, and for a training without snapshots.
    """
    previews = {each.details.get("step"): each for each in artefacts if each.role == "preview"}
    found = [
        Snapshot(
            step=each.details["step"],
            identity=each.details["identity"],
            flexibility=each.details["flexibility"],
            is_recommended=each.details["is_recommended"],
            is_chosen=each.key == prior.adapter_key,
            adapter=each,
            preview=previews.get(each.details["step"]),
        )
        for each in artefacts
        if each.role in (ADAPTER, SNAPSHOT) and "step" in each.details
    ]
    return sorted(found, key=lambda snapshot: snapshot.step)


def role_and_name(file: Artefact, snapshots: Sequence[Snapshot]) -> tuple[str, str]:
    """How to present a file of the prior: the chosen snapshot has the roles and names of a prior's two files.

    A folder with these two can be used as it is. The other snapshots' names say their steps.
    """
    step, role = file.details.get("step"), ROLES.get(file.role)
    if role is None or not any(snapshot.step == step for snapshot in snapshots):
        return file.role, file.name
    name = file.name.removeprefix(f"step-{step}-")
    if any(snapshot.is_chosen and snapshot.step == step for snapshot in snapshots):
        return role, name
    return {"adapter": SNAPSHOT, "manifest": SNAPSHOT_MANIFEST}[role], f"step-{step}-{name}"


def choose(session: Session, project_id: str, prior_id: str, step: int) -> Prior | None:
    """Let edits that begin from now on use the prior as it was after `step`. None: the project has no such prior.

    Raises PriorNotReady and NoSuchSnapshot.
    """
    mine = (Prior.project_id == project_id, Prior.id == prior_id)
    prior = session.scalars(select(Prior).where(*mine).with_for_update()).first()
    if prior is None:
        return None
    if prior.ready_at is None or prior.manifest is None:
        raise PriorNotReady(prior_id)
    found = of_prior(prior, artefacts_of(session, project_id, prior_id))
    chosen = next((each.adapter for each in found if each.step == step), None)
    if chosen is None:
        raise NoSuchSnapshot([each.step for each in found])
    prior.adapter_key, prior.adapter_sha256 = chosen.key, chosen.sha256
    prior.manifest = {**prior.manifest, "adapter_sha256": chosen.sha256}
    session.flush()
    return prior


def artefacts_of(session: Session, project_id: str, prior_id: str) -> list[Artefact]:
    """The artefacts of the prior's training, in the job's order. Empty until it has succeeded."""
    learned = select(Job.id).where(Job.prior_id == prior_id, Job.kind == "prior", Job.state == State.SUCCEEDED)
    mine = (Artefact.project_id == project_id, Artefact.job_id.in_(learned))
    return list(session.scalars(select(Artefact).where(*mine).order_by(Artefact.job_id, Artefact.position)))
