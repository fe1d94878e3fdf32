"""One trace from a request through its job to the webhook, without a prompt or a secret in any span."""

import json
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import select

from api.app import make_app
from ledger import trace_settings
from ledger.database import UnitOfWork, make_engine
from ledger.models import Delivery, Job, Project
from ledger.open_telemetry import OpenTelemetry, open_telemetry
from ledger.settings import Settings
from ledger.trace_settings import TracingMissing, make_tracing
from ledger.tracing import NO_TRACING, trace_id
from tests.support.api_fixtures import NewKey
from tests.support.receiver import receiving
from tests.support.running import run_job
from tests.support.uploads import png
from worker.context import make_context
from worker.webhooks import deliver

CANARY = "a photo of sks dog guarding the vault"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    """The spans that left the process."""
    return InMemorySpanExporter()


@pytest.fixture
def tracing(spans: InMemorySpanExporter) -> Iterator[OpenTelemetry]:
    """The tracing of this process, which has all programs here."""
    made = open_telemetry("test", spans)
    yield made
    made.close()


def test_a_request_its_job_and_its_webhook_are_one_trace(
    tracing: OpenTelemetry,
    spans: InMemorySpanExporter,
    settings: Settings,
    begin: UnitOfWork,
    project: Project,
    new_key: NewKey,
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = new_key(project)
    with receiving(200) as receiver, TestClient(make_app(settings, tracing)) as api:
        api.headers["Authorization"] = f"Bearer {key}"
        secret = api.post("/v1/webhook-endpoints", json={"url": receiver.url}).json()["secrets"][0]
        references = [api.post("/v1/images", content=png(color)).json()["id"] for color in ("red", "green", "blue")]
        new = {"name": "Rex the canary", "class_noun": "dog", "references": references, "captions": [CANARY] * 3}
        subject = api.post("/v1/subjects", json=new).raise_for_status().json()
        api.get("/v1/jobs", params={"metadata[word]": "opensesame"}).raise_for_status()
        api.get("/readyz")
        parameters = {"parameters": {"steps": 1, "rank": 2}, "regularization": {"count": 2, "steps": 2}}
        job = api.post(f"/v1/subjects/{subject['id']}/priors", json=parameters).raise_for_status().json()
        engine = make_engine(settings.database_url)
        context = make_context(settings, engine, lambda: False, tracing=tracing)
        run_job(context, job["id"])
        with begin() as session:
            (delivery,) = session.scalars(select(Delivery.id)).all()
            assert session.get_one(Job, job["id"]).state == "succeeded"
        deliver(begin, delivery, allow_private=True, tracing=tracing)
        assert api.get(f"/v1/jobs/{job['id']}").json()["trace_id"] == job["trace_id"]
        tracing.provider.force_flush()
        engine.dispose()
    ((headers, body),) = receiver.seen
    sent = {name.lower(): value for name, value in headers.items()}
    assert json.loads(body)["data"]["trace_id"] == job["trace_id"] == trace_id(sent["traceparent"])
    mine = [span for span in spans.get_finished_spans() if id_of(span) == job["trace_id"]]
    names = {span.name for span in mine}
    assert {"POST /v1/subjects/{subject_id}/priors", "job prior", "stage training", "webhook"} <= names
    assert any(span.attributes and "INSERT INTO jobs" in str(span.attributes.get("db.statement")) for span in mine)
    assert any(span.name.startswith("S3.PutObject") for span in mine)
    roots = {span.name for span in spans.get_finished_spans() if span.parent is None}
    assert all(name.split()[0] in {"GET", "POST"} for name in roots), roots
    assert not [name for name in roots if "readyz" in name]
    everything = "\n".join(span.to_json() for span in spans.get_finished_spans())
    lines = [record for record in caplog.records if record.name in {"worker.run_job", "worker.webhooks"}]
    assert len(lines) >= 3
    for hidden in (CANARY, "Rex the canary", "opensesame", key, secret, receiver.url, project.id, "X-Amz", "img_"):
        assert hidden not in everything


def id_of(span: ReadableSpan) -> str:
    return f"{span.context.trace_id:032x}"


def test_an_error_leaves_its_type_and_not_its_message(tracing: OpenTelemetry, spans: InMemorySpanExporter) -> None:
    parent = f"00-{'ab' * 16}-{'cd' * 8}-01"
    with pytest.raises(LookupError), tracing.span("job edit", parent, prompt=CANARY, kind="edit"):
        raise LookupError(CANARY)
    with tracing.span("polling"):  # begins with no request
        assert trace_id(tracing.traceparent()) != "ab" * 16
    tracing.provider.force_flush()
    (span,) = spans.get_finished_spans()
    assert id_of(span) == "ab" * 16
    assert dict(span.attributes or {}) == {"lipe.kind": "edit"}
    assert [dict(event.attributes or {}) for event in span.events] == [{"exception.type": "LookupError"}]
    assert CANARY not in span.to_json()


def test_tracing_is_off_without_an_endpoint_and_needs_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    assert make_tracing("api", {}) is NO_TRACING
    assert make_tracing("api", {**endpoint, "OTEL_SDK_DISABLED": "true"}) is NO_TRACING
    monkeypatch.setattr(trace_settings, "NEEDED", ("opentelemetry.absent.module",))
    with pytest.raises(TracingMissing, match=r"pip install 'lipe-server\[tracing\]', or unset the variable"):
        make_tracing("api", endpoint)
    with NO_TRACING.span("nothing"):
        assert NO_TRACING.traceparent() is None
