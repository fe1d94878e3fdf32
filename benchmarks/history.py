"""Seconds of lists, submission, claim and dispatch, with few and with many finished jobs in the database."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from sqlalchemy import delete
from sqlalchemy.orm import Session

from benchmarks.finished_jobs import RARE, fill
from benchmarks.service_stack import MANY, Stack
from ledger import claims, edit_inputs, jobs, outbox, quotas, reaper, results
from ledger.attempts import Claim
from ledger.claims import Abilities
from ledger.models import Edit
from ledger.states import State

Operation = Callable[[Session], object]


@dataclass(frozen=True)
class History:
    """For each number of finished jobs, the median seconds of each operation."""

    seconds: Mapping[int, Mapping[str, float]]


def measure(stack: Stack, *, counts: tuple[int, ...], repeats: int) -> History:
    """Each operation is rolled back, so that the next one finds the same tables."""
    found = {}
    for count in counts:
        with stack.begin() as session:
            session.execute(delete(Edit))  # the database deletes their jobs and events, too
            fill(session, stack.project_id, stack.edit.body["subject_id"], stack.edit.body["image_id"], count)
        found[count] = {
            name: _median_seconds(stack, operation, repeats) for name, operation in _operations(stack).items()
        }
    return History(found)


def _median_seconds(stack: Stack, operation: Operation, repeats: int) -> float:
    each = []
    for _ in range(repeats):
        with stack.begin() as session:
            start = time.perf_counter()
            operation(session)
            each.append(time.perf_counter() - start)
            session.rollback()
    return median(each)


def _operations(stack: Stack) -> dict[str, Operation]:
    project_id, order = stack.project_id, {"order": "77"}
    return {
        "list jobs": lambda session: jobs.listing(session, project_id),
        "list jobs of a rare state": lambda session: jobs.listing(session, project_id, state=State(RARE)),
        "list jobs by metadata": lambda session: jobs.listing(session, project_id, metadata=order),
        "list edits of a rare state": lambda session: results.edits(session, project_id, state=State(RARE)),
        "list edits by metadata": lambda session: results.edits(session, project_id, metadata=order),
        "submit": lambda session: _submit(stack, session),
        "submit and claim": lambda session: _claim(stack, session),
        "dispatch": _dispatch,
    }


def _submit(stack: Stack, session: Session) -> str:
    subject_id, image_id = stack.edit.body["subject_id"], stack.edit.body["image_id"]
    inputs = edit_inputs.find(
        session, stack.project_id, subject_id=subject_id, prior_id=None, image_id=image_id, mask_image_id=None
    )
    assert inputs.ready_at  # noqa: S101
    job = jobs.submit(session, stack.project_id, "edit", subject_id=subject_id, parameters={})
    quotas.of_jobs(session, stack.project_id, stack.settings)
    return job.id


def _claim(stack: Stack, session: Session) -> Claim | None:
    _submit(stack, session)
    return claims.claim_next(session, Abilities(["edit"]), "worker", lease_seconds=60, max_running=MANY)


def _dispatch(session: Session) -> None:
    reaper.reap(session, max_attempts=3)
    outbox.mark_published(session, outbox.due(session))
