"""Messages of a foreign sender stop no worker: the next good message is handled."""

import base64
import json
from collections.abc import Callable
from subprocess import Popen
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from ledger import webhooks
from ledger.database import UnitOfWork
from ledger.models import Delivery, Project
from ledger.notify import make_notifier
from ledger.settings import Settings
from tests.support.receiver import receiving
from tests.support.rows import make_job, make_subject
from tests.support.waiting import eventually

HUGE = 20_000_000


def forged(content: bytes = b"[[1], {}, {}]") -> dict[str, Any]:
    """A message in the shape of Celery's."""
    properties = {
        "body_encoding": "base64",
        "delivery_tag": "forged",
        "delivery_info": {"exchange": "", "routing_key": "webhooks"},
    }
    return {
        "body": base64.b64encode(content).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": "lipe.webhook", "id": "forged", "lang": "py"},
        "properties": properties,
    }


MESSAGES: list[bytes] = [
    b"\xff\x00\x80 binary",
    b"",
    b"null",
    b"[1, 2]",
    b"{" + b'"a":' * 3,
    *(
        json.dumps(message).encode()
        for message in (
            {},
            forged(b"\x80\x04N."),
            {**forged(), "body": "not base64!"},
            {**forged(), "properties": {}},
            {**forged(), "properties": None},
            {**forged(), "headers": None},
            {**forged(), "headers": []},
            {**forged(), "headers": {"task": "lipe.webhook"}},
            {**forged(), "headers": {"task": ["lipe.webhook"], "id": "forged"}},
            {**forged(), "headers": {"task": "os.system", "id": "forged"}},
            {**forged(), "content-type": "application/x-python-serialize"},
            forged(b"[[], {}, {}]"),
            forged(b'[[{"a": 1}], {}, {}]'),
            forged(b'[["\\u0000"], {}, {}]'),
            forged(json.dumps([["x" * HUGE], {}, {}]).encode()),
        )
    ),
]


COMMANDS = ("shutdown", "pool_restart", "pool_shrink", "cancel_consumer", "hello", "memdump", "conf", "nothing")
"""Commands of Celery that change or reveal something, and one that does not exist."""


def inspect(settings: Settings, worker: Popen[bytes]) -> None:
    """A broadcast of any shape, and any command, leaves the worker as it is; inspection works."""
    app = Celery(broker=settings.broker_url, set_as_current=False)
    control = app.control.inspect(timeout=20, limit=1)
    ((queues,),) = (control.active_queues() or {}).values()
    assert queues["name"] == "webhooks"
    with Redis.from_url(settings.broker_url) as broker:
        database = broker.connection_pool.connection_kwargs.get("db", 0)
        for message in MESSAGES:
            broker.publish(f"/{database}.celery.pidbox", message)
    for command in COMMANDS:
        app.control.broadcast(command, reply=False)
    assert list((control.ping() or {}).values()) == [{"ok": "pong"}]
    assert worker.poll() is None
    app.close()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Allow receivers on loopback."""
    return settings.model_copy(update={"allow_private_urls": True})


def test_a_message_of_any_shape_is_dropped_and_the_next_is_handled(
    program: Callable[..., Popen[bytes]], begin: UnitOfWork, settings: Settings, project: Project
) -> None:
    with receiving(200) as receiver:
        with begin() as session:
            job = make_job(session, make_subject(session, project.id))
            webhooks.create_deliveries(session, project.id, job.id, "prior.failed", {}, receiver.url)
            delivery = session.query(Delivery).one().id
        with Redis.from_url(settings.broker_url) as broker:
            broker.flushdb()  # a program that an earlier test ended may have left a message in progress
            for message in MESSAGES:
                broker.lpush("webhooks", message)
        assert make_notifier(settings)("lipe.webhook", delivery)
        worker = program("worker", "--queues", "webhooks")
        eventually(lambda: len(receiver.seen) == 1 or worker.poll() is not None)
        assert worker.poll() is None
        inspect(settings, worker)
        with Redis.from_url(settings.broker_url) as broker:
            eventually(lambda: broker.llen("webhooks") == 0 and broker.hlen("unacked.webhooks") == 0)
