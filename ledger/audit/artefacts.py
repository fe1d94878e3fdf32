"""Invariant 4: a succeeded job's artefacts exist with the recorded size and hash; other jobs have none.

The same holds for the objects of uploaded images.
"""

from collections.abc import Collection, Iterator, Mapping

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from ledger.audit import previews
from ledger.audit.violation import Bounds, Violation
from ledger.models import Artefact, Edit, Image, Job, Prior
from ledger.states import State
from ledger.storage import NoSuchObject, Storage, StoredObject

ADAPTERS = ("adapter", "snapshot")
COUNTED = ("adapter", "manifest", "image", "source_mask")


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """Violations in the rows: artefacts of jobs that did not succeed, and succeeded jobs without their artefacts."""
    early = select(Artefact.id, Job.id, Job.state).join(Job, Job.id == Artefact.job_id)
    for artefact_id, job_id, state in session.execute(early.where(Job.state != State.SUCCEEDED)):
        yield Violation(4, f"artefact {artefact_id}", f"exists, although its job {job_id} is {state}")
    yield from _incomplete(session)
    yield from _priors(session)


def recorded(session: Session) -> dict[str, StoredObject]:
    """All recorded objects, by the name of their artefact or image, or of the running job whose preview they are."""
    objects: dict[str, StoredObject] = {}
    for kind, table in (("artefact", Artefact), ("image", Image)):
        rows = session.execute(select(table.id, table.key, table.size, table.sha256))
        objects |= {f"{kind} {row_id}": StoredObject(key, size, sha256) for row_id, key, size, sha256 in rows}
    return objects | previews.recorded(session)


def broken_objects(storage: Storage, recorded: Mapping[str, StoredObject]) -> Iterator[tuple[str, str]]:
    """Names whose objects are not as recorded, with the reason. Raises StorageError if the storage is unavailable."""
    for name, wanted in recorded.items():
        try:
            found = storage.read_back(wanted.key)
        except NoSuchObject:
            yield name, f"has no object {wanted.key}"
            continue
        if found.size != wanted.size:
            yield name, f"should have {wanted.size} bytes, but {wanted.key} has {found.size}"
        elif found.sha256 != wanted.sha256:
            yield name, f"should have the SHA-256 {wanted.sha256}, but {wanted.key} has {found.sha256}"


def still_recorded(
    session: Session, before: Mapping[str, StoredObject], broken: Collection[tuple[str, str]]
) -> Iterator[Violation]:
    """Violations for the broken objects that are still recorded as they were `before`."""
    now = recorded(session) if broken else {}
    for name, reason in broken:
        if now.get(name) == before[name]:
            yield Violation(4, name, reason)


def _incomplete(session: Session) -> Iterator[Violation]:
    """Succeeded jobs must have all their artefacts.

    They are an adapter and a manifest (priors), one image for each prompt and seed (edits), or a mask. Captions have
    none.
    """
    counts = [func.count(Artefact.id).filter(Artefact.role == role) for role in COUNTED]
    succeeded = (
        select(Job, Edit.target_prompts, *counts)
        .outerjoin(Edit, Edit.id == Job.edit_id)
        .outerjoin(Artefact, Artefact.job_id == Job.id)
        .where(Job.state == State.SUCCEEDED)
        .group_by(Job.id, Edit.id)
    )
    for job, prompts, *found in session.execute(succeeded):
        images = len(prompts or ()) * len(job.parameters.get("seeds") or (0,))
        wanted = {
            "prior": [1, 1, 0, 0],
            "edit": [0, 0, images, 0],
            "captions": [0, 0, 0, 0],
            "mask": [0, 0, 0, 1],
        }[job.kind]
        for role, present, due in zip(COUNTED, found, wanted, strict=True):
            if present < due:
                yield Violation(4, f"job {job.id}", f"succeeded with {present} of {due} artefacts of the role {role}")


def _priors(session: Session) -> Iterator[Violation]:
    """A prior must be ready if and only if one of its jobs succeeded, and must name that job's adapter or snapshot."""
    learned = select(Job.id).where(Job.prior_id == Prior.id, Job.kind == "prior", Job.state == State.SUCCEEDED)
    same = and_(Artefact.key == Prior.adapter_key, Artefact.sha256 == Prior.adapter_sha256)
    adapter = learned.join(Artefact, Artefact.job_id == Job.id).where(Artefact.role.in_(ADAPTERS), same)
    ready = Prior.ready_at.is_not(None)
    for prior_id in session.scalars(select(Prior.id).where(ready, ~adapter.exists())):
        yield Violation(4, f"prior {prior_id}", "is ready, but its adapter is not an artefact of a succeeded job")
    for prior_id in session.scalars(select(Prior.id).where(~ready, learned.exists())):
        yield Violation(4, f"prior {prior_id}", "is not ready, although its job succeeded")
