"""The nine invariants of the service, looked for in what it keeps: one file for each, read-only, over all projects.

The rows are read in one snapshot, so a running service shows no half-made step. What needs time (a lease that ran
out, a webhook that is due) counts only after `patience`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from ledger.audit import (
    artefacts,
    attempts,
    cancellations,
    deliveries,
    endings,
    erasures,
    ownership,
    previews,
    progress,
    repeats,
    uploads,
)
from ledger.audit.violation import UNBOUNDED, Bounds, Violation
from ledger.database import UnitOfWork
from ledger.storage import Storage

INVARIANTS: Mapping[int, str] = {
    1: "an accepted job is there, and on its way to an end",
    2: "one attempt of a job is effective",
    3: "an end is final, with exactly one terminal event",
    4: "succeeded means that every artefact exists as recorded",
    5: "every event is delivered, or visibly exhausted or disabled",
    6: "one idempotency key, one job",
    7: "no success after a cancel, and the GPU is free",
    8: "nothing remains of an erased subject",
    9: "no project reaches into another",
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
)


def audit(
    begin: UnitOfWork,
    storage: Storage,
    *,
    patience: timedelta,
    key_lifetime: timedelta,
    max_running: int = UNBOUNDED,
) -> list[Violation]:
    """Every violation, by invariant; none of a healthy service.

    `patience`: how late something may be; `key_lifetime`: how long an idempotency key is kept; `max_running`: how many
    jobs of one project may run at once, the others wait rightly. Every artefact is read back from the storage.
    Raises StorageError, and `database.UNAVAILABLE`.
    """
    bounds = Bounds(patience, key_lifetime, max_running)
    with _snapshot(begin) as session:
        found = [violation for check in CHECKS for violation in check(session, bounds)]
        recorded, erased = artefacts.recorded(session), erasures.prefixes(session)
    broken = list(artefacts.broken_objects(storage, recorded))
    with _snapshot(begin) as session:
        # An end or an erasure meanwhile takes objects rightly.
        found += artefacts.still_recorded(session, recorded, broken)
    found += erasures.left_objects(storage, erased)
    return sorted(found, key=lambda violation: violation.invariant)


@contextmanager
def _snapshot(begin: UnitOfWork) -> Iterator[Session]:
    with begin() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})
        session.execute(text("SET LOCAL statement_timeout = 0"))  # whole tables are read: no request waits for it
        yield session
