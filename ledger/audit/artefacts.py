"""Invariant 4: `succeeded` means every artefact exists with its recorded size and hash; none is reachable before."""

from collections.abc import Collection, Iterator, Mapping

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from ledger.artefacts import Artefact
from ledger.audit import previews
from ledger.audit.violation import Bounds, Violation
from ledger.edits import Edit
from ledger.jobs import Job
from ledger.priors import Prior
from ledger.states import State
from ledger.storage import NoSuchObject, Storage, StoredObject

COUNTED = ("adapter", "manifest", "image")


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """What the rows alone tell: files before a success, and successes without their files."""
    early = select(Artefact.id, Job.id, Job.state).join(Job, Job.id == Artefact.job_id)
    for artefact_id, job_id, state in session.execute(early.where(Job.state != State.SUCCEEDED)):
        yield Violation(4, f"artefact {artefact_id}", f"is reachable, though its job {job_id} is {state}")
    yield from _incomplete(session)
    yield from _priors(session)


def recorded(session: Session) -> dict[str, StoredObject]:
    """All objects as they should be, by whose they are: artefacts, and the previews that running jobs show."""
    rows = session.execute(select(Artefact.id, Artefact.key, Artefact.size, Artefact.sha256))
    objects = {f"artefact {artefact_id}": StoredObject(key, size, sha256) for artefact_id, key, size, sha256 in rows}
    return objects | previews.recorded(session)


def broken_objects(storage: Storage, recorded: Mapping[str, StoredObject]) -> Iterator[tuple[str, str]]:
    """Whose objects are not as recorded, with the reason. Raises StorageError where the storage is away."""
    for thing, wanted in recorded.items():
        try:
            found = storage.read_back(wanted.key)
        except NoSuchObject:
            yield thing, f"has no object {wanted.key}"
            continue
        if found.size != wanted.size:
            yield thing, f"should have {wanted.size} bytes, but {wanted.key} has {found.size}"
        elif found.sha256 != wanted.sha256:
            yield thing, f"should have the SHA-256 {wanted.sha256}, but {wanted.key} has {found.sha256}"


def still_recorded(
    session: Session, before: Mapping[str, StoredObject], broken: Collection[tuple[str, str]]
) -> Iterator[Violation]:
    """Those of the broken objects that are recorded as they were `before`."""
    now = recorded(session) if broken else {}
    for thing, reason in broken:
        if now.get(thing) == before[thing]:
            yield Violation(4, thing, reason)


def _incomplete(session: Session) -> Iterator[Violation]:
    """A prior is an adapter and a manifest, an edit one image for each prompt and seed."""
    counts = [func.count(Artefact.id).filter(Artefact.role == role) for role in COUNTED]
    made = (
        select(Job, Edit.target_prompts, *counts)
        .outerjoin(Edit, Edit.id == Job.edit_id)
        .outerjoin(Artefact, Artefact.job_id == Job.id)
        .where(Job.state == State.SUCCEEDED)
        .group_by(Job.id, Edit.id)
    )
    for job, prompts, *found in session.execute(made):
        pictures = len(prompts or ()) * len(job.parameters.get("seeds") or (0,))
        wanted = [1, 1, 0] if job.kind == "prior" else [0, 0, pictures]
        for role, there, due in zip(COUNTED, found, wanted, strict=True):
            if there < due:
                yield Violation(4, f"job {job.id}", f"succeeded with {there} of {due} artefacts of the role {role}")


def _priors(session: Session) -> Iterator[Violation]:
    """A prior is ready exactly when a job of its own succeeded, and names that job's adapter."""
    learnt = select(Job.id).where(Job.prior_id == Prior.id, Job.kind == "prior", Job.state == State.SUCCEEDED)
    same = and_(Artefact.key == Prior.adapter_key, Artefact.sha256 == Prior.adapter_sha256)
    adapter = learnt.join(Artefact, Artefact.job_id == Job.id).where(Artefact.role == "adapter", same)
    ready = Prior.ready_at.is_not(None)
    for prior_id in session.scalars(select(Prior.id).where(ready, ~adapter.exists())):
        yield Violation(4, f"prior {prior_id}", "is ready, but its adapter is no artefact of a job that succeeded")
    for prior_id in session.scalars(select(Prior.id).where(~ready, learnt.exists())):
        yield Violation(4, f"prior {prior_id}", "is not ready, though its job succeeded")
