"""From references to files on disk; breaks, refusals and failures on the way."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from client import Client, Job, JobFailed, Problem, Progress, Subject, call, events, retries
from client.events import Reader
from client.problems import raise_for_problem
from ledger import attempts
from ledger.database import UnitOfWork
from tests.support.uploads import png

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
    assert ended.parameters == {"prior": {"steps": 5}, "regularization": {}, "previews": 4}
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


def test_a_file_can_go_past_the_api(lipe: Client, tmp_path: Path) -> None:
    file = tmp_path / "rex.png"
    file.write_bytes(png("teal"))
    direct, presigned = lipe.upload_image(file), lipe.upload_image_presigned(file)
    assert (presigned.id != direct.id, presigned.sha256) == (True, direct.sha256)
    twice = [lipe.upload_image_presigned(file, idempotency_key="order-7") for _ in range(2)]
    assert twice[0] == twice[1]
    with pytest.raises(Problem, match="image_format_unsupported"):
        lipe.upload_image_presigned(b"no picture")


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
    monkeypatch.setattr(retries, "FIRST_RETRY_SECONDS", 0.01)
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


def test_a_key_of_the_callers_own_creates_once(lipe: Client, rex: Subject) -> None:
    jobs = {lipe.train_prior(rex, idempotency_key="order-7").id for _ in range(2)}
    assert [job.id for job in lipe.jobs()] == list(jobs)


def test_a_download_that_is_not_what_was_promised_is_refused(
    lipe: Client, rex: Subject, work: Work, tmp_path: Path
) -> None:
    ended, _ = _waited(lipe, lipe.train_prior(rex), work)
    adapter, manifest = lipe.prior(ended.prior_id or "").artefacts
    wrong = adapter.model_copy(update={"url": manifest.url})
    with pytest.raises(OSError, match="promised"):
        lipe.download(wrong, tmp_path / "adapter")
    assert not list(tmp_path.iterdir())


def test_webhooks(lipe: Client, rex: Subject) -> None:
    assert lipe.webhook_secret().startswith("whsec_")
    endpoint = lipe.create_webhook_endpoint("http://127.0.0.1:9/", ["prior.canceled"])
    assert endpoint.secrets == (lipe.webhook_endpoint_secret(endpoint),)
    assert lipe.webhook_endpoint(endpoint).events == ("prior.canceled",)
    assert lipe.change_webhook_endpoint(endpoint, url="http://127.0.0.1:8/").url == "http://127.0.0.1:8/"
    job = lipe.cancel(lipe.train_prior(rex))
    (delivery,) = lipe.webhook_deliveries(job=job, state="pending")
    assert (delivery.endpoint_id, delivery.body["data"]["job_id"]) == (endpoint.id, job.id)
    assert lipe.redeliver(delivery).message_id == delivery.message_id
    assert [listed.id for listed in lipe.webhook_endpoints()] == [endpoint.id]
    lipe.delete_webhook_endpoint(endpoint)
    assert list(lipe.webhook_endpoints()) == []


def test_lists_go_on_to_their_end_and_keep_to_their_filters(
    lipe: Client, rex: Subject, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call, "LARGEST_PAGE", 2)
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


def test_erasing(lipe: Client, rex: Subject) -> None:
    lipe.delete_subject(rex)
    with pytest.raises(Problem, match="not_found"):
        lipe.subject(rex)


def test_what_cannot_pass_is_not_tried_again() -> None:
    def problem(status: int, **told: Any) -> Problem:
        return Problem(status, "code", "detail", body={}, **told)

    for hopeless in (
        problem(422, retryable=False),
        problem(429, retryable=True, retry_after=3600),
        httpx.UnsupportedProtocol("no scheme"),
    ):
        with pytest.raises(type(hopeless)):
            retries.pause(0, hopeless)
    with pytest.raises(httpx.ReadError):
        retries.pause(retries.RETRIES, httpx.ReadError("again"))
    assert retries.pause(2, httpx.ReadError("lost")) == 2.0
    assert retries.pause(0, problem(503, retryable=True, retry_after=7.0)) == 7.0


@pytest.mark.parametrize(
    ("status", "after", "retryable", "seconds"),
    [
        (429, "7", True, 7.0),
        (503, "Fri, 01 Jan 2100 00:00:00 GMT", True, 1e9),
        (502, "soon", True, 0.0),
        (403, "", False, 0.0),
    ],
)
def test_an_answer_that_is_no_problem_document_is_understood(
    status: int, after: str, retryable: bool, seconds: float
) -> None:
    with pytest.raises(Problem) as caught:
        raise_for_problem(httpx.Response(status, text="[]", headers={"Retry-After": after}))
    assert (caught.value.code, caught.value.retryable) == ("unknown", retryable)
    assert (caught.value.retry_after > seconds / 2) if seconds else caught.value.retry_after == 0


def test_events_are_parsed_as_the_standard_says() -> None:
    event = '{"sequence": %d, "type": "prior.running", "at": "2026-01-01T00:00:00Z",'
    lines = [
        ": ping", "", "id: 1", "event: x", f"data: {event % 1}", 'data:"data": {}}', "", "retry: 3", "",
        f'data: {event % 1} "data": {{}}}}', "", "data: cut off",
    ]  # fmt: skip
    reader = Reader()
    assert [found.sequence for line in lines if (found := reader.read(line))] == [1]  # and the same is not seen twice
    reader.connected(httpx.Response(200))
    assert reader.read("") is None
    assert reader.request["headers"]["Last-Event-ID"] == "1"


def test_a_service_that_stays_away_is_told_in_the_end() -> None:
    reader = Reader()
    for _ in range(events.FRUITLESS):
        assert reader.pause(httpx.ConnectError("refused")) == events.RECONNECT_SECONDS
    with pytest.raises(httpx.ConnectError):
        reader.pause(httpx.ConnectError("refused"))
    with pytest.raises(httpx.RemoteProtocolError):
        reader.pause(None)
