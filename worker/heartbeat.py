"""A file that a program's own loop touches: its age tells a health check whether the program is at work.

That the process lives would prove little: a worker that lost the broker, or cannot read its model, lives, too.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery.bootsteps import StartStopStep

from ledger.settings import Settings

SECONDS = 5.0


def beat(settings: Settings) -> None:
    """Touch the heartbeat file, if the settings name one."""
    if settings.heartbeat_file:
        Path(settings.heartbeat_file).touch()


def beating(settings: Settings, is_loaded: Callable[[], bool]) -> type[StartStopStep]:
    """A step of Celery's consumer: it beats from the event loop, from each connection to the broker until its loss,
    and not before all is loaded."""

    def beat_if_loaded() -> None:
        if is_loaded():
            beat(settings)

    class Heartbeat(StartStopStep):
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:
            beat_if_loaded()
            self.timer = consumer.timer.call_repeatedly(SECONDS, beat_if_loaded)

        def stop(self, consumer: Any) -> None:
            self.timer.cancel()

    return Heartbeat
