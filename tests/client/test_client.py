"""From references to files on disk; breaks, refusals and failures on the way."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from client import Client, Job, JobFailed, Problem, Progress, Subject
from client import client as client_module
from client.events import parse
from ledger import attempts
from ledger.database import UnitOfWork
from tests.api.conftest import png

Work = Callable[..., None]
ROLES = ("image", "source_mask", "edit_mask", "uncomposited")


@pytest.fixture
def rex(lipe: Client) -> Subject:
    """A dog with three references."""
    references = [lipe.upload_image(png(colour)) for colour in ("red", "green", "blue")]
    return lipe.create_subject(name="Rex", class_noun="dog", references=references, metadata={"owner": "me"})


def _waited(lipe: Client, job: Job, work: Work, *files: Any) -> tuple[Job, list[Progress]]:
    seen: list[Progress] = []
    worker = threading.Thread(target=work, args=(job.id, *files))
    worker.start()
    ended = lipe.wait(job, on_progress=seen.append)
    worker.join()
    return ended, seen


def test_from_references_to_files(lipe: Client, rex: Subject, work: Work, tmp_path: Path) -> None:
    ended, seen = _waited(lipe, lipe.train_prior(rex, parameters={"steps": 5}), work)
    assert [progress.type for progress in seen] == ["prior.queued", "prior.running", "prior.succeeded"]
    assert ended.parameters == {"prior": {"steps": 5}, "regularization": {}}
    prior = lipe.prior(ended.prior_id or "")
    assert lipe.download(prior.artefacts[0], tmp_path / "adapter").read_bytes() == b"adapter"

    file = tmp_path / "park.png"
    file.write_bytes(png("white"))
    park = lipe.upload_image(file)
    prompt = f"a photo of {rex.phrase} jumping"
    job = lipe.edit(subject=rex, image=park, prompt=prompt, seed=7)
    ended, _ = _waited(lipe, job, work, [(role, {"target_prompt": prompt, "seed": 7}) for role in ROLES])
    (result,) = lipe.results(ended)
    assert (result.prompt, result.seed) == (prompt, 7)
    assert result.edit_mask is not None
    assert lipe.download(result.edit_mask, tmp_path / "mask.png").read_bytes() == b"edit_mask"
    kept = lipe.download(lipe.image(park.id), tmp_path / "kept.png")
    assert kept.read_bytes().startswith(b"\x89PNG")
    assert lipe.subject(rex.id) == rex


def test_progress_has_its_step(lipe: Client, rex: Subject, begin: UnitOfWork) -> None:
    job = lipe.train_prior(rex)
    with begin() as session:
        claim = attempts.claim(session, job.id, "worker-1", lease_seconds=60)
        assert claim
        attempts.renew(session, claim, attempts.Progress("training", 2, 9), lease_seconds=60)
    events = lipe.progress(job, after=2)
    progress = next(events)
    assert (progress.stage, progress.step, progress.total, progress.is_last) == ("training", 2, 9, False)
    with begin() as session:
        assert attempts.finish_failed(session, claim, "gpu_out_of_memory", "too large", {})
    assert [event.type for event in events] == ["prior.failed"]
    with pytest.raises(JobFailed, match="gpu_out_of_memory: too large") as caught:
        lipe.wait(job)
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


def test_an_answer_that_was_lost_creates_nothing_twice(
    lipe: Client, rex: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "FIRST_RETRY_SECONDS", 0.01)
    real, calls = lipe._http.request, []

    def lossy(*request: Any, **options: Any) -> httpx.Response:
        answer = real(*request, **options)
        calls.append(answer)
        if len(calls) < 3:
            raise httpx.ReadError("the answer was lost")
        return answer

    monkeypatch.setattr(lipe._http, "request", lossy)
    job = lipe.train_prior(rex)
    assert [answer.json()["id"] for answer in calls] == [job.id] * 3


def test_a_download_that_is_not_what_was_promised_is_refused(
    lipe: Client, rex: Subject, work: Work, tmp_path: Path
) -> None:
    ended, _ = _waited(lipe, lipe.train_prior(rex), work)
    adapter, manifest = lipe.prior(ended.prior_id or "").artefacts
    wrong = adapter.model_copy(update={"url": manifest.url})
    with pytest.raises(OSError, match="promised"):
        lipe.download(wrong, tmp_path / "adapter")
    assert not list(tmp_path.iterdir())


def test_webhooks(lipe: Client) -> None:
    assert lipe.webhook_secret().startswith("whsec_")
    endpoint = lipe.create_webhook_endpoint("http://127.0.0.1:9/", ["edit.succeeded"])
    assert endpoint.secrets[0].startswith("whsec_")
    lipe.delete_webhook_endpoint(endpoint)


def test_erasing(lipe: Client, rex: Subject) -> None:
    lipe.delete_subject(rex)
    with pytest.raises(Problem, match="not_found"):
        lipe.subject(rex.id)


def test_events_are_parsed_as_the_standard_says() -> None:
    lines = [": ping", "", "id: 1", "event: x", "data: a", "data:b", "", "retry: 3", "", "data: cut off"]
    assert list(parse(lines)) == ["a\nb"]
