"""The job state machine: all states, and every legal transition. Also the few other fixed vocabularies of jobs."""

from enum import StrEnum
from typing import Literal, get_args

JobKind = Literal["prior", "edit", "captions", "mask"]
JOB_KINDS: tuple[JobKind, ...] = get_args(JobKind)
DeliveryState = Literal["pending", "delivered", "exhausted", "disabled"]


class State(StrEnum):
    """The state of a job."""

    QUEUED = "queued"  # committed and waiting for a worker; the only state that can be claimed
    RUNNING = "running"  # one attempt holds the lease
    SUCCEEDED = "succeeded"  # every artefact exists and was verified
    FAILED = "failed"  # error code and detail give the reason
    CANCELED = "canceled"  # the user cancelled it; it has no artefact
    EXPIRED = "expired"  # no worker claimed it within the queue's deadline


TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset(
        {
            State.RUNNING,  # claim: increments epoch and attempt, takes the lease
            State.CANCELED,  # cancel: immediate, because no worker has the job
            State.EXPIRED,  # the reaper, after the queue's deadline
        }
    ),
    State.RUNNING: frozenset(
        {
            State.SUCCEEDED,  # finish, by the attempt that holds the epoch and was not cancelled
            State.FAILED,  # finish with an error, or the reaper after the last attempt
            State.CANCELED,  # acknowledged by the worker, or by the reaper if the worker is lost
            State.QUEUED,  # the reaper after the lease ended, or a draining worker that releases the job uncharged
        }
    ),
    State.SUCCEEDED: frozenset(),  # terminal states are final: a retry is a new job
    State.FAILED: frozenset(),
    State.CANCELED: frozenset(),
    State.EXPIRED: frozenset(),
}

TERMINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)


class IllegalTransition(ValueError):
    """The state machine does not have this transition."""


def check(before: State, after: State) -> None:
    """Raise IllegalTransition unless `after` may follow `before`."""
    if after not in TRANSITIONS[before]:
        raise IllegalTransition(f"a job that is {before} cannot become {after}")
