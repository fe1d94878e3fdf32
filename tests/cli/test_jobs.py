"""`lipe jobs`, `lipe cancel` and `lipe retry` against a real service."""

import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner, Result

from cli.jobs import describe
from cli.main import app
from ledger import attempts
from ledger.database import UnitOfWork
from lipe_client import Client, Job
from tests.support.uploads import png

pytestmark = pytest.mark.usefixtures("service_environment")


@pytest.fixture
def job(lipe: Client) -> Job:
    """A queued training."""
    references = [lipe.upload_image(png(colour)) for colour in ("red", "green", "blue")]
    return lipe.train_prior(lipe.create_subject(name="Rex", class_noun="dog", references=references))


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_jobs_are_listed_with_whole_ids(job: Job, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    listed = run("jobs").output
    assert [line.split()[:3] for line in listed.splitlines() if "job_" in line] == [[job.id, "prior", "queued"]]
    assert "waits:" in listed


def test_jobs_are_filtered_and_printed_as_json(job: Job) -> None:
    (line,) = run("jobs", "--json", "--status", "queued", "--kind", "prior").output.splitlines()
    assert json.loads(line)["id"] == job.id
    assert run("jobs", "--status", "failed").output.strip() == "there is no such job"


def test_a_job_is_canceled_and_retried(job: Job, lipe: Client) -> None:
    for _ in range(2):
        assert run("cancel", job.id).output.strip() == f"{job.id} is canceled"
    retried = run("retry", job.id).output.strip()
    assert lipe.job(retried).status == "queued"
    assert "job_not_retryable" in run("retry", job.id, status=1).output


def test_a_running_job_stops_at_its_next_step(job: Job, begin: UnitOfWork) -> None:
    with begin() as session:
        assert attempts.claim(session, job.id, "worker-1", lease_seconds=60)
    assert run("cancel", job.id).output.strip() == f"{job.id} stops at its next step"


def test_a_job_that_has_ended_keeps_its_state(job: Job, begin: UnitOfWork) -> None:
    with begin() as session:
        claim = attempts.claim(session, job.id, "worker-1", lease_seconds=60)
        assert claim is not None
        attempts.finish_failed(session, claim, "stuck", "in training", {})
    assert run("cancel", job.id, status=1).output.strip() == f"{job.id} has already ended: failed"


@pytest.mark.parametrize("command", ["cancel", "retry"])
def test_an_unknown_job_is_one_sentence(command: str) -> None:
    output = run(command, "job_1", status=1).output
    assert output == "not_found: there is no job job_1 in this project: check the id\n"


def test_a_wrong_key_and_an_unreachable_service_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPE_API_KEY", "lipe_wrong")
    assert run("jobs", status=1).output == "unauthenticated: the API key is wrong: use another\n"
    unreachable = run("jobs", "--url", "http://127.0.0.1:9", status=1).output
    assert unreachable.startswith("cannot reach http://127.0.0.1:9 (")
    assert "start it with `lipe up`" in unreachable
    assert unreachable.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"waiting": {"reason": "no_worker", "position": 2}}, "waits: no worker (number 2 of its kind)"),
        ({"status": "failed", "error": {"code": "stuck", "detail": "in training"}}, "stuck: in training"),
        (
            {"status": "running", "progress": {"stage": "training", "step": 3, "total": 9, "eta_seconds": 41.2}},
            "training 3/9, about 41 s left",
        ),
        ({"status": "succeeded", "started_at": "2026-01-31T12:00:00Z"}, "ran 90 s"),
        ({"status": "expired"}, ""),
    ],
)
def test_the_details_of_a_job(change: dict[str, object], expected: str) -> None:
    now = datetime(2026, 1, 31, 12, 1, 30, tzinfo=UTC)
    job: dict[str, object] = {
        "id": "job_1", "kind": "prior", "status": "queued", "subject_id": "sub_1", "prior_id": "pri_1",
        "edit_id": None, "attempt": 0, "waiting": None, "progress": None, "error": None, "parameters": {},
        "resolved": {}, "metrics": {}, "metadata": {}, "created_at": now, "started_at": None, "finished_at": now,
    }  # fmt: skip
    assert describe(Job.model_validate(job | change)) == expected


def run(*arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == status, result.output
    return result
