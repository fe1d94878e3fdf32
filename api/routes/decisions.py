"""The log of decisions: what the operator's policy and the subjects' consents allowed, refused and ended."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.auth import CallerDep
from api.fields import ID_PATTERN, Moment, ResponseModel
from api.pagination import Listing, PageDep, listing
from api.service import ServiceDep
from ledger import decisions

router = APIRouter(prefix="/decisions", tags=["decisions"])


class DecisionBody(ResponseModel):
    """A decision. The log is append-only: no request changes or deletes one."""

    id: str
    """Id of the decision."""

    number: int
    """Place of the decision in the project's log; 1 is the first, and none is missing."""

    kind: decisions.Kind
    """Subject of the decision: a `prompt`, the `references` of a subject, `captions`, an `import` of a LoRA, a
    `result`, or a person's `consent`."""

    outcome: decisions.Outcome
    """Result: the policy `allowed` or `refused`; it did not answer, and the setting let the request through
    (`failed_open`) or not (`failed_closed`); a consent was `given`, `changed`, `revoked` or has `expired`."""

    reason: str | None
    """Code of the reason; null if there is none. The log has no text."""

    policy: str | None
    """Name of the policy that decided; null if none did."""

    actor: str
    """Cause of the decision: `key:` with the id of an API key, or the program or person that acted."""

    ids: list[str]
    """Ids of the resources that the decision is about. They may be deleted already."""

    digests: list[str]
    """SHA-256 of each prompt that the decision is about, in hexadecimal digits."""

    previous: str
    """Hash of the decision before this one; zeros for the first."""

    hash: str
    """SHA-256 of this decision and of `previous`, as docs/decision-log.md describes it."""

    created_at: Moment
    """Time of the decision, in UTC."""


@router.get("", operation_id="list_decisions", response_model=Listing[DecisionBody])
def list_decisions(
    service: ServiceDep,
    caller: CallerDep,
    window: PageDep,
    concerning: Annotated[
        str | None,
        Query(pattern=ID_PATTERN, description="Only those about the resource with this id. Default: all."),
    ] = None,
) -> Any:
    """The project's decisions, newest first."""
    with service.begin() as session:
        return listing(
            decisions.listing(session, caller.project_id, window, concerning=concerning), DecisionBody.model_validate
        )
