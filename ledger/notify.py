"""Ring for a worker. A doorbell may fail: the outbox holds what must be rung again."""

import logging
from collections.abc import Callable

from celery import Celery
from celery.exceptions import CeleryError
from kombu.exceptions import KombuError
from redis import Redis
from redis.exceptions import RedisError

from ledger.settings import Settings

QUEUES = {"lipe.prior": "priors", "lipe.edit": "edits", "lipe.webhook": "webhooks"}
TIMEOUT_SECONDS = 2.0
Notifier = Callable[[str, str], bool]

log = logging.getLogger(__name__)


def make_notifier(settings: Settings) -> Notifier:
    """`ring(task, id)`: publish the id to the task's queue; False (and a log line) if the broker is away."""
    app = Celery("lipe-doorbell", broker=settings.broker_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        broker_connection_timeout=TIMEOUT_SECONDS,
        broker_transport_options={
            "socket_timeout": TIMEOUT_SECONDS,
            "socket_connect_timeout": TIMEOUT_SECONDS,
            "max_retries": 0,
            "retry_on_timeout": False,
        },
    )

    def ring(task: str, identifier: str) -> bool:
        try:
            app.send_task(task, (identifier,), queue=QUEUES[task], retry=False, ignore_result=True)
        except (CeleryError, KombuError, RedisError, OSError) as error:
            log.warning("doorbell %s %s failed: %s", task, identifier, error)
            return False
        return True

    return ring


def is_ready(settings: Settings) -> bool:
    """Whether the broker answers."""
    timeouts = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
    try:
        with Redis.from_url(settings.broker_url, **timeouts) as broker:
            return bool(broker.ping())
    except (RedisError, OSError):
        return False
