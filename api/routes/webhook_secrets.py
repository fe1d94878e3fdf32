"""The secrets that sign webhooks, and their rotation."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Body, Response
from pydantic import Field
from sqlalchemy.orm import Session

from api import problems
from api.auth import CallerDep
from api.fields import Moment, PathId, RequestModel, ResponseModel
from api.idempotency import IdempotencyDep, IdempotentRequest, json_response
from api.problems import Problem, problem_responses
from api.service import ServiceDep
from ledger import projects, secret_rotation, webhooks
from ledger.idempotency import Answer
from ledger.secret_rotation import FormerSecretValid, LiveSecrets

router = APIRouter(tags=["webhooks"])


class Rotation(RequestModel):
    """A rotation of a secret."""

    keep_hours: Annotated[float, Field(ge=0, le=720)] = 24
    """Hours for which the present secret still signs beside the new one, so that receivers can change theirs. Set 0 if
    the present secret is known to others: then only the new one signs."""


class Secrets(ResponseModel):
    """Signing secrets (`whsec_...`), newest first. Every secret signs each delivery, so that receivers can rotate."""

    secrets: list[str]
    """Secrets as text that begins with `whsec_`, the newest first. Keep them on your server only."""

    former_expires_at: Moment | None = None
    """Time from which only the newest secret signs, in UTC; null unless a rotation is in progress."""


OptionalRotation = Annotated[Rotation, Body(default_factory=Rotation)]
ROTATION_PROBLEMS = problem_responses("idempotency_key_in_flight", "rotation_in_progress", "idempotency_key_reused")


@router.get(
    "/webhook-endpoints/{endpoint_id}/secret",
    operation_id="get_webhook_endpoint_secret",
    response_model=Secrets,
    responses=problem_responses("not_found"),
)
def endpoint_secret(endpoint_id: PathId, service: ServiceDep, caller: CallerDep) -> Any:
    """The secrets that sign deliveries to this endpoint."""
    with service.begin() as session:
        endpoint = webhooks.get_endpoint(session, caller.project_id, endpoint_id)
        if endpoint is None:
            raise problems.not_found("webhook endpoint", endpoint_id)
        return Secrets.model_validate(secret_rotation.of_endpoint(session, endpoint))


@router.post(
    "/webhook-endpoints/{endpoint_id}/secret/rotate",
    operation_id="rotate_webhook_endpoint_secret",
    response_model=Secrets,
    responses=ROTATION_PROBLEMS | problem_responses("not_found", "rotation_in_progress", "idempotency_key_in_flight"),
)
def rotate_endpoint_secret(endpoint_id: PathId, rotation: OptionalRotation, idempotent: IdempotencyDep) -> Response:
    """Give the endpoint a new secret. Until the former one expires, both sign each delivery."""

    def rotate(session: Session, keep: timedelta) -> LiveSecrets:
        new = secret_rotation.rotate_endpoint(session, idempotent.project_id, endpoint_id, keep)
        if new is None:
            raise problems.not_found("webhook endpoint", endpoint_id)
        return new

    return _rotated(idempotent, rotation, rotate)


@router.get("/webhook-secret", operation_id="get_webhook_secret", response_model=Secrets)
def project_secret(service: ServiceDep, caller: CallerDep) -> Any:
    """The secrets that sign deliveries to the `webhook_url` of a request."""
    with service.begin() as session:
        project = projects.get(session, caller.project_id)
        if project is None:
            raise problems.not_found("project", caller.project_id)
        return Secrets.model_validate(secret_rotation.of_project(session, project))


@router.post(
    "/webhook-secret/rotate",
    operation_id="rotate_webhook_secret",
    response_model=Secrets,
    responses=ROTATION_PROBLEMS,
)
def rotate_project_secret(rotation: OptionalRotation, idempotent: IdempotencyDep) -> Response:
    """Give the project a new secret for its requests' `webhook_url`. Until the former one expires, both sign."""
    return _rotated(
        idempotent,
        rotation,
        lambda session, keep: secret_rotation.rotate_project(session, idempotent.project_id, keep),
    )


def _rotated(
    idempotent: IdempotentRequest, rotation: Rotation, rotate: Callable[[Session, timedelta], LiveSecrets]
) -> Response:
    """The new secrets. A repeated request gets them again, and does not rotate a second time."""
    with idempotent.service.begin() as session:
        answer = idempotent.recall(session)
        if answer is None:
            try:
                new = rotate(session, timedelta(hours=rotation.keep_hours))
            except FormerSecretValid as error:
                until = f" until {error.expires_at.isoformat()}" if error.expires_at else ""
                detail = f"two secrets are valid{until}: wait, or set keep_hours to 0 to drop both"
                raise Problem("rotation_in_progress", detail) from error
            body = Secrets.model_validate(new).model_dump(mode="json")
            answer = idempotent.remember(session, Answer(200, body, {"Cache-Control": "no-store"}))
    return json_response(answer)
