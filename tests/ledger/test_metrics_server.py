"""The port of the metrics: its token, its path, and settings that would open it to other machines."""

import re

import httpx
import pytest
from prometheus_client import CollectorRegistry, Gauge
from pydantic import SecretStr, ValidationError

from cli.embedded.process import free_port
from ledger.metrics_server import MetricsPortTaken, serve_metrics
from ledger.settings import Settings

TOKEN = "0123456789abcdef"


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry with one metric."""
    registry = CollectorRegistry()
    Gauge("answer", "The answer.", registry=registry).set(42)
    return registry


def test_metrics_are_served_to_those_with_the_token(settings: Settings, registry: CollectorRegistry) -> None:
    guarded = settings.model_copy(update={"metrics_port": free_port(), "metrics_token": SecretStr(TOKEN)})
    url = f"http://127.0.0.1:{guarded.metrics_port}/metrics"
    close = serve_metrics(guarded, registry)
    try:
        for headers in ({}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": "Bearer 0123"}):
            refused = httpx.get(url, headers=headers)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="metrics"')
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert "answer 42.0" in httpx.get(url, headers=headers).raise_for_status().text
        assert httpx.get(f"{url}x", headers=headers).status_code == 404
        with pytest.raises(MetricsPortTaken, match=r"each program needs its own LIPE_METRICS_PORT"):
            serve_metrics(guarded, registry)
    finally:
        close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_without_a_port_nothing_is_served(settings: Settings, registry: CollectorRegistry) -> None:
    serve_metrics(settings, registry)()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"metrics_host": "0.0.0.0"}, "metrics_host 0.0.0.0 is open to other machines: set metrics_token"),
        ({"metrics_host": "gpu-1.example.com"}, "is open to other machines: set metrics_token, or use 127.0.0.1"),
        ({"metrics_host": "::"}, "is open to other machines"),
        ({"metrics_token": "short"}, "metrics_token must have at least 16 characters"),
        ({"metrics_port": 70_000}, "less than or equal to 65535"),
    ],
)
def test_an_open_address_without_a_token_is_refused(settings: Settings, changes: dict[str, str], reason: str) -> None:
    values = {**settings.model_dump(), "metrics_port": 9400, "metrics_token": ""}
    with pytest.raises(ValidationError, match=re.escape(reason)):
        Settings(**{**values, **changes})
    for closed in ({"metrics_host": "127.0.0.1"}, {"metrics_host": "localhost"}, {"metrics_host": "::1"}):
        Settings(**{**values, **closed})
    Settings(**{**values, "metrics_host": "0.0.0.0", "metrics_token": TOKEN})
