"""Deliveries to real receivers over HTTP: their state after each kind of response."""

import socket
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler

import pytest
from sqlalchemy import select, update
from standardwebhooks import Webhook

from ledger import deliveries, outbox, projects, webhooks
from ledger.database import UnitOfWork
from ledger.models import Delivery, Job, OutboxEntry, Project, WebhookEndpoint, new_id
from tests.support.receiver import receiving
from tests.support.rows import make_job, make_subject
from worker import webhooks as sender
from worker.webhooks import JITTER, RETRY_SECONDS, deliver


@pytest.fixture
def job(begin: UnitOfWork, project: Project) -> Job:
    """A job that has events."""
    with begin() as session:
        return make_job(session, make_subject(session, project.id))


def test_a_delivery_is_the_stored_bytes_with_a_signature(begin: UnitOfWork, sender_begin: UnitOfWork, job: Job) -> None:
    with receiving(200) as receiver:
        endpoint, delivery = announced(begin, job, receiver.url)
        deliver(sender_begin, delivery.id, allow_private=True)
        deliver(sender_begin, delivery.id, allow_private=True)  # a second notification
    (headers, body), *more = receiver.seen
    assert more == []
    assert body == delivery.body
    sent = {name.lower(): value for name, value in headers.items()}
    assert Webhook(endpoint.secrets[0]).verify(body, sent)["data"] == {"job_id": job.id}
    settled = current(begin, delivery)
    assert (settled.state, settled.attempts, settled.last_status) == ("delivered", 1, 200)
    assert settled.delivered_at is not None


def test_a_failed_delivery_is_retried_when_it_is_due_under_the_same_id(
    begin: UnitOfWork, sender_begin: UnitOfWork, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "RETRY_SECONDS", (600,))  # longer than a slow machine needs for this test
    with receiving(500, 200) as receiver:
        _, delivery = announced(begin, job, receiver.url)
        deliver(sender_begin, delivery.id, allow_private=True)
        failed = current(begin, delivery)
        assert (failed.state, failed.last_status) == ("pending", 500)
        wait = (failed.next_attempt_at - failed.created_at).total_seconds()
        assert 600 * (1 - JITTER) <= wait < 1200
        deliver(sender_begin, delivery.id, allow_private=True)
        assert len(receiver.seen) == 1  # not due yet
        make_due(begin, delivery)
        deliver(sender_begin, delivery.id, allow_private=True)
    assert current(begin, delivery).state == "delivered"
    assert len({headers["webhook-id"] for headers, _ in receiver.seen}) == 1
    assert len({body for _, body in receiver.seen}) == 1


def test_gone_disables_the_endpoint(begin: UnitOfWork, sender_begin: UnitOfWork, job: Job) -> None:
    with receiving(410) as receiver:
        endpoint, delivery = announced(begin, job, receiver.url)
        deliver(sender_begin, delivery.id, allow_private=True)
    assert current(begin, delivery).state == "disabled"
    with begin() as session:
        assert session.get_one(WebhookEndpoint, endpoint.id).disabled_at is not None
        webhooks.create_deliveries(session, job.project_id, job.id, "prior.failed", {}, None)
        assert len(list(session.scalars(select(Delivery)))) == 1


def test_a_redirect_is_not_followed(begin: UnitOfWork, sender_begin: UnitOfWork, job: Job) -> None:
    def redirect(request: BaseHTTPRequestHandler) -> None:
        request.send_response(307)
        request.send_header("location", target.url)
        request.send_header("content-length", "0")
        request.end_headers()

    with receiving(200) as target, receiving(redirect) as receiver:
        _, delivery = announced(begin, job, receiver.url)
        deliver(sender_begin, delivery.id, allow_private=True)
    assert target.seen == []
    assert (current(begin, delivery).state, current(begin, delivery).last_status) == ("pending", 307)


@pytest.mark.parametrize("fault", ["sends nothing", "sends a byte at a time"])
def test_a_slow_receiver_is_given_up_at_the_deadline(
    begin: UnitOfWork, sender_begin: UnitOfWork, job: Job, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(sender, "TIMEOUT_SECONDS", 0.5)
    over = threading.Event()

    def slow(request: BaseHTTPRequestHandler) -> None:
        while not over.wait(0.05):
            if fault == "sends a byte at a time":
                try:
                    request.wfile.write(b"H")
                except OSError:
                    return

    with receiving(slow) as receiver:
        _, delivery = announced(begin, job, receiver.url)
        start = time.monotonic()
        deliver(sender_begin, delivery.id, allow_private=True)
        elapsed = time.monotonic() - start
        over.set()
    assert elapsed < 30  # generous: without the deadline it would never end
    assert (current(begin, delivery).state, current(begin, delivery).last_status) == ("pending", None)
    assert "Timeout" in (current(begin, delivery).last_error or "")


def test_a_dead_receiver_is_retried_to_the_end_then_exhausted_and_can_be_redelivered(
    begin: UnitOfWork, sender_begin: UnitOfWork, job: Job
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        _, delivery = announced(begin, job, f"http://127.0.0.1:{taken.getsockname()[1]}/")
        for _ in range(len(RETRY_SECONDS) + 1):
            assert current(begin, delivery).state == "pending"
            deliver(sender_begin, delivery.id, allow_private=True)
            make_due(begin, delivery)
    exhausted = current(begin, delivery)
    assert (exhausted.state, exhausted.attempts) == ("exhausted", len(RETRY_SECONDS) + 1)
    with begin() as session:
        again = deliveries.redeliver(session, job.project_id, delivery.id)
        assert again is not None
        assert (again.state, again.attempts, again.message_id) == ("pending", 0, delivery.message_id)
        assert deliveries.redeliver(session, "prj_other", delivery.id) is None


def test_a_private_address_is_never_connected_to(begin: UnitOfWork, sender_begin: UnitOfWork, job: Job) -> None:
    with receiving(200) as receiver:
        _, delivery = announced(begin, job, receiver.url)
        deliver(sender_begin, delivery.id, allow_private=False)
    assert receiver.seen == []
    assert "public Internet" in (current(begin, delivery).last_error or "")


def test_a_long_response_is_cut_off(begin: UnitOfWork, sender_begin: UnitOfWork, job: Job) -> None:
    def flood(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            for _ in range(1000):
                request.wfile.write(b"x" * 65536)
        except OSError:
            pass

    with receiving(flood) as receiver:
        _, delivery = announced(begin, job, receiver.url)
        deliver(sender_begin, delivery.id, allow_private=True)
    assert current(begin, delivery).state == "delivered"


def test_a_sender_that_died_delays_its_delivery_by_one_lease(begin: UnitOfWork, job: Job) -> None:
    _, delivery = announced(begin, job, "http://127.0.0.1:1/")
    drain_outbox(begin)
    with begin() as session:
        first = deliveries.claim(session, delivery.id, lease=0.05)  # and then the sender dies
    time.sleep(0.1)  # until the lease has expired
    with begin() as session:
        assert deliveries.notify_due(session, seconds=60) == 1
        assert deliveries.notify_due(session, seconds=60) == 0
    with begin() as session:
        second = deliveries.claim(session, delivery.id, lease=60)
        assert first is not None
        assert second is not None
        assert (first.attempt, second.attempt, second.message_id) == (1, 2, first.message_id)
        assert deliveries.claim(session, delivery.id, lease=60) is None
    with begin() as session:
        deliveries.record_outcome(session, first, "exhausted", None, None, "late")
    assert current(begin, delivery).state == "pending"  # the first sender's outcome is ignored


def test_endpoints_select_their_events_and_a_request_has_a_url_of_its_own(begin: UnitOfWork, job: Job) -> None:
    with begin() as session:
        webhooks.create_endpoint(session, job.project_id, "http://all.example/")
        webhooks.create_endpoint(session, job.project_id, "http://edits.example/", ["edit.failed"])
        webhooks.create_deliveries(session, job.project_id, job.id, "prior.failed", {}, "http://own.example/")
        page = deliveries.listing(session, job.project_id)
        assert {delivery.url for delivery in page.rows} == {"http://all.example/", "http://own.example/"}
        assert deliveries.listing(session, "prj_other").rows == []
        own = next(delivery for delivery in page.rows if delivery.endpoint_id is None)
        taken = deliveries.claim(session, own.id, lease=60)
        assert taken is not None
        assert taken.secrets == tuple(session.get_one(Project, job.project_id).webhook_secrets)


def test_a_url_outside_ascii_is_percent_encoded(begin: UnitOfWork, sender_begin: UnitOfWork, job: Job) -> None:
    """Also one that was stored before the API normalised them."""
    with receiving(200) as receiver:
        _, delivery = announced(begin, job, f"{receiver.url}/m\u00fcnchen?stra\u00dfe=1")
        deliver(sender_begin, delivery.id, allow_private=True)
        assert receiver.paths == ["/hook/m%C3%BCnchen?stra%C3%9Fe=1"]
    assert current(begin, delivery).state == "delivered"


@pytest.mark.parametrize("fault", ["the sender", "a URL with a broken port", "a header of the response"])
def test_any_error_of_an_attempt_is_a_failed_attempt(
    begin: UnitOfWork, sender_begin: UnitOfWork, job: Job, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise TypeError("unforeseen")

    def far_future(request: BaseHTTPRequestHandler) -> None:
        request.send_response(503)
        request.send_header("retry-after", "Mon, 01 Jan 2024 00:00:00 +" + "9" * 20)
        request.send_header("content-length", "0")
        request.end_headers()

    if fault == "the sender":
        monkeypatch.setattr(sender, "post", broken)
    with receiving(far_future) as receiver:
        url = f"{receiver.url.rpartition(':')[0]}:port/" if "port" in fault else receiver.url
        _, delivery = announced(begin, job, url)
        for _ in range(len(RETRY_SECONDS) + 1):
            assert current(begin, delivery).state == "pending"
            assert sender.find_receiver(sender_begin, delivery.id).group == job.project_id
            deliver(sender_begin, delivery.id, allow_private=True)
            make_due(begin, delivery)
    ended = current(begin, delivery)
    assert (ended.state, ended.attempts) == ("exhausted", len(RETRY_SECONDS) + 1)
    assert ended.last_status == 503 if "header" in fault else ended.last_error


def test_the_outcome_of_an_attempt_before_a_redelivery_is_ignored(begin: UnitOfWork, job: Job) -> None:
    """Both attempts have the number 1."""
    _, delivery = announced(begin, job, "http://127.0.0.1:1/")
    with begin() as session:
        before = deliveries.claim(session, delivery.id, lease=60)
    with begin() as session:
        assert deliveries.redeliver(session, job.project_id, delivery.id)
    with begin() as session:
        after = deliveries.claim(session, delivery.id, lease=60)
        assert before is not None
        assert after is not None
        assert before.attempt == after.attempt == 1
    with begin() as session:
        deliveries.record_outcome(session, before, "exhausted", None, 500, "late")
    assert current(begin, delivery).state == "pending"
    with begin() as session:
        deliveries.record_outcome(session, after, "delivered", None, 204, None)
    assert current(begin, delivery).state == "delivered"


def test_a_delivery_whose_senders_die_ends(begin: UnitOfWork, job: Job) -> None:
    _, delivery = announced(begin, job, "http://127.0.0.1:1/")
    for _ in range(deliveries.MAX_ATTEMPTS):
        with begin() as session:
            assert deliveries.claim(session, delivery.id, lease=60) is not None  # and then the sender dies
        make_due(begin, delivery)
    with begin() as session:
        assert deliveries.claim(session, delivery.id, lease=60) is None
    ended = current(begin, delivery)
    assert (ended.state, ended.attempts, ended.last_error) == (
        "exhausted", deliveries.MAX_ATTEMPTS, deliveries.NO_OUTCOME,
    )  # fmt: skip
    assert len(RETRY_SECONDS) + 1 == deliveries.MAX_ATTEMPTS
    assert timedelta(seconds=max(RETRY_SECONDS) * (1 + JITTER)) < deliveries.MAX_WAIT


def test_due_deliveries_of_another_project_are_notified_in_turn(begin: UnitOfWork, job: Job) -> None:
    """Although the attacker's have been due for longer, and fill a whole round."""
    with begin() as session:
        webhooks.create_endpoint(session, job.project_id, "http://127.0.0.1:1/")
        for _ in range(5):
            webhooks.create_deliveries(session, job.project_id, job.id, "prior.succeeded", {}, None)
        victim = make_job(session, make_subject(session, projects.create(session, "victim").id))
        webhooks.create_deliveries(session, victim.project_id, victim.id, "prior.failed", {}, "http://127.0.0.1:2/")
        session.execute(update(Delivery).values(notified_at=Delivery.created_at - timedelta(hours=1)))
    drain_outbox(begin)
    with begin() as session:
        assert deliveries.notify_due(session, seconds=60, limit=2) == 2
        notified = set(session.scalars(select(OutboxEntry.identifier)))
        projects_of = session.scalars(select(Delivery.project_id).where(Delivery.id.in_(notified)))
        assert set(projects_of) == {job.project_id, victim.project_id}


def announced(begin: UnitOfWork, job: Job, url: str) -> tuple[WebhookEndpoint, Delivery]:
    with begin() as session:
        endpoint = webhooks.create_endpoint(session, job.project_id, url)
        webhooks.create_deliveries(session, job.project_id, job.id, "prior.succeeded", {"job_id": job.id}, None)
        return endpoint, session.scalars(select(Delivery)).one()


def current(begin: UnitOfWork, delivery: Delivery) -> Delivery:
    with begin() as session:
        return session.get_one(Delivery, delivery.id)


def make_due(begin: UnitOfWork, delivery: Delivery) -> None:
    with begin() as session:
        earlier = Delivery.created_at - timedelta(hours=1)
        session.execute(update(Delivery).where(Delivery.id == delivery.id).values(next_attempt_at=earlier))


def drain_outbox(begin: UnitOfWork) -> None:
    outbox.publish(begin, lambda task, identifier: True)


@pytest.mark.parametrize("url", ["https://Example.com/a", "https://example.com:443/b?c", "https://example.COM/"])
def test_a_receiver_is_the_same_for_each_spelling_of_its_url(
    begin: UnitOfWork, sender_begin: UnitOfWork, job: Job, url: str
) -> None:
    _, delivery = announced(begin, job, url)
    assert sender.find_receiver(sender_begin, delivery.id) == (job.project_id, ("example.com", 443))
    assert sender.find_receiver(sender_begin, new_id("dlv")) == (None, None)
