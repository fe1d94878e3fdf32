"""Check the eleven invariants of the service in its tables and objects: one file for each, read-only, all projects.

The rows are read in one snapshot, so a transaction of a running service is seen whole or not at all. A step that takes
time, such as reaping a lease or sending a webhook, is a violation only after `patience`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

from ledger.audit import (
    artefacts,
    attempts,
    cancellations,
    consents,
    decisions,
    deliveries,
    endings,
    erasures,
    ownership,
    previews,
    progress,
    repeats,
    uploads,
    worker_disks,
)
from ledger.audit.violation import Bounds, Violation
from ledger.database import UnitOfWork
from ledger.storage import Storage

INVARIANTS: Mapping[int, str] = {
    1: "every accepted job exists and proceeds to its end",
    2: "at most one attempt of a job is effective",
    3: "terminal states are final, with one terminal event each",
    4: "a succeeded job has every artefact, as recorded",
    5: "every event is delivered, or is exhausted or disabled",
    6: "one idempotency key, one job",
    7: "a cancelled job does not succeed, and frees the GPU",
    8: "nothing of an erased resource remains",
    9: "no project refers to rows or objects of another",
    10: "the log of decisions is complete and unchanged",
    11: "no person is used without consent",
}
CHECKS: tuple[Callable[[Session, Bounds], Iterator[Violation]], ...] = (
    progress.violations,
    attempts.violations,
    endings.violations,
    artefacts.violations,
    previews.violations,
    deliveries.violations,
    repeats.violations,
    cancellations.violations,
    erasures.violations,
    uploads.violations,
    ownership.violations,
    decisions.violations,
    consents.violations,
)


def audit(
    begin: UnitOfWork,
    storage: Storage,
    *,
    patience: timedelta,
    key_lifetime: timedelta,
    lease: timedelta = timedelta(hours=1),
    worker_data: Sequence[Path] = (),
) -> list[Violation]:
    """Return every violation, sorted by invariant.

    `patience`: how late a step may be. `key_lifetime`: how long idempotency keys are kept. `lease`: for how long a
    worker takes a job at a time. `worker_data`: the data folders of workers on this machine.

    Every artefact and every uploaded image is read back from the storage. Raises StorageError, `database.UNAVAILABLE`,
    and OSError if a folder is unreadable.
    """
    bounds = Bounds(patience, key_lifetime, lease)
    with _snapshot(begin) as session:
        found = [violation for check in CHECKS for violation in check(session, bounds)]
        found += worker_disks.violations(session, bounds, worker_data)
        recorded, erased = artefacts.recorded(session), erasures.prefixes(session)
    broken = list(artefacts.broken_objects(storage, recorded))
    with _snapshot(begin) as session:
        # A job that ended, or a subject that was erased, in the meantime may have lost objects.
        found += artefacts.still_recorded(session, recorded, broken)
    found += erasures.left_objects(storage, erased)
    return sorted(found, key=lambda violation: violation.invariant)


@contextmanager
def _snapshot(begin: UnitOfWork) -> Iterator[Session]:
    with begin() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})
        session.execute(text("SET LOCAL statement_timeout = 0"))  # it reads whole tables, and no request waits for it
        yield session
