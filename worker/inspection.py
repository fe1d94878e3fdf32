"""Celery's remote control, reduced to commands that only look: Flower and exporters see the fleet, and stop nothing.

Celery answers every command of every sender that reaches the broker. Some end workers, revoke messages or read other
queues. A stolen password of the broker must not give that, so a worker knows only the commands of COMMANDS.
"""

import logging
from typing import Any

from celery.bootsteps import StartStopStep
from celery.worker.consumer.control import Control
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

COMMANDS = frozenset(
    {
        "ping", "clock", "report", "stats", "registered", "active_queues",
        "active", "reserved", "scheduled", "revoked", "query_task",
    }
)  # fmt: skip
"""Of Celery's inspection commands, those without a change. `hello` would take over revoked messages."""


class InspectionOnly(StartStopStep):  # type: ignore[misc]
    """A step of Celery's consumer that removes all other commands, before the first message can arrive."""

    requires = (Control,)

    def include(self, consumer: Any) -> bool:
        """Restrict the step before this one, which has not started yet."""
        for step in consumer.steps:
            if isinstance(step, Control):
                _restrict(step.box.node)
        return bool(super().include(consumer))


def _restrict(node: Any) -> None:
    """Leave the node COMMANDS only. A message that it cannot handle is dropped: Celery would subscribe anew."""
    node.handlers = {name: handle for name, handle in node.handlers.items() if name in COMMANDS}
    handle_message = node.handle_message

    def handle(body: Any, message: Any = None) -> None:
        try:
            handle_message(body, message)
        except (RedisError, OSError):  # the connection is lost
            raise
        except Exception as error:
            log.error("dropped a broadcast of unknown shape or command: %s", type(error).__name__)

    node.handle_message = handle
