"""Keep a program running: start it again when it dies, and give up with its log when it cannot live."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cli.embedded.process import StartError, running

RESTART_SECONDS = 0.5
DEATHS_ALLOWED = 5
DEATH_WINDOW_SECONDS = 60.0
POLL_SECONDS = 0.1


class Supervisor:
    """One program under care. `failure` is set once it died too often; it is then left alone."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str],
        is_ready: Callable[[], bool],
    ) -> None:
        self.name = name
        self.failure: str | None = None
        self.child: subprocess.Popen[bytes] | None = None
        self._log = folder / "log"
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._start = partial(
            running,
            argv,
            folder,
            environment=environment,
            cwd=Path.cwd(),
            is_ready=lambda: self._stopping.is_set() or is_ready(),
        )
        self._thread = threading.Thread(target=self._care, name=f"supervisor of {name}")

    @contextmanager
    def caring(self) -> Iterator["Supervisor"]:
        """Started and ready inside, stopped by its handle at the end; StartError if it cannot start."""
        self._thread.start()
        try:
            self._ready.wait()
            if self.failure:
                raise StartError(self.failure)
            yield self
        finally:
            self._stopping.set()
            self._thread.join()

    def _care(self) -> None:
        deaths: list[float] = []
        while not self._stopping.is_set():
            ending = self._live_once()
            deaths = [moment for moment in deaths if moment > time.monotonic() - DEATH_WINDOW_SECONDS]
            deaths.append(time.monotonic())
            if not self._stopping.is_set() and (not self._ready.is_set() or len(deaths) > DEATHS_ALLOWED):
                self.failure = f"{self.name} cannot run: {ending}; its log is {self._log}"
                break
            self._stopping.wait(RESTART_SECONDS)
        self._ready.set()

    def _live_once(self) -> str:
        try:
            with self._start() as child:
                self.child = child
                self._ready.set()
                while child.poll() is None and not self._stopping.wait(POLL_SECONDS):
                    pass
                return f"it ended with status {child.returncode}"
        except StartError as error:
            return str(error)
