"""OpenTelemetry (https://opentelemetry.io): spans of requests, jobs, statements, messages and objects.

An exporter sends only attributes that are named here. The libraries would also send URLs with their tokens, keys of
objects and messages of errors, which may have prompts.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, Status, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes

from ledger.tracing import Tracing
from ledger.version import VERSION

SENT = frozenset(
    {
        "http.method", "http.request.method", "http.route", "http.status_code", "http.response.status_code",
        "db.system", "db.system.name", "db.name", "db.statement", "db.query.text", "error.type",
        "rpc.system", "rpc.service", "rpc.method", "cloud.region",
        "messaging.system", "messaging.operation", "messaging.destination", "celery.action", "celery.task_name",
        "celery.state",
        "lipe.job_id", "lipe.kind", "lipe.attempt", "lipe.delivery_id", "lipe.outcome",
    }
)  # fmt: skip
"""The attributes that leave the process. Statements have placeholders in place of values."""
SENT_OF_EVENTS = frozenset({"exception.type"})
UNTRACED_PATHS = "healthz,readyz,metrics"
PROPAGATOR = TraceContextTextMapPropagator()


class OpenTelemetry(Tracing):
    """The spans of one process. The instrumentations are those of the whole process."""

    def __init__(self, provider: TracerProvider) -> None:
        self.provider = provider
        self._tracer = provider.get_tracer("lipe", VERSION)
        self._instrumentors = (PsycopgInstrumentor(), RedisInstrumentor(), BotocoreInstrumentor(), CeleryInstrumentor())
        self._apps: list[Any] = []

    def traceparent(self) -> str | None:
        """The present span, as a job stores it; None outside of a trace."""
        carrier: dict[str, str] = {}
        PROPAGATOR.inject(carrier)
        return carrier.get("traceparent")

    @contextmanager
    def span(self, name: str, parent: str | None = None, **attributes: Any) -> Iterator[None]:
        """Context manager for a part of a trace: below `parent`, a `traceparent`, or else below the present span."""
        context = PROPAGATOR.extract({"traceparent": parent}, Context()) if parent else None
        named = {f"lipe.{key}": value for key, value in attributes.items()}
        with self._tracer.start_as_current_span(name, context, attributes=named):
            yield

    def instrument(self, app: Any = None) -> None:
        """Trace psycopg, redis, botocore and Celery in this process, and the requests to an application.

        SQLAlchemy is not traced: its statements are those of psycopg, and would be in the trace twice.
        """
        for instrumentor in self._instrumentors:
            instrumentor.instrument(tracer_provider=self.provider)
        if app is not None:
            FastAPIInstrumentor.instrument_app(
                app, tracer_provider=self.provider, excluded_urls=UNTRACED_PATHS, exclude_spans=["receive", "send"]
            )
            self._apps.append(app)

    def close(self) -> None:
        """Send the spans that are not sent yet, and end the instrumentations."""
        for app in self._apps:
            FastAPIInstrumentor.uninstrument_app(app)
        for instrumentor in self._instrumentors:
            if instrumentor.is_instrumented_by_opentelemetry:
                instrumentor.uninstrument()
        self.provider.shutdown()


def open_telemetry(program: str, exporter: SpanExporter | None = None) -> OpenTelemetry:
    """The tracing of a program; without an exporter, that of OpenTelemetry's variables."""
    name = os.environ.get("OTEL_SERVICE_NAME") or f"lipe-{program}"
    resource = Resource.create({"service.name": name, "service.version": VERSION})
    provider = TracerProvider(sampler=RequestsOnly(TracerProvider().sampler), resource=resource)
    provider.add_span_processor(BatchSpanProcessor(SafeExporter(exporter or OTLPSpanExporter())))
    return OpenTelemetry(provider)


class RequestsOnly(Sampler):
    """Samples as another sampler, but no trace that does not begin with a request to the API.

    Workers and dispatchers ask the database several times a second whether there is something to do.
    """

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """The decision about one span."""
        has_parent = trace.get_current_span(parent_context).get_span_context().is_valid
        if not has_parent and kind is not SpanKind.SERVER:
            return SamplingResult(Decision.DROP)
        return self.sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """The name of the sampler."""
        return f"RequestsOnly({self.sampler.get_description()})"


class SafeExporter(SpanExporter):
    """Passes spans on with the attributes of SENT, and errors without their messages."""

    def __init__(self, exporter: SpanExporter) -> None:
        self.exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export the spans."""
        return self.exporter.export([_safe(span) for span in spans])

    def shutdown(self) -> None:
        """End the exporter."""
        self.exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits."""
        return self.exporter.force_flush(timeout_millis)


def _safe(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_chosen(span.attributes, SENT),
        events=[Event(event.name, _chosen(event.attributes, SENT_OF_EVENTS), event.timestamp) for event in span.events],
        links=span.links,
        kind=span.kind,
        instrumentation_scope=span.instrumentation_scope,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
    )


def _chosen(attributes: Mapping[str, Any] | None, names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in (attributes or {}).items() if name in names}
