"""Send messages that wake workers. Sending may fail: the outbox keeps each message until the broker takes it."""

import logging
from collections.abc import Callable

from celery import Celery
from celery.exceptions import CeleryError
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from ledger import broker_address
from ledger.settings import Settings

QUEUES = {
    "lipe.prior": "priors",
    "lipe.edit": "edits",
    "lipe.captions": "edits",  # a person waits for these two, so they must not wait behind trainings
    "lipe.mask": "edits",
    "lipe.webhook": "webhooks",
    "lipe.fetch": "webhooks",
}
TIMEOUT_SECONDS = 2.0
Notifier = Callable[[str, str], bool]

log = logging.getLogger(__name__)


def make_notifier(settings: Settings) -> Notifier:
    """Return `notify(task, id)`: it sends the id to the task's queue, or logs and returns False if it cannot."""
    address = broker_address.read(settings.broker_url)
    app = Celery("lipe-notifier", broker=address.url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        broker_connection_timeout=TIMEOUT_SECONDS,
        broker_transport_options={
            **address.options,
            "socket_timeout": TIMEOUT_SECONDS,
            "socket_connect_timeout": TIMEOUT_SECONDS,
            "max_retries": 0,
            "retry_on_timeout": False,
        },
    )

    def notify(task: str, identifier: str) -> bool:
        try:
            app.send_task(task, (identifier,), queue=QUEUES[task], retry=False, ignore_result=True)
        except (CeleryError, KombuError, RedisError, OSError) as error:
            log.warning("cannot send %s %s: %s", task, identifier, error)
            return False
        return True

    return notify


def is_ready(settings: Settings) -> bool:
    """Whether the broker answers."""
    timeouts = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
    try:
        with broker_address.connect(settings.broker_url, **timeouts) as broker:
            return bool(broker.ping())
    except (RedisError, OSError):
        return False
