"""Webhook endpoints (Standard Webhooks 1.0), their secrets, and the deliveries of events."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field, StrictBool
from sqlalchemy.orm import Session

from api import problems
from api.auth import CallerDep
from api.fields import Moment, PathId, RequestModel, ResponseModel, WebhookUrl, check_url
from api.idempotency import IdempotencyDep, json_response
from api.pagination import Listing, PageDep, listing
from api.problems import problem_responses
from api.quota import check_quotas
from api.service import ServiceDep
from ledger import deliveries, outbox, quotas, webhooks
from ledger.idempotency import Answer
from ledger.models import Delivery, WebhookEndpoint
from ledger.states import DeliveryState
from ledger.webhooks import EVENT_TYPES, TASK, WebhookEventType

router = APIRouter(tags=["webhooks"])
ID_FILTER = r"^\w{1,40}$"
Events = Annotated[
    list[WebhookEventType],
    Field(
        max_length=len(EVENT_TYPES),
        description="Types of the events to send. Default: those of the ends of jobs, such as `edit.succeeded`, which "
        "an empty list means, too. Name `edit.output`, `edit.started` or `prior.started` to get those.",
    ),
]


class NewEndpoint(RequestModel):
    """A URL that receives the project's events."""

    url: WebhookUrl
    """URL of your server that gets the events by POST. It must be public, unless the operator allows private
    addresses."""

    events: Events = Field(default_factory=list)


class EndpointChange(RequestModel):
    """The fields to change. `disabled: false` enables an endpoint again, also one that answered 410."""

    url: WebhookUrl | None = None
    """New URL. Default: unchanged. Change it if your server moves."""

    events: Events | None = None
    """New list of types of events. Default: unchanged. An empty list means the ends of jobs."""

    disabled: StrictBool | None = None
    """True stops all deliveries, false starts them again. Default: unchanged."""


class EndpointBody(ResponseModel):
    """An endpoint. Its secrets have a route of their own."""

    id: str
    """Id of the endpoint."""

    url: str
    """URL that gets the events."""

    events: list[str]
    """Types of the events that it gets; empty means the ends of jobs."""

    disabled_at: Moment | None
    """Time since which the endpoint gets no events, in UTC; null while it is enabled."""

    created_at: Moment
    """Time at which the endpoint was created, in UTC."""


class EndpointWithSecrets(EndpointBody):
    """A new endpoint with its secrets."""

    secrets: list[str]
    """Secrets as text that begins with `whsec_`, the newest first. Keep them on your server only."""


class DeliveryBody(ResponseModel):
    """The delivery of one event to one URL. `body` is the JSON that is sent."""

    id: str
    """Id of the delivery."""

    endpoint_id: str | None
    """Id of the endpoint; null for the `webhook_url` of a request."""

    job_id: str
    """Id of the job that the event is about."""

    message_id: str
    """Value of the header `webhook-id`, the same in all attempts. Use it to ignore repetitions."""

    event_type: str
    """Type of the event."""

    url: str
    """URL that gets the event."""

    state: DeliveryState
    """`pending` while attempts remain; `delivered`, `exhausted` and `disabled` are final."""

    attempts: int
    """Number of attempts so far."""

    next_attempt_at: Moment | None
    """Time of the next attempt, in UTC; null if the delivery has ended."""

    last_status: int | None
    """HTTP status of the last attempt's answer; null without an answer."""

    last_error: str | None
    """Reason why the last attempt failed; null if it did not."""

    delivered_at: Moment | None
    """Time of the successful attempt, in UTC; null until then."""

    created_at: Moment
    """Time of the event, in UTC."""

    body: dict[str, Any]
    """JSON that is sent."""

    @classmethod
    def of(cls, delivery: Delivery) -> "DeliveryBody":
        """The body of a row. A delivery that has ended has no next attempt."""
        fields = {name: getattr(delivery, name) for name in cls.model_fields if name != "body"}
        if delivery.state != "pending":
            fields["next_attempt_at"] = None
        return cls(**fields, body=json.loads(delivery.body))


@router.post(
    "/webhook-endpoints",
    status_code=201,
    operation_id="create_webhook_endpoint",
    response_model=EndpointWithSecrets,
    responses=problem_responses(
        "too_many_endpoints", "idempotency_key_in_flight", "webhook_url_forbidden", "idempotency_key_reused"
    ),
)
def create_endpoint(new_endpoint: NewEndpoint, idempotent: IdempotencyDep) -> Response:
    """Create an endpoint. The answer has the secrets that sign its deliveries."""
    check_url(idempotent.service.settings, new_endpoint.url, param="url")
    limits = dict[str, str]()
    with idempotent.service.begin() as session:
        answer = idempotent.recall(session)
        if answer is None:
            endpoint = webhooks.create_endpoint(
                session, idempotent.project_id, new_endpoint.url, list(new_endpoint.events)
            )
            limits = check_quotas(quotas.of_endpoints(session, idempotent.project_id, idempotent.service.settings))
            body = EndpointWithSecrets.model_validate(endpoint).model_dump(mode="json")
            headers = {"Location": f"/v1/webhook-endpoints/{endpoint.id}"}
            answer = idempotent.remember(session, Answer(201, body, headers))
    return json_response(answer, limits)


@router.get("/webhook-endpoints", operation_id="list_webhook_endpoints", response_model=Listing[EndpointBody])
def list_endpoints(service: ServiceDep, caller: CallerDep, window: PageDep) -> Any:
    """The project's endpoints, newest first."""
    with service.begin() as session:
        page = webhooks.endpoints(session, caller.project_id, window)
        return listing(page, EndpointBody.model_validate)


@router.get(
    "/webhook-endpoints/{endpoint_id}",
    operation_id="get_webhook_endpoint",
    response_model=EndpointBody,
    responses=problem_responses("not_found"),
)
def get_endpoint(endpoint_id: PathId, service: ServiceDep, caller: CallerDep) -> Any:
    """One endpoint."""
    with service.begin() as session:
        return EndpointBody.model_validate(_endpoint(session, caller.project_id, endpoint_id))


@router.patch(
    "/webhook-endpoints/{endpoint_id}",
    operation_id="change_webhook_endpoint",
    response_model=EndpointBody,
    responses=problem_responses("not_found", "webhook_url_forbidden"),
)
def change_endpoint(endpoint_id: PathId, change: EndpointChange, service: ServiceDep, caller: CallerDep) -> Any:
    """Change an endpoint's URL or events, disable or enable it."""
    check_url(service.settings, change.url, param="url")
    with service.begin() as session:
        endpoint = _endpoint(session, caller.project_id, endpoint_id)
        events: list[str] | None = [*change.events] if change.events is not None else None
        webhooks.update_endpoint(session, endpoint, url=change.url, events=events, disabled=change.disabled)
        return EndpointBody.model_validate(endpoint)


@router.delete(
    "/webhook-endpoints/{endpoint_id}",
    status_code=204,
    operation_id="delete_webhook_endpoint",
    responses=problem_responses("not_found"),
)
def delete_endpoint(endpoint_id: PathId, service: ServiceDep, caller: CallerDep) -> None:
    """Delete an endpoint and its pending deliveries."""
    with service.begin() as session:
        if not webhooks.delete_endpoint(session, caller.project_id, endpoint_id):
            raise problems.not_found("webhook endpoint", endpoint_id)


@router.get("/webhook-deliveries", operation_id="list_webhook_deliveries", response_model=Listing[DeliveryBody])
def list_deliveries(
    service: ServiceDep,
    caller: CallerDep,
    window: PageDep,
    endpoint_id: Annotated[str | None, Query(pattern=ID_FILTER, description="Only those to this endpoint.")] = None,
    job_id: Annotated[str | None, Query(pattern=ID_FILTER, description="Only those about this job.")] = None,
    state: Annotated[DeliveryState | None, Query(description="Only those in this state.")] = None,
) -> Any:
    """The project's deliveries, newest first."""
    with service.begin() as session:
        page = deliveries.listing(
            session, caller.project_id, window, endpoint_id=endpoint_id, job_id=job_id, state=state
        )
        return listing(page, DeliveryBody.of)


@router.post(
    "/webhook-deliveries/{delivery_id}/redeliver",
    status_code=202,
    operation_id="redeliver_webhook",
    response_model=DeliveryBody,
    responses=problem_responses("not_found"),
)
def redeliver(delivery_id: PathId, service: ServiceDep, caller: CallerDep) -> Any:
    """Send a delivery again now, with the same message id and body."""
    with service.begin() as session:
        delivery = deliveries.redeliver(session, caller.project_id, delivery_id)
        if delivery is None:
            raise problems.not_found("webhook delivery", delivery_id)
        body = DeliveryBody.of(delivery)
    outbox.publish_one(service.autocommit, service.notify, TASK, delivery_id)
    return body


def _endpoint(session: Session, project_id: str, endpoint_id: str) -> WebhookEndpoint:
    endpoint = webhooks.get_endpoint(session, project_id, endpoint_id)
    if endpoint is None:
        raise problems.not_found("webhook endpoint", endpoint_id)
    return endpoint
