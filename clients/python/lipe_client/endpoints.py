"""Operations on webhook endpoints, their secrets and their deliveries. `webhooks.py` verifies received webhooks."""

from collections.abc import Sequence
from datetime import datetime

from lipe_client.call import Call, Listing, create, filters, id_of, no_content, path_of, without_none
from lipe_client.models import Delivery, DeliveryState, Endpoint, Job, Secrets
from lipe_client.operations import list_operation, operation


class Endpoints:
    """The operations on webhook endpoints and deliveries."""

    @operation
    def create_webhook_endpoint(
        self, url: str, events: Sequence[str] = (), *, idempotency_key: str | None = None
    ) -> Call[Endpoint]:
        """Subscribe a URL to events, by default to the ends of all jobs. The response contains the secret."""
        body = {"url": url, "events": list(events)}
        return create(path_of("webhook-endpoints"), Endpoint.model_validate_json, body, idempotency_key=idempotency_key)

    @operation
    def webhook_endpoint(self, endpoint: Endpoint | str) -> Call[Endpoint]:
        """One endpoint, without its secrets."""
        return Call("GET", path_of("webhook-endpoints", endpoint), Endpoint.model_validate_json)

    @list_operation
    def webhook_endpoints(
        self, *, created_after: datetime | None = None, created_before: datetime | None = None
    ) -> Listing[Endpoint]:
        """All endpoints, newest first, without their secrets."""
        query = filters(created_after=created_after, created_before=created_before)
        return Listing(path_of("webhook-endpoints"), Endpoint, query)

    @operation
    def change_webhook_endpoint(
        self,
        endpoint: Endpoint | str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        disabled: bool | None = None,
    ) -> Call[Endpoint]:
        """Change the given fields. `disabled=False` enables an endpoint that was disabled because it answered 410."""
        body = {"url": url, "events": list(events) if events is not None else None, "disabled": disabled}
        path = path_of("webhook-endpoints", endpoint)
        return Call("PATCH", path, Endpoint.model_validate_json, {"json": without_none(body)})

    @operation
    def delete_webhook_endpoint(self, endpoint: Endpoint | str) -> Call[None]:
        """Delete an endpoint; the service sends nothing to it any more."""
        return Call("DELETE", path_of("webhook-endpoints", endpoint), no_content)

    @operation
    def webhook_endpoint_secret(self, endpoint: Endpoint | str) -> Call[str]:
        """The newest secret that signs the webhooks of this endpoint."""
        return Call("GET", path_of("webhook-endpoints", endpoint, "secret"), _newest_secret)

    @operation
    def webhook_secret(self) -> Call[str]:
        """The newest secret that signs the webhooks sent to the `webhook_url` of a request."""
        return Call("GET", path_of("webhook-secret"), _newest_secret)

    @operation
    def rotate_webhook_endpoint_secret(
        self, endpoint: Endpoint | str, *, keep_hours: float | None = None, idempotency_key: str | None = None
    ) -> Call[Secrets]:
        """Give the endpoint a new secret. The former one signs, too, for `keep_hours`, by default 24."""
        path = path_of("webhook-endpoints", endpoint, "secret", "rotate")
        body = {"keep_hours": keep_hours}
        return create(path, Secrets.model_validate_json, body, idempotency_key=idempotency_key)

    @operation
    def rotate_webhook_secret(
        self, *, keep_hours: float | None = None, idempotency_key: str | None = None
    ) -> Call[Secrets]:
        """The same for the secret of the webhooks sent to the `webhook_url` of a request."""
        body = {"keep_hours": keep_hours}
        path = path_of("webhook-secret", "rotate")
        return create(path, Secrets.model_validate_json, body, idempotency_key=idempotency_key)

    @list_operation
    def webhook_deliveries(
        self,
        *,
        endpoint: Endpoint | str | None = None,
        job: Job | str | None = None,
        state: DeliveryState | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Listing[Delivery]:
        """All deliveries, newest first, filtered by endpoint, job or state."""
        query = filters(
            endpoint_id=id_of(endpoint) if endpoint is not None else None,
            job_id=id_of(job) if job is not None else None,
            state=state,
            created_after=created_after,
            created_before=created_before,
        )
        return Listing(path_of("webhook-deliveries"), Delivery, query)

    @operation
    def redeliver(self, delivery: Delivery | str) -> Call[Delivery]:
        """Send a delivery again now, with the same message id and body."""
        return Call("POST", path_of("webhook-deliveries", delivery, "redeliver"), Delivery.model_validate_json)


def _newest_secret(content: bytes) -> str:
    return Secrets.model_validate_json(content).secrets[0]
