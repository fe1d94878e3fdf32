"""A file that a program touches from its main loop; a health check reads the file's age.

A check that the process exists would miss a worker that lost the broker, and one that cannot load its model.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery.bootsteps import StartStopStep

from ledger.settings import Settings

INTERVAL_SECONDS = 5.0


def touch_heartbeat(settings: Settings) -> None:
    """Touch the heartbeat file, if the settings name one."""
    if settings.heartbeat_file:
        Path(settings.heartbeat_file).touch()


def heartbeat_step(settings: Settings, is_loaded: Callable[[], bool]) -> type[StartStopStep]:
    """A step of Celery's consumer that touches the file from the event loop once `is_loaded` returns True.

    Celery starts the step when the broker is connected, and stops it when the connection is lost.
    """

    def touch_if_loaded() -> None:
        if is_loaded():
            touch_heartbeat(settings)

    class Heartbeat(StartStopStep):
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:
            touch_if_loaded()
            self.timer = consumer.timer.call_repeatedly(INTERVAL_SECONDS, touch_if_loaded)

        def stop(self, consumer: Any) -> None:
            self.timer.cancel()

    return Heartbeat
