"""Whether a program traces: by OpenTelemetry's own variables, and not without its packages."""

import os
from collections.abc import Mapping
from importlib.util import find_spec

from ledger.tracing import NO_TRACING, Tracing

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http", "opentelemetry.instrumentation.psycopg")


class TracingMissing(ValueError):
    """An endpoint is set, and OpenTelemetry is not installed; the message says what to do."""


def make_tracing(program: str, environment: Mapping[str, str] = os.environ) -> Tracing:
    """The tracing of a program. Make it after a fork. Raises TracingMissing."""
    if not is_wanted(environment):
        return NO_TRACING
    check_tracing(environment)
    from ledger.open_telemetry import open_telemetry  # late: an optional dependency

    return open_telemetry(program)


def is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment names an endpoint, and does not switch OpenTelemetry off."""
    is_off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return not is_off and any(environment.get(name, "").strip() for name in ENDPOINTS)


def check_tracing(environment: Mapping[str, str] = os.environ) -> None:
    """Raise TracingMissing if spans are wanted and cannot be made."""
    if is_wanted(environment) and not all(map(_is_installed, NEEDED)):
        raise TracingMissing(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed: "
            "pip install 'lipe-server[tracing]', or unset the variable"
        )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
