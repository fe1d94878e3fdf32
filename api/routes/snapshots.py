"""The choice of a prior's snapshot: which step of the training edits use."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from api import problems
from api.auth import CallerDep
from api.consent import require_valid
from api.fields import PathId, RequestModel
from api.prior_body import DownloadablePrior, downloadable_prior
from api.problems import Problem, problem_responses
from api.service import ServiceDep
from ledger import priors, snapshots
from ledger.snapshots import NoSuchSnapshot, PriorNotReady

router = APIRouter(tags=["priors"])


class Choice(RequestModel):
    """The snapshot that edits use from now on."""

    step: Annotated[int, Field(ge=1, le=1_000_000)]
    """Number of training steps of the snapshot, one of those that the prior's `snapshots` name."""


@router.post(
    "/priors/{prior_id}/choose",
    operation_id="choose_snapshot",
    response_model=DownloadablePrior,
    responses=problem_responses("not_found", "prior_not_ready", "snapshot_unknown", "consent_ended"),
)
def choose_snapshot(prior_id: PathId, choice: Choice, service: ServiceDep, caller: CallerDep) -> Any:
    """Let edits use the prior as it was after a step of its training. The choice can be changed again.

    Edits that have begun keep the snapshot that they began with.
    """
    with service.begin() as session:
        found = priors.get(session, caller.project_id, prior_id)
        if found is None:
            raise problems.not_found("prior", prior_id)
        require_valid(session, found.subject_id)
        try:
            prior = snapshots.choose(session, caller.project_id, prior_id, choice.step)
        except PriorNotReady as error:
            detail = f"{prior_id} has no snapshots yet: wait until its job has succeeded"
            raise Problem("prior_not_ready", detail, param="prior_id") from error
        except NoSuchSnapshot as error:
            raise _unknown(prior_id, choice.step, error.steps) from error
        if prior is None:
            raise problems.not_found("prior", prior_id)
        return downloadable_prior(service, session, prior)


def _unknown(prior_id: str, step: int, steps: list[int]) -> Problem:
    if not steps:
        detail = (
            f"{prior_id} has one adapter and nothing to choose from: it was imported, or trained without snapshots. "
            "Train a prior with `snapshots` above 0"
        )
        return Problem("snapshot_unknown", detail, param="step")
    known = ", ".join(map(str, steps))
    return Problem(
        "snapshot_unknown", f"{prior_id} has no snapshot of step {step}: choose one of {known}", param="step"
    )
