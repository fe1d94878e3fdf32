"""How soon an idle worker begins what the API accepts, and what a job costs beside the engine's own steps."""

import sys
import time
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import select

from benchmarks.load import post
from benchmarks.service_stack import Stack
from ledger.database import now
from ledger.models import Job
from ledger.states import TERMINAL, State
from tests.reliability.engine import EDIT_STEPS, STEP_SECONDS

ENGINE_SECONDS = EDIT_STEPS * STEP_SECONDS
PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.02
IDLE_SECONDS = 0.5


@dataclass(frozen=True)
class Working:
    """Seconds from before each request to its claim; seconds of each job of a full queue, the engine's left out."""

    to_claim: tuple[float, ...]
    beside_engine: tuple[float, ...]


def measure(stack: Stack, *, idle: int, queued: int) -> Working:
    """So many jobs one by one, each to a worker that waits; then so many at once."""
    argv = (sys.executable, "-m", "benchmarks.paced_worker", "edits")
    with stack.program("worker", *argv):
        _done(stack, [post(stack.edit)["id"]])  # the worker is up
        to_claim = tuple(_seconds_to_claim(stack) for _ in range(idle))
        ends = _done(stack, [post(stack.edit)["id"] for _ in range(queued + 1)])
    between = [(later - earlier).total_seconds() for earlier, later in pairwise(ends)]
    return Working(to_claim, tuple(seconds - ENGINE_SECONDS for seconds in between))


def _seconds_to_claim(stack: Stack) -> float:
    with stack.begin() as session:
        asked = now(session)  # by the clock that the claim is told by
    job_id = post(stack.edit)["id"]
    _done(stack, [job_id])
    time.sleep(IDLE_SECONDS)  # the job has ended, its worker still cleans up
    with stack.begin() as session:
        claimed = session.get_one(Job, job_id).claimed_at
    if claimed is None:
        raise AssertionError(f"{job_id} ended without a claim")
    return (claimed - asked).total_seconds()


def _done(stack: Stack, job_ids: list[str]) -> list:
    """When they ended, in order. Raises AssertionError where one has not succeeded in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    mine = select(Job.state, Job.finished_at).where(Job.id.in_(job_ids))
    while True:
        with stack.begin() as session:
            stand = session.execute(mine).all()
        if all(state in TERMINAL for state, _ in stand):
            break
        if time.monotonic() > deadline:
            raise AssertionError(f"{len(job_ids)} jobs did not end within {PATIENCE_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
    if any(state != State.SUCCEEDED for state, _ in stand):
        raise AssertionError(f"a job did not succeed: {stand}")
    return sorted(finished for _, finished in stand)
