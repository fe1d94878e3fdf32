"""The time from a request to its claim by an idle worker, and the overhead of a job beside the steps of its edit."""

import sys
import time
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from sqlalchemy import select

from benchmarks.load import post
from benchmarks.paced_worker import EDIT_STEPS, STEP_SECONDS
from benchmarks.service_stack import Stack
from ledger.database import now
from ledger.models import Job
from ledger.states import TERMINAL, State

EDIT_SECONDS = EDIT_STEPS * STEP_SECONDS
TIMEOUT_SECONDS = 300.0
POLL_SECONDS = 0.02
IDLE_SECONDS = 0.5


@dataclass(frozen=True)
class JobLatency:
    """Seconds from before each request to its claim, and seconds per job of a full queue without the edit's steps."""

    to_claim: tuple[float, ...]
    overhead: tuple[float, ...]


def measure(stack: Stack, *, idle: int, queued: int) -> JobLatency:
    """Submit `idle` jobs one by one to a waiting worker, then `queued` jobs at once."""
    argv = (sys.executable, "-m", "benchmarks.paced_worker", "edits")
    with stack.program("worker", *argv):
        wait_for(stack, [post(stack.edit)["id"]])  # until the worker has started
        to_claim = tuple(_seconds_to_claim(stack) for _ in range(idle))
        ends = wait_for(stack, [post(stack.edit)["id"] for _ in range(queued + 1)])
    between = [(later - earlier).total_seconds() for earlier, later in pairwise(ends)]
    return JobLatency(to_claim, tuple(seconds - EDIT_SECONDS for seconds in between))


def _seconds_to_claim(stack: Stack) -> float:
    with stack.begin() as session:
        submitted = now(session)  # the database's clock also gives the time of the claim
    job_id = post(stack.edit)["id"]
    wait_for(stack, [job_id])
    time.sleep(IDLE_SECONDS)  # the worker still cleans up after the end of the job
    with stack.begin() as session:
        claimed = session.get_one(Job, job_id).claimed_at
    if claimed is None:
        raise AssertionError(f"{job_id} ended without a claim")
    return (claimed - submitted).total_seconds()


def wait_for(stack: Stack, job_ids: list[str]) -> list[datetime]:
    """Wait for the jobs; returns their end times, in order. Raises AssertionError unless all succeed in time."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    query = select(Job.state, Job.finished_at).where(Job.id.in_(job_ids))
    while True:
        with stack.begin() as session:
            rows = session.execute(query).all()
        if all(state in TERMINAL for state, _ in rows):
            break
        if time.monotonic() > deadline:
            raise AssertionError(f"{len(job_ids)} jobs did not end within {TIMEOUT_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
    if any(state != State.SUCCEEDED for state, _ in rows):
        raise AssertionError(f"a job did not succeed: {rows}")
    return sorted(finished for _, finished in rows if finished is not None)
