"""The job state machine. Nothing else decides which state may follow which."""

from enum import StrEnum


class State(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"  # committed and waiting for a worker; the only state that can be claimed
    RUNNING = "running"  # one attempt holds the lease
    SUCCEEDED = "succeeded"  # every artefact exists, verified
    FAILED = "failed"  # error code and detail say why
    CANCELED = "canceled"  # the user's wish; no artefact
    EXPIRED = "expired"  # waited longer than the project wants; never ran to its end


TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset(
        {
            State.RUNNING,  # claim: bumps epoch and attempt, takes the lease
            State.CANCELED,  # cancel: nobody works on it, so at once
            State.EXPIRED,  # nobody claimed it in time
            State.FAILED,  # its attempts are used up
        }
    ),
    State.RUNNING: frozenset(
        {
            State.SUCCEEDED,  # finish, by the attempt that holds the epoch and was not cancelled
            State.FAILED,  # finish with an error, or the reaper after the last attempt
            State.CANCELED,  # acknowledged by the worker, or by the reaper if the worker is gone
            State.QUEUED,  # the lease expired (reap), or a draining worker released it uncharged
        }
    ),
    State.SUCCEEDED: frozenset(),  # terminal states are final: a retry is a new job
    State.FAILED: frozenset(),
    State.CANCELED: frozenset(),
    State.EXPIRED: frozenset(),
}

TERMINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)


class IllegalTransition(ValueError):
    """A job was asked to take a step that the state machine does not have."""


def check(before: State, after: State) -> None:
    """Raise IllegalTransition unless `after` may follow `before`."""
    if after not in TRANSITIONS[before]:
        raise IllegalTransition(f"a job that is {before} cannot become {after}")
