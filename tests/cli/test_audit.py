"""`lipe audit`: its output and its exit status."""

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, make_url, select, update
from typer.testing import CliRunner, Result

from cli.main import app as lipe
from ledger import erasures
from ledger.audit import INVARIANTS
from ledger.database import UnitOfWork
from ledger.models import Erasure, Job, Project, Subject
from ledger.settings import Settings
from ledger.storage import Storage
from tests.support.rows import make_job
from tests.support.sample_project import make_sample_project
from tests.support.violations import VIOLATIONS

pytestmark = pytest.mark.usefixtures("settings_environment")

HOOK = "http://127.0.0.1:9/"


def test_a_project_used_through_the_api_has_no_violations(
    api: TestClient,
    subject: dict[str, Any],
    upload: Callable[..., str],
    work: Callable[..., None],
    begin: UnitOfWork,
) -> None:
    api.post("/v1/webhook-endpoints", json={"url": HOOK}).raise_for_status()
    priors = f"/v1/subjects/{subject['id']}/priors"
    job = api.post(priors, json={"webhook_url": HOOK}, headers={"Idempotency-Key": "a"}).raise_for_status().json()
    with begin() as session:
        assert session.scalars(select(Job.idempotency_key)).one() == "a"
    work(job["id"])
    body = {
        "subject_id": subject["id"],
        "image_id": upload("white"),
        "prompt": "sks dog asleep",
        "seeds": [1, 2],
        "parameters": {"renoise": 0.5},
    }
    edit = api.post("/v1/edits", json=body, headers={"Idempotency-Key": "b"}).raise_for_status().json()
    work(edit["id"], [("image", {"target_prompt": body["prompt"], "seed": seed}) for seed in (1, 2)])
    canceled = api.post(priors).raise_for_status().json()
    api.post(canceled["urls"]["cancel"]).raise_for_status()
    api.post(canceled["urls"]["retry"], headers={"Idempotency-Key": "c"}).raise_for_status()
    assert run().exit_code == 0
    api.delete(f"/v1/subjects/{subject['id']}").raise_for_status()
    result = run()
    assert result.exit_code == 0
    assert all(invariant in result.stdout for invariant in INVARIANTS.values())
    assert result.stdout.count("none") == len(INVARIANTS)
    assert json.loads(run("--json").stdout) == {"violations": []}


def test_a_violation_is_printed_and_sets_the_exit_status(begin: UnitOfWork, storage: Storage, project: Project) -> None:
    journey = make_sample_project(begin, storage, project)
    with begin() as session:
        VIOLATIONS["a lost object"][2](session, storage, journey)
    result = run()
    assert result.exit_code == 1
    assert "has no object" in result.stdout
    result = run("--json")
    assert result.exit_code == 1
    (violation,) = json.loads(result.stdout)["violations"]
    assert violation["invariant"] == 4
    assert violation["thing"].startswith("artefact art_")
    assert "has no object" in violation["detail"]


def test_the_caller_sets_the_patience(begin: UnitOfWork, storage: Storage, project: Project) -> None:
    journey = make_sample_project(begin, storage, project)
    with begin() as session:
        VIOLATIONS["a lease that has ended"][2](session, storage, journey)
    assert run("--patience", "7200").exit_code == 0
    assert run("--patience", "60").exit_code == 1
    assert run("--patience", "-1").exit_code == 2


def test_checkpoints_on_the_disk_of_a_worker_are_checked(
    begin: UnitOfWork, storage: Storage, project: Project, tmp_path: Path
) -> None:
    sample = make_sample_project(begin, storage, project)
    with begin() as session:
        erased = make_job(session, session.scalars(select(Subject)).one())
        erasures.erase_prior(session, project.id, erased.prior_id or "")
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for job_id in (sample.waiting, sample.failed, erased.id, "job_unknown"):
        (folder / f"{job_id}.0123456789ab.safetensors").write_bytes(b"weights")
    hours = ("--worker-data", str(tmp_path), "--patience", "7200", "--json")
    assert json.loads(run(*hours).stdout) == {"violations": []}  # a worker may still delete them
    with begin() as session:
        ago = func.clock_timestamp() - timedelta(hours=3)
        session.execute(update(Erasure).values(created_at=ago, finished_at=ago))
        session.execute(update(Job).where(Job.id == sample.failed).values(finished_at=ago))
    os.utime(folder / "job_unknown.0123456789ab.safetensors", (0, 0))
    found = json.loads(run(*hours).stdout)["violations"]
    assert {each["invariant"] for each in found} == {8}
    assert {Path(each["thing"]).name.partition(".")[0] for each in found} == {sample.failed, erased.id, "job_unknown"}
    assert run("--worker-data", str(tmp_path / "absent")).exit_code == 2


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("DATABASE_URL", "postgresql://lipe@127.0.0.1:9/lipe", "the database does not answer"),
        ("DATABASE_URL", "sqlite://", "LIPE_DATABASE_URL: "),
        ("S3_ENDPOINT_URL", "http://127.0.0.1:9", "the storage does not answer"),
        ("S3_BUCKET", "another", "the storage does not answer"),
    ],
)
def test_an_unavailable_server_is_not_a_violation(
    begin: UnitOfWork,
    storage: Storage,
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    value: str,
    message: str,
) -> None:
    make_sample_project(begin, storage, project)
    monkeypatch.setenv(f"LIPE_{setting}", value)
    result = run("--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_a_database_without_tables_suggests_migrate(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = make_url(settings.database_url).set(database="template1")
    monkeypatch.setenv("LIPE_DATABASE_URL", empty.render_as_string(hide_password=False))
    result = run("--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "lipe migrate" in result.stderr


def run(*arguments: str) -> Result:
    return CliRunner().invoke(lipe, ["audit", *arguments])
