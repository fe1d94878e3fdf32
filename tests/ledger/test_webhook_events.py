"""Webhooks of a job's start, its results and its end: who gets which, once, and with URLs that work."""

import json
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from ledger import attempts, edits, jobs, reaper, retries, webhook_bodies, webhooks
from ledger.artefacts import NewArtefact
from ledger.attempts import Claim
from ledger.database import UnitOfWork
from ledger.models import Delivery, Job, Project, Subject
from ledger.partial_results import PartialResults
from ledger.storage import Storage, StoredObject, attempt_prefix
from tests.support.rows import make_image

Claiming = Callable[..., Claim]
HOOK, ENDPOINT = "http://127.0.0.1:9/own", "http://127.0.0.1:9/endpoint"
ROLES = ("image", "source_mask", "edit_mask", "uncomposited")
PROMPT = "a photo of sks dog jumping"


@pytest.fixture
def submit(begin: UnitOfWork, subject: Subject) -> Callable[..., Job]:
    """`submit(events)`: a queued edit whose URL gets these events."""

    def queue(events: list[str], metadata: dict[str, str] | None = None) -> Job:
        with begin() as session:
            image = make_image(session, subject.project_id)
            row = edits.draft(
                subject.project_id, subject_id=subject.id, prior_id=None, image_id=image.id, target_prompts=[PROMPT]
            )
            return jobs.submit(
                session, subject.project_id, "edit", subject_id=subject.id, edit_id=row.id, related=[row],
                parameters={}, metadata=metadata, webhook_url=HOOK, webhook_events=events,
            )  # fmt: skip

    return queue


def test_each_subscriber_gets_the_types_that_it_chose(
    begin: UnitOfWork, storage: Storage, project: Project, submit: Callable[..., Job], claim: Claiming
) -> None:
    with begin() as session:
        webhooks.create_endpoint(session, project.id, ENDPOINT)  # the ends, by default
        webhooks.create_endpoint(session, project.id, f"{ENDPOINT}/output", ["edit.output", "prior.started"])
    for events in ([], ["edit.started", "edit.output"]):
        job = submit(events)
        run(begin, storage, claim(job), 2)
    assert sent(begin) == [
        (f"{ENDPOINT}/output", "edit.output"), (f"{ENDPOINT}/output", "edit.output"),
        (ENDPOINT, "edit.succeeded"), (HOOK, "edit.succeeded"),
        (HOOK, "edit.started"),
        (f"{ENDPOINT}/output", "edit.output"), (HOOK, "edit.output"),
        (f"{ENDPOINT}/output", "edit.output"), (HOOK, "edit.output"),
        (ENDPOINT, "edit.succeeded"),
    ]  # fmt: skip


def test_a_retry_keeps_the_choice(begin: UnitOfWork, submit: Callable[..., Job]) -> None:
    job = submit(["edit.output"])
    with begin() as session:
        jobs.cancel(session, job.project_id, job.id)
        again = retries.retry(session, job.project_id, job.id)
        assert again is not None
        assert (again.webhook_url, again.webhook_events) == (HOOK, ["edit.output"])
    assert sent(begin) == []  # it did not ask for edit.canceled


@pytest.mark.parametrize("charge", [True, False])
def test_a_job_starts_once_although_it_has_several_attempts(
    begin: UnitOfWork, submit: Callable[..., Job], claim: Claiming, charge: bool
) -> None:
    job = submit(["edit.started"])
    for _ in range(3):
        taken = claim(job)
        with begin() as session:
            assert attempts.release(session, taken, charge=charge)
    (body,) = bodies(begin)
    assert (body["type"], body["data"]["status"], body["data"]["attempt"]) == ("edit.started", "running", 1)


def test_each_result_is_announced_once_over_all_attempts(
    begin: UnitOfWork, storage: Storage, submit: Callable[..., Job], claim: Claiming
) -> None:
    job = submit(["edit.output", "edit.succeeded"])
    first = claim(job)
    results = {number: result(storage, first, number) for number in (1, 2, 3)}
    keep(begin, storage, first, {1: results[1]})
    keep(begin, storage, first, {1: results[1]})
    with begin() as session:
        assert attempts.release(session, first, charge=False)
    second = claim(job)
    keep(begin, storage, second, {1: results[1], 2: results[2]})
    succeed(begin, storage, second, results)  # the record of the third was lost
    found = bodies(begin)
    assert [body["type"] for body in found] == ["edit.output"] * 3 + ["edit.succeeded"]
    assert [body["data"]["output"]["number"] for body in found[:3]] == [1, 2, 3]
    assert [one["number"] for one in found[3]["data"]["results"]] == [1, 2, 3]


def test_a_result_that_is_made_again_is_announced_again(
    begin: UnitOfWork, storage: Storage, submit: Callable[..., Job], claim: Claiming
) -> None:
    """After an update of the worker the settings differ, and the first file is deleted."""
    attempt = claim(submit(["edit.output"]))
    made = result(storage, attempt, 1)
    keep(begin, storage, attempt, {1: made})
    keep(begin, storage, attempt, {1: [replace(made[0], stored=replace(made[0].stored, key="other")), *made[1:]]})
    assert len(bodies(begin)) == 2


def test_an_attempt_that_lost_its_lease_announces_nothing(
    begin: UnitOfWork, storage: Storage, submit: Callable[..., Job], claim: Claiming
) -> None:
    job = submit(["edit.started", "edit.output", "edit.succeeded"])
    lost = claim(job, lease_seconds=-1)
    made = {1: result(storage, lost, 1)}
    with begin() as session:
        assert reaper.reap(session, max_attempts=3) == 1
    refused(begin, storage, lost, made)  # while the job waits again
    effective = claim(job)
    refused(begin, storage, lost, made)  # while another attempt has it
    assert [body["type"] for body in bodies(begin)] == ["edit.started"]
    succeed(begin, storage, effective, made)
    assert [body["type"] for body in bodies(begin)] == ["edit.started", "edit.output", "edit.succeeded"]


def test_no_result_is_announced_after_a_cancel(
    begin: UnitOfWork, storage: Storage, submit: Callable[..., Job], claim: Claiming
) -> None:
    job = submit(["edit.output", "edit.canceled", "edit.succeeded"])
    attempt = claim(job)
    with begin() as session:
        jobs.cancel(session, job.project_id, job.id)
        made = result(storage, attempt, 1)
        attempts.keep(session, attempt, PartialResults({}, {1: made}), storage)
        assert not attempts.finish(session, attempt, made, resolved={}, metrics={}, storage=storage)
        assert attempts.finish_canceled(session, attempt)
    assert [body["type"] for body in bodies(begin)] == ["edit.canceled"]


def test_the_urls_work_and_the_body_says_for_how_long(
    begin: UnitOfWork, storage: Storage, submit: Callable[..., Job], claim: Claiming
) -> None:
    attempt = claim(job := submit(["edit.output", "edit.succeeded"]))
    run(begin, storage, attempt, 1)
    output, succeeded = bodies(begin)
    assert set(output["data"]["output"]) == {"number", "prompt", "seed", *ROLES}
    assert set(succeeded["data"]["results"][0]) == {"number", "prompt", "seed", "image"}
    for body, image in (
        (output, output["data"]["output"]["image"]), (succeeded, succeeded["data"]["results"][0]["image"])
    ):  # fmt: skip
        with urllib.request.urlopen(image["url"]) as answer:
            assert answer.read() == b"image 1"
        assert body["data"]["result_path"] == f"/v1/edits/{job.edit_id}"
        lifetime = datetime.fromisoformat(body["data"]["urls_expire_at"]) - datetime.fromisoformat(body["timestamp"])
        assert timedelta(minutes=59) < lifetime < timedelta(minutes=61)
        assert "X-Amz-Expires=3600" in image["url"]


@pytest.mark.parametrize(
    ("prompt", "value", "kept"),
    [
        ("short", "short", {"results", "prompt", "metadata"}),
        ("\U0001f415" * 500, "short", {"results", "metadata"}),
        ("short", "\U0001f415" * 512, {"results"}),
    ],
)
def test_a_body_stays_small_and_keeps_the_urls(storage: Storage, prompt: str, value: str, kept: set[str]) -> None:
    prefix = attempt_prefix(f"prj_{'0' * 32}", f"job_{'0' * 32}", 1)
    files = [
        NewArtefact(
            "image", f"image-{number}.png", "image/png", StoredObject(f"{prefix}{'0' * 16}-image.png", 10**7, "0" * 64),
            {"target_prompt": prompt, "seed": 2**53},
        )
        for number in range(16)
    ]  # fmt: skip
    data = {"metadata": {f"{key:064}": value for key in range(16)}, **webhook_bodies.of_edit(storage, files)}
    body = webhook_bodies.encode("edit.succeeded", datetime.now(), data)
    assert len(body) <= webhook_bodies.LARGEST_BODY
    found = json.loads(body)["data"]
    assert len(found["results"]) == 16
    assert all(one["image"]["url"] for one in found["results"])
    assert {name for name in kept if name in found or name in found["results"][0]} == kept
    assert ("metadata" in found, "prompt" in found["results"][0]) == ("metadata" in kept, "prompt" in kept)


def test_a_body_is_small_whatever_its_facts() -> None:
    data = {"results": [{"number": 1, "image": {"url": "x" * 30_000}}], "error": {"code": "a", "detail": "y" * 30_000}}
    body = webhook_bodies.encode("edit.failed", datetime.now(), data)
    assert len(body) <= webhook_bodies.LARGEST_BODY
    assert json.loads(body)["data"] == {"error": {"code": "a", "detail": "y" * 1000}}


def result(storage: Storage, attempt: Claim, number: int) -> list[NewArtefact]:
    prefix = attempt_prefix(attempt.project_id, attempt.job_id, attempt.epoch)
    details = {"target_prompt": PROMPT, "seed": number}
    return [
        NewArtefact(
            role, f"{role}-{number}.png", "image/png",
            storage.put(prefix, f"{role}-{number}.png", f"{role} {number}".encode(), "image/png"), details,
        )
        for role in ROLES
    ]  # fmt: skip


def keep(begin: UnitOfWork, storage: Storage, attempt: Claim, files: dict[int, list[NewArtefact]]) -> None:
    with begin() as session:
        assert attempts.keep(session, attempt, PartialResults({}, files), storage)


def succeed(begin: UnitOfWork, storage: Storage, attempt: Claim, files: dict[int, list[NewArtefact]]) -> None:
    """As a worker does: what was not recorded is recorded with the end."""
    with begin() as session:
        assert attempts.keep(session, attempt, PartialResults({}, files), storage)
        stored = [file for number in sorted(files) for file in files[number]]
        assert attempts.finish(session, attempt, stored, resolved={}, metrics={}, storage=storage)


def refused(begin: UnitOfWork, storage: Storage, attempt: Claim, files: dict[int, list[NewArtefact]]) -> None:
    with begin() as session:
        assert not attempts.keep(session, attempt, PartialResults({}, files), storage)
        assert not attempts.finish(session, attempt, files[1], resolved={}, metrics={}, storage=storage)


def run(begin: UnitOfWork, storage: Storage, attempt: Claim, count: int) -> None:
    """An attempt that stores `count` results and succeeds."""
    files: dict[int, list[NewArtefact]] = {}
    for number in range(1, count + 1):
        files[number] = result(storage, attempt, number)
        keep(begin, storage, attempt, files)
    succeed(begin, storage, attempt, files)


def deliveries(begin: UnitOfWork) -> list[Delivery]:
    with begin() as session:
        return list(session.scalars(select(Delivery).order_by(Delivery.created_at)))


def sent(begin: UnitOfWork) -> list[tuple[str, str]]:
    return [(delivery.url, delivery.event_type) for delivery in deliveries(begin)]


def bodies(begin: UnitOfWork) -> list[dict[str, Any]]:
    return [json.loads(delivery.body) for delivery in deliveries(begin)]
