"""Webhooks: where events go (Standard Webhooks 1.0), and what became of each delivery."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse

from api import problems
from api.auth import CallerDep, Writer
from api.fields import Moment, PathId, RequestModel, ResponseModel, WebhookUrl, check_url
from api.idempotency import Creating
from api.pagination import Listing, Paging, listing
from api.problems import documented
from api.service import ServiceDep
from ledger import deliveries, outbox, projects, webhooks
from ledger.idempotency import Answer
from ledger.models import Delivery, WebhookEndpoint
from ledger.states import DeliveryState
from ledger.webhooks import TASK, WebhookEventType

router = APIRouter(tags=["webhooks"])
Events = Annotated[list[WebhookEventType], Field(max_length=8, description="Empty: all of them.")]


class NewEndpoint(RequestModel):
    """A URL that gets the project's events."""

    url: WebhookUrl
    events: Events = Field(default_factory=list)


class EndpointChange(RequestModel):
    """What is given is changed; `disabled: false` brings back an endpoint that answered 410."""

    url: WebhookUrl | None = None
    events: Events | None = None
    disabled: bool | None = None


class EndpointBody(ResponseModel):
    """An endpoint; its secret has a route of its own."""

    id: str
    url: str
    events: list[str]
    disabled_at: Moment | None
    created_at: Moment


class Secrets(ResponseModel):
    """`whsec_...`, newest first; each of them signs every delivery, so that a receiver can change over."""

    secrets: list[str]


class EndpointWithSecrets(EndpointBody, Secrets):
    """What the creation answers."""


class DeliveryBody(ResponseModel):
    """One event on its way to one URL. `body` is what is sent, byte by byte."""

    id: str
    endpoint_id: str | None
    job_id: str
    message_id: str
    event_type: str
    url: str
    state: DeliveryState
    attempts: int
    next_attempt_at: Moment | None
    last_status: int | None
    last_error: str | None
    delivered_at: Moment | None
    created_at: Moment
    body: dict[str, Any]

    @classmethod
    def of(cls, delivery: Delivery) -> "DeliveryBody":
        """The row, with its body readable; a delivery that is over has no next attempt."""
        fields = {name: getattr(delivery, name) for name in cls.model_fields if name != "body"}
        if delivery.state != "pending":
            fields["next_attempt_at"] = None
        return cls(**fields, body=json.loads(delivery.body))


@router.post(
    "/webhook-endpoints",
    status_code=201,
    operation_id="create_webhook_endpoint",
    response_model=EndpointWithSecrets,
    responses=documented("idempotency_key_in_flight", "webhook_url_forbidden", "idempotency_key_reused"),
)
def create_endpoint(asked: NewEndpoint, once: Creating) -> Response:
    """Have events sent to a URL; the answer holds the secret that signs them."""
    check_url(once.service.settings, asked.url, param="url")

    def create(session: Session) -> Answer:
        endpoint = webhooks.create_endpoint(session, once.project_id, asked.url, list(asked.events))
        body = EndpointWithSecrets.model_validate(endpoint).model_dump(mode="json")
        return Answer(201, body, {"Location": f"/v1/webhook-endpoints/{endpoint.id}"})

    answer = once(create)
    return JSONResponse(answer.body, answer.status, answer.headers)


@router.get("/webhook-endpoints", operation_id="list_webhook_endpoints", response_model=Listing[EndpointBody])
def list_endpoints(service: ServiceDep, me: CallerDep, window: Paging) -> Any:
    """The project's endpoints, newest first."""
    with service.begin() as session:
        page = webhooks.endpoints(session, me.project_id, window)
        return listing(page, EndpointBody.model_validate)


@router.get(
    "/webhook-endpoints/{endpoint_id}",
    operation_id="get_webhook_endpoint",
    response_model=EndpointBody,
    responses=documented("not_found"),
)
def get_endpoint(endpoint_id: PathId, service: ServiceDep, me: CallerDep) -> Any:
    """One endpoint."""
    with service.begin() as session:
        return EndpointBody.model_validate(_endpoint(session, me.project_id, endpoint_id))


@router.patch(
    "/webhook-endpoints/{endpoint_id}",
    operation_id="change_webhook_endpoint",
    response_model=EndpointBody,
    responses=documented("not_found", "webhook_url_forbidden"),
)
def change_endpoint(endpoint_id: PathId, asked: EndpointChange, service: ServiceDep, me: CallerDep) -> Any:
    """Change an endpoint's URL or events, switch it off or on."""
    check_url(service.settings, asked.url, param="url")
    with service.begin() as session:
        endpoint = _endpoint(session, me.project_id, endpoint_id)
        events: list[str] | None = [*asked.events] if asked.events is not None else None
        webhooks.update_endpoint(session, endpoint, url=asked.url, events=events, disabled=asked.disabled)
        return EndpointBody.model_validate(endpoint)


@router.delete(
    "/webhook-endpoints/{endpoint_id}",
    status_code=204,
    operation_id="delete_webhook_endpoint",
    responses=documented("not_found"),
)
def delete_endpoint(endpoint_id: PathId, service: ServiceDep, me: CallerDep) -> None:
    """Remove an endpoint, and what was still to be delivered there."""
    with service.begin() as session:
        if not webhooks.delete_endpoint(session, me.project_id, endpoint_id):
            raise problems.not_found("webhook endpoint", endpoint_id)


@router.get(
    "/webhook-endpoints/{endpoint_id}/secret",
    operation_id="get_webhook_endpoint_secret",
    response_model=Secrets,
    responses=documented("not_found"),
)
def endpoint_secret(endpoint_id: PathId, service: ServiceDep, me: Writer) -> Any:
    """The secrets that sign what goes to this endpoint. Needs the scope `write`."""
    with service.begin() as session:
        return Secrets.model_validate(_endpoint(session, me.project_id, endpoint_id))


@router.get(
    "/webhook-secret",
    operation_id="get_webhook_secret",
    response_model=Secrets,
)
def project_secret(service: ServiceDep, me: Writer) -> Any:
    """The secrets that sign what goes to a request's own `webhook_url`. Needs the scope `write`."""
    with service.begin() as session:
        project = projects.get(session, me.project_id)
        if project is None:
            raise problems.not_found("project", me.project_id)
        return Secrets(secrets=project.webhook_secrets)


@router.get("/webhook-deliveries", operation_id="list_webhook_deliveries", response_model=Listing[DeliveryBody])
def list_deliveries(
    service: ServiceDep,
    me: CallerDep,
    window: Paging,
    endpoint_id: Annotated[str | None, Query(pattern=r"^\w{1,40}$", description="Only those to this endpoint.")] = None,
    job_id: Annotated[str | None, Query(pattern=r"^\w{1,40}$", description="Only those about this job.")] = None,
    state: Annotated[DeliveryState | None, Query(description="Only those that stand so.")] = None,
) -> Any:
    """The project's deliveries, newest first."""
    with service.begin() as session:
        page = deliveries.listing(session, me.project_id, window, endpoint_id=endpoint_id, job_id=job_id, state=state)
        return listing(page, DeliveryBody.of)


@router.post(
    "/webhook-deliveries/{delivery_id}/redeliver",
    status_code=202,
    operation_id="redeliver_webhook",
    response_model=DeliveryBody,
    responses=documented("not_found"),
)
def redeliver(delivery_id: PathId, service: ServiceDep, me: CallerDep) -> Any:
    """Send a delivery again, at once, with the same message id and body."""
    with service.begin() as session:
        delivery = deliveries.redeliver(session, me.project_id, delivery_id)
        if delivery is None:
            raise problems.not_found("webhook delivery", delivery_id)
        body = DeliveryBody.of(delivery)
    outbox.publish_one(service.look, service.ring, TASK, delivery_id)
    return body


def _endpoint(session: Session, project_id: str, endpoint_id: str) -> WebhookEndpoint:
    endpoint = webhooks.get_endpoint(session, project_id, endpoint_id)
    if endpoint is None:
        raise problems.not_found("webhook endpoint", endpoint_id)
    return endpoint
