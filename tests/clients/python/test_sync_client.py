"""The synchronous client against a real server: operations, events, retries, refusals and failures."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from ledger import attempts, decisions, workers
from ledger.database import UnitOfWork
from ledger.decisions import NewDecision
from ledger.models import Project
from lipe_client import Client, Job, JobFailed, Problem, Progress, Subject, call, retries
from tests.support.file_server import serving
from tests.support.uploads import photo, png

Work = Callable[..., None]
ROLES = ("image", "source_mask", "edit_mask", "uncomposited")


@pytest.fixture
def rex(lipe: Client) -> Subject:
    """A dog with three references."""
    references = [lipe.upload_image(png(colour)) for colour in ("red", "green", "blue")]
    return lipe.create_subject(name="Rex", class_noun="dog", references=references, metadata={"owner": "me"})


def _wait_with_worker(lipe: Client, job: Job, work: Work, *files: Any) -> tuple[Job, list[Progress]]:
    seen: list[Progress] = []
    worker = threading.Thread(target=work, args=(job.id, *files))
    worker.start()
    finished = lipe.wait(job, on_progress=seen.append)
    worker.join()
    return finished, seen


def test_from_references_to_files(lipe: Client, rex: Subject, work: Work, tmp_path: Path) -> None:
    finished, seen = _wait_with_worker(lipe, lipe.train_prior(rex, parameters={"steps": 5}), work)
    assert [progress.type for progress in seen] == ["prior.queued", "prior.running", "prior.succeeded"]
    assert str(seen[0]) == "prior.queued"
    assert finished.parameters == {"prior": {"steps": 5}, "regularization": {}, "previews": 4, "snapshots": None}
    prior = lipe.prior(finished.prior_id or "")
    assert lipe.download(prior.artefacts[0], tmp_path / "adapter").read_bytes() == b"adapter"

    file = tmp_path / "park.png"
    file.write_bytes(png("white"))
    park = lipe.upload_image(file)
    prompt = f"a photo of {rex.phrase} jumping"
    job = lipe.edit(subject=rex, image=park, prompt=prompt, seed=7)
    finished, _ = _wait_with_worker(lipe, job, work, [(role, {"target_prompt": prompt, "seed": 7}) for role in ROLES])
    (result,) = lipe.results(finished)
    assert (result.prompt, result.seed) == (prompt, 7)
    assert result.edit_mask is not None
    assert lipe.download(result.edit_mask, tmp_path / "mask.png").read_bytes() == b"edit_mask"
    kept = lipe.download(lipe.image(park.id), tmp_path / "kept.png")
    assert kept.read_bytes().startswith(b"\x89PNG")
    assert lipe.subject(rex.id) == rex


def test_a_presigned_upload_gives_the_same_image(lipe: Client, tmp_path: Path) -> None:
    file = tmp_path / "rex.png"
    file.write_bytes(png("teal"))
    direct, presigned = lipe.upload_image(file), lipe.upload_image_presigned(file)
    assert (presigned.id != direct.id, presigned.sha256) == (True, direct.sha256)
    twice = [lipe.upload_image_presigned(file, idempotency_key="order-7") for _ in range(2)]
    assert twice[0] == twice[1]
    with pytest.raises(Problem, match="image_format_unsupported"):
        lipe.upload_image_presigned(b"no image")


@pytest.mark.usefixtures("fetcher")
def test_an_image_comes_from_a_url(lipe: Client) -> None:
    with serving({"/photo.heic": photo("HEIF")}) as server:
        assert lipe.upload_image_from_url(f"{server.url}/photo.heic").width == 96
        with pytest.raises(Problem, match="image_url_unreachable"):
            lipe.upload_image_from_url(f"{server.url}/missing")


@pytest.mark.parametrize("name", ["HEIF", "AVIF", "JPEG", "WEBP"])
def test_every_format_is_uploaded_with_its_type(lipe: Client, name: str) -> None:
    assert lipe.upload_image_presigned(photo(name)).width == 96


def test_progress_has_its_step(lipe: Client, rex: Subject, begin: UnitOfWork) -> None:
    job = lipe.train_prior(rex)
    with begin() as session:
        claim = attempts.claim(session, job.id, "worker-1", lease_seconds=60)
        assert claim
        attempts.renew(session, claim, attempts.Progress("training", 2, 9), lease_seconds=60)
    events = lipe.progress(job, after=2)
    progress = next(events)
    assert (progress.stage, progress.step, progress.total, progress.is_last) == ("training", 2, 9, False)
    assert str(progress) == "training 2/9"
    with begin() as session:
        assert attempts.finish_failed(session, claim, "gpu_out_of_memory", "too large", {})
    assert [event.type for event in events] == ["prior.failed"]
    with pytest.raises(JobFailed, match="gpu_out_of_memory: too large") as caught:
        lipe.wait(job)
    assert caught.value.job.error is not None
    assert caught.value.job.error.code == "gpu_out_of_memory"
    retried = lipe.retry(job)
    assert lipe.cancel(retried).status == "canceled"
    assert lipe.job(retried).is_over


def test_a_refusal_is_a_problem(lipe: Client, rex: Subject) -> None:
    with pytest.raises(Problem) as caught:
        lipe.edit(subject=rex, image="img_unknown", prompt="sks dog")
    problem = caught.value
    assert (problem.status, problem.code, problem.retryable) == (409, "prior_not_ready", False)
    with Client(str(lipe._http.base_url), "lipe_wrong") as wrong, pytest.raises(Problem, match="unauthenticated"):
        wrong.job("job_1")


def test_a_lost_response_creates_nothing_twice(lipe: Client, rex: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_DELAY_SECONDS", 0.01)
    real, calls = lipe._http.request, []

    def lossy(*request: Any, **options: Any) -> httpx.Response:
        response = real(*request, **options)
        calls.append(response)
        if len(calls) < 3:
            raise httpx.ReadError("the response was lost")
        return response

    monkeypatch.setattr(lipe._http, "request", lossy)
    job = lipe.train_prior(rex)
    assert [response.json()["id"] for response in calls] == [job.id] * 3


def test_an_idempotency_key_creates_once(lipe: Client, rex: Subject) -> None:
    jobs = {lipe.train_prior(rex, idempotency_key="order-7").id for _ in range(2)}
    assert [job.id for job in lipe.jobs()] == list(jobs)


def test_a_download_with_another_hash_is_refused(lipe: Client, rex: Subject, work: Work, tmp_path: Path) -> None:
    finished, _ = _wait_with_worker(lipe, lipe.train_prior(rex), work)
    adapter, manifest = lipe.prior(finished.prior_id or "").artefacts
    wrong = adapter.model_copy(update={"url": manifest.url})
    with pytest.raises(OSError, match="SHA-256"):
        lipe.download(wrong, tmp_path / "adapter")
    assert not list(tmp_path.iterdir())


def test_keys(lipe: Client, server: str) -> None:
    expires_at = datetime.now(UTC) + timedelta(days=1)
    created = lipe.create_api_key("viewer", scope="read", expires_at=expires_at)
    with Client(server, created.api_key) as viewer:
        assert list(viewer.jobs()) == []
        mine = viewer.key()
        assert (mine.id, mine.name, mine.scopes, mine.expires_at) == (created.id, "viewer", ("read",), expires_at)
        assert {quota.name for quota in viewer.usage().quotas} > {"queued-jobs", "subjects"}
        with pytest.raises(Problem, match="scope `admin`"):
            list(viewer.api_keys())
    lipe.revoke_api_key(created)
    viewers = [key for key in lipe.api_keys() if key.id == created.id]
    assert [(key.scope, key.expires_at, key.revoked_at is None) for key in viewers] == [("read", expires_at, False)]


def test_decisions(lipe: Client, begin: UnitOfWork, project: Project) -> None:
    with begin() as session:
        for outcome in ("allowed", "refused"):
            decisions.record(session, project.id, NewDecision("prompt", outcome, "worker", [f"job_{outcome}"]))
    newest, oldest = lipe.decisions()
    assert (newest.number, newest.outcome, newest.previous) == (2, "refused", oldest.hash)
    assert list(lipe.decisions(concerning="job_allowed")) == [oldest]


def test_webhooks(lipe: Client, rex: Subject) -> None:
    assert lipe.webhook_secret().startswith("whsec_")
    endpoint = lipe.create_webhook_endpoint("http://127.0.0.1:9/", ["prior.canceled"])
    assert endpoint.secrets == (lipe.webhook_endpoint_secret(endpoint),)
    assert lipe.webhook_endpoint(endpoint).events == ("prior.canceled",)
    assert lipe.change_webhook_endpoint(endpoint, url="http://127.0.0.1:8/").url == "http://127.0.0.1:8/"
    rotated = lipe.rotate_webhook_endpoint_secret(endpoint, keep_hours=1)
    assert (rotated.secrets[1:], rotated.former_expires_at is not None) == (endpoint.secrets, True)
    assert lipe.rotate_webhook_secret(keep_hours=0).former_expires_at is None
    job = lipe.cancel(lipe.train_prior(rex, deadline_seconds=60))
    assert job.expires_at is not None
    (delivery,) = lipe.webhook_deliveries(job=job, state="pending")
    assert (delivery.endpoint_id, delivery.body["data"]["job_id"]) == (endpoint.id, job.id)
    assert lipe.redeliver(delivery).message_id == delivery.message_id
    assert [listed.id for listed in lipe.webhook_endpoints()] == [endpoint.id]
    lipe.delete_webhook_endpoint(endpoint)
    assert list(lipe.webhook_endpoints()) == []


def test_lists_return_all_pages_and_apply_their_filters(
    lipe: Client, rex: Subject, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call, "PAGE_SIZE", 2)
    jobs = [lipe.train_prior(rex, metadata={"place": str(place)}) for place in range(5)]
    work(jobs[0].id)
    assert [job.id for job in lipe.jobs(kind="prior")] == [job.id for job in reversed(jobs)]
    assert [job.id for job in lipe.jobs(status="succeeded")] == [jobs[0].id]
    assert [job.id for job in lipe.jobs(metadata={"place": "3"})] == [jobs[3].id]
    assert [job.id for job in lipe.jobs(created_after=jobs[3].created_at)] == [jobs[4].id, jobs[3].id]
    assert [job.id for job in lipe.jobs(created_before=jobs[1].created_at)] == [jobs[0].id]
    assert [prior.id for prior in lipe.priors(rex)] == [job.prior_id for job in reversed(jobs)]
    edit = lipe.edit(subject=rex, image=rex.references[0].image_id, prompt="a photo of sks dog")
    assert [row.id for row in lipe.edits(status="queued")] == [edit.edit_id]
    assert lipe.get_edit(edit).target_prompts == ("a photo of sks dog",)
    assert {image.id for image in lipe.images()} == {reference.image_id for reference in rex.references}
    assert list(lipe.subjects(metadata={"owner": "me"})) == [rex]


def test_a_deleted_subject_is_not_found(lipe: Client, rex: Subject) -> None:
    lipe.delete_subject(rex)
    with pytest.raises(Problem, match="not_found"):
        lipe.subject(rex)


def test_the_served_models(lipe: Client, begin: UnitOfWork) -> None:
    assert lipe.models() == ()
    model = {
        "name": "sdxl", "fingerprint": "00ff", "family": "sdxl", "native_size": 1024, "miniature": False,
        "license": None,
    }  # fmt: skip
    with begin() as session:
        workers.report(session, "host:1", ["edit"], model)
    (served,) = lipe.models()
    assert (served.name, served.kinds, served.workers) == ("sdxl", ("edit",), 1)
    (worker,) = lipe.workers()
    assert (worker.name, worker.state, worker.base_model, worker.gpu) == ("host:1", "idle", "sdxl", None)
