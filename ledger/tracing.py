"""Traces: one from a request through its job to the webhooks. Without OpenTelemetry a program has `NO_TRACING`.

A trace travels as W3C Trace Context (https://www.w3.org/TR/trace-context/): the job's row has the `traceparent` of its
request, and each delivery that of its job.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Tracing:
    """No tracing: spans are nothing, and there is no present trace."""

    def traceparent(self) -> str | None:
        """The present span, as a job stores it; None outside of a trace."""
        return None

    @contextmanager
    def span(self, name: str, parent: str | None = None, **attributes: Any) -> Iterator[None]:
        """Context manager for a part of a trace: below `parent`, a `traceparent`, or else below the present span."""
        yield

    def instrument(self, app: Any = None) -> None:
        """Trace the libraries of this process, and the requests to an application of FastAPI."""

    def close(self) -> None:
        """Send the spans that are not sent yet."""


NO_TRACING = Tracing()


def trace_id(traceparent: str | None) -> str | None:
    """The id of the trace, 32 hexadecimal digits."""
    return traceparent.split("-")[1] if traceparent else None


def trace_names(traceparent: str | None) -> dict[str, str]:
    """The field of log lines about a trace; none without one."""
    return {"trace_id": traceparent.split("-")[1]} if traceparent else {}
