"""Metrics for operators."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import func, update

from ledger import attempts
from ledger.database import UnitOfWork
from ledger.models import Job


def _samples(api: TestClient) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(api.get("/metrics").raise_for_status().text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_an_idle_service(api: TestClient) -> None:
    assert _samples(api) == {("lipe_expired_leases",): 0, ("lipe_undelivered_webhooks",): 0}


def test_depth_age_leases_and_deliveries(
    api: TestClient, subject: dict[str, Any], begin: UnitOfWork, work: Callable[..., None]
) -> None:
    path = f"/v1/subjects/{subject['id']}/priors"
    waiting, lost, done = (api.post(path, json={"webhook_url": "http://127.0.0.1:9/"}).json()["id"] for _ in range(3))
    work(done)
    with begin() as session:
        assert attempts.claim(session, lost, "worker-1", lease_seconds=-1)
        an_hour_ago = func.clock_timestamp() - timedelta(hours=1)
        session.execute(update(Job).where(Job.id == waiting).values(queued_at=an_hour_ago))
    seen = _samples(api)
    assert seen["lipe_jobs", "prior", "queued"] == seen["lipe_jobs", "prior", "running"] == 1
    assert 3600 <= seen["lipe_jobs_oldest_seconds", "prior", "queued"] < 3700
    assert seen["lipe_expired_leases",] == seen["lipe_undelivered_webhooks",] == 1
