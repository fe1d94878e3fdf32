"""Metrics for operators: those of the service, those of this process, and who may read them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import func, update

from api.app import make_app
from ledger import attempts, outbox, workers
from ledger.database import UnitOfWork
from ledger.models import Job, Project
from ledger.settings import Settings
from tests.support.api_fixtures import METRICS_TOKEN

Samples = dict[tuple[str, ...], float]


@pytest.fixture
def scrape(app: FastAPI) -> Callable[[], Samples]:
    """`scrape()`: the samples, by name and values of labels, which Prometheus sorts by name."""
    client = TestClient(app, headers={"Authorization": f"Bearer {METRICS_TOKEN}"})

    def read() -> Samples:
        families = text_string_to_metric_families(client.get("/metrics").raise_for_status().text)
        return {
            (sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples
        }

    return read


def test_an_idle_service(scrape: Callable[[], Samples], begin: UnitOfWork) -> None:
    seen = scrape()
    idle = {"lipe_expired_leases", "lipe_undelivered_webhooks", "lipe_outbox_entries", "lipe_outbox_oldest_seconds"}
    assert {name: seen[name,] for name in idle} == dict.fromkeys(idle, 0.0)
    assert seen["lipe_database_up",] == 1
    assert not [key for key in seen if key[0] in {"lipe_jobs", "lipe_workers", "lipe_project_jobs"}]
    assert seen["lipe_postgres_max_connections",] >= seen["lipe_postgres_connections",] >= 1


def test_depth_age_leases_and_deliveries(
    api: TestClient,
    scrape: Callable[[], Samples],
    subject: dict[str, Any],
    project: Project,
    begin: UnitOfWork,
    work: Callable[..., None],
) -> None:
    path = f"/v1/subjects/{subject['id']}/priors"
    waiting, lost, done = (api.post(path, json={"webhook_url": "http://127.0.0.1:9/"}).json()["id"] for _ in range(3))
    work(done)
    with begin() as session:
        assert attempts.claim(session, lost, "host:1", lease_seconds=-1)
        an_hour_ago = func.clock_timestamp() - timedelta(hours=1)
        session.execute(update(Job).where(Job.id == waiting).values(queued_at=an_hour_ago))
        workers.report(session, "host:1", ["prior", "edit"], {})
        workers.report(session, "host:2", ["prior", "edit"], {})
        outbox.add(session, "lipe.prior", waiting)
    seen = scrape()
    assert seen["lipe_jobs", "prior", "queued"] == seen["lipe_jobs", "prior", "running"] == 1
    assert 3600 <= seen["lipe_jobs_oldest_seconds", "prior", "queued"] < 3700
    assert seen["lipe_expired_leases",] == seen["lipe_undelivered_webhooks",] == 1
    assert seen["lipe_outbox_entries",] >= 1
    states = {state: seen["lipe_workers", "edit+prior", state] for state in workers.WorkerState}
    assert states == {"idle": 1, "busy": 1, "draining": 0, "lost": 0}
    assert seen["lipe_project_jobs", "test", project.id, "queued"] == 1
    assert seen["lipe_project_gpu_seconds_today", "test", project.id] > 0


def test_requests_and_jobs_that_this_process_ended_are_counted(
    api: TestClient, scrape: Callable[[], Samples], subject: dict[str, Any]
) -> None:
    canceled = ("lipe_jobs_finished_total", "", "prior", "canceled")
    request = ("lipe_http_request_seconds_count", "GET", "/subjects/{subject_id}", "404")
    unknown = ("lipe_http_request_seconds_count", "GET", "none", "404")
    before = scrape()
    job = api.post(f"/v1/subjects/{subject['id']}/priors").raise_for_status().json()
    api.post(f"/v1/jobs/{job['id']}/cancel").raise_for_status()
    api.get("/v1/subjects/sub_0123")
    api.get("/a/hidden/path")
    after = scrape()
    for key in (canceled, request, unknown):
        assert after[key] == before.get(key, 0) + 1
    assert after["lipe_job_seconds_count", "prior", "canceled"] >= 1
    assert after["lipe_database_pool_wait_seconds_count",] > before["lipe_database_pool_wait_seconds_count",]
    assert not [key for key in after if "hidden" in str(key)]


def test_metrics_need_their_token(app: FastAPI, api: TestClient, settings: Settings) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, dict(api.headers)):
        answer = TestClient(app, headers=headers).get("/metrics")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert "LIPE_METRICS_TOKEN" in answer.json()["detail"]
    with TestClient(make_app(settings)) as closed:
        for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}):
            answer = closed.get("/metrics", headers=headers)
            assert (answer.status_code, answer.json()["detail"]) == (
                401, "metrics are closed here: set LIPE_METRICS_TOKEN, or use LIPE_METRICS_PORT",
            )  # fmt: skip
