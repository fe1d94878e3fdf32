"""Webhook endpoints, their secrets, and what became of each delivery. `webhooks.py` verifies what arrives."""

from collections.abc import Sequence
from datetime import datetime

from client.call import Call, Listing, at, create, filters, given, id_of, nothing
from client.models import Delivery, DeliveryState, Endpoint, Job, Secrets
from client.operations import listing, verb


class Endpoints:
    """The calls on webhook endpoints and deliveries."""

    @verb
    def create_webhook_endpoint(
        self, url: str, events: Sequence[str] = (), *, idempotency_key: str | None = None
    ) -> Call[Endpoint]:
        """Have events sent to a URL (all of them unless named); the answer holds the secret."""
        asked = {"url": url, "events": list(events)}
        return create(at("webhook-endpoints"), Endpoint.model_validate_json, asked, idempotency_key=idempotency_key)

    @verb
    def webhook_endpoint(self, endpoint: Endpoint | str) -> Call[Endpoint]:
        """One endpoint, without its secrets."""
        return Call("GET", at("webhook-endpoints", endpoint), Endpoint.model_validate_json)

    @listing
    def webhook_endpoints(
        self, *, created_after: datetime | None = None, created_before: datetime | None = None
    ) -> Listing[Endpoint]:
        """All endpoints, newest first, without their secrets."""
        query = filters(created_after=created_after, created_before=created_before)
        return Listing(at("webhook-endpoints"), Endpoint, query)

    @verb
    def change_webhook_endpoint(
        self,
        endpoint: Endpoint | str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        disabled: bool | None = None,
    ) -> Call[Endpoint]:
        """Change what is given; `disabled` False brings back an endpoint that answered 410."""
        asked = {"url": url, "events": list(events) if events is not None else None, "disabled": disabled}
        path = at("webhook-endpoints", endpoint)
        return Call("PATCH", path, Endpoint.model_validate_json, {"json": given(asked)})

    @verb
    def delete_webhook_endpoint(self, endpoint: Endpoint | str) -> Call[None]:
        """Send nothing there any more."""
        return Call("DELETE", at("webhook-endpoints", endpoint), nothing)

    @verb
    def webhook_endpoint_secret(self, endpoint: Endpoint | str) -> Call[str]:
        """The newest secret that signs what goes to this endpoint."""
        return Call("GET", at("webhook-endpoints", endpoint, "secret"), _newest_secret)

    @verb
    def webhook_secret(self) -> Call[str]:
        """The newest secret that signs what goes to a request's own `webhook_url`."""
        return Call("GET", at("webhook-secret"), _newest_secret)

    @listing
    def webhook_deliveries(
        self,
        *,
        endpoint: Endpoint | str | None = None,
        job: Job | str | None = None,
        state: DeliveryState | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Listing[Delivery]:
        """All deliveries, newest first; of one endpoint, one job, or in one state."""
        query = filters(
            endpoint_id=id_of(endpoint) if endpoint is not None else None,
            job_id=id_of(job) if job is not None else None,
            state=state,
            created_after=created_after,
            created_before=created_before,
        )
        return Listing(at("webhook-deliveries"), Delivery, query)

    @verb
    def redeliver(self, delivery: Delivery | str) -> Call[Delivery]:
        """Send a delivery again, at once, with the same message id and body."""
        return Call("POST", at("webhook-deliveries", delivery, "redeliver"), Delivery.model_validate_json)


def _newest_secret(content: bytes) -> str:
    return Secrets.model_validate_json(content).secrets[0]
