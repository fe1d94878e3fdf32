"""Consume messages of any content from the broker: one that cannot be read or handled is dropped and logged.

Without this, kombu lets the error of such a message end the worker. The service loses nothing with a dropped message:
workers look for jobs by themselves, and the dispatcher notifies again of deliveries.
"""

import logging
from collections.abc import Callable
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)


def drop_unreadable_messages() -> None:
    """Make all later connections of this process to a Redis broker drop messages that cannot be read."""
    own, by_sentinel = (f"{__name__}:{transport.__name__}" for transport in (Transport, SentinelTransport))
    TRANSPORT_ALIASES.update(redis=own, rediss=own, sentinel=by_sentinel)


class _Survives:
    """A channel whose consumer survives every message: the part that all Redis channels share."""

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[Any], None], *arguments: Any, **options: Any
    ) -> Any:
        """Consume from the queue. A message that `callback` cannot handle is rejected and not requeued."""

        def handle(message: Any) -> None:
            try:
                callback(message)
            except (RedisError, OSError):  # the connection is lost; `connection_errors` has KeyError, too
                raise
            except Exception as error:
                log.error("queue %s: dropped a message of unknown shape: %s", queue, type(error).__name__)
                if not message.acknowledged:
                    message.reject()

        return super().basic_consume(queue, no_ack, handle, *arguments, **options)  # type: ignore[misc]

    def _receive_one(self, client: Any) -> Any:
        """Read one broadcast message. One that is no message of Celery is dropped."""
        try:
            return super()._receive_one(client)  # type: ignore[misc]
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            log.error("dropped a broadcast that cannot be read: %s", type(error).__name__)
            return True

    def _brpop_read(self, **options: Any) -> Any:
        """Read one message. One that is no JSON, or whose body is no base64, never gets a delivery tag: it is gone."""
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            log.error("dropped a message that cannot be read: %s", type(error).__name__)
            return True


class Channel(_Survives, redis.Channel):  # type: ignore[misc]
    """A channel of one server."""


class Transport(redis.Transport):  # type: ignore[misc]
    """The Redis transport with this channel."""

    Channel = Channel


class SentinelChannel(_Survives, redis.SentinelChannel):  # type: ignore[misc]
    """A channel of the present primary of a group."""


class SentinelTransport(redis.SentinelTransport):  # type: ignore[misc]
    """The Sentinel transport with this channel."""

    Channel = SentinelChannel
