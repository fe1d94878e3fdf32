"""Supervision of a program: restart it when it exits, and give up when it keeps exiting."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cli.embedded.process import StartError
from cli.embedded.process import running as running_process

RESTART_SECONDS = 0.5
MAX_EXITS = 5
EXIT_WINDOW_SECONDS = 60.0
POLL_SECONDS = 0.1


class Supervisor:
    """One supervised program. `failure` is set once it exited too often; it is then not started again."""

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
            running_process,
            argv,
            folder,
            environment=environment,
            cwd=Path.cwd(),
            is_ready=lambda: self._stopping.is_set() or is_ready(),
        )
        self._thread = threading.Thread(target=self._supervise, name=f"supervisor of {name}")

    @contextmanager
    def running(self) -> Iterator["Supervisor"]:
        """Run the program in the block, which can wait until it is ready."""
        self._thread.start()
        try:
            yield self
        finally:
            self.stop()
            self._thread.join()

    def stop(self) -> None:
        """Let the program end, and do not wait for its end, as the end of `running` does."""
        self._stopping.set()

    def wait_until_ready(self) -> None:
        """Raises StartError if it cannot start."""
        self._ready.wait()
        if self.failure:
            raise StartError(self.failure)

    def _supervise(self) -> None:
        exits: list[float] = []
        while not self._stopping.is_set():
            reason = self._run_once()
            exits = [exit_time for exit_time in exits if exit_time > time.monotonic() - EXIT_WINDOW_SECONDS]
            exits.append(time.monotonic())
            if not self._stopping.is_set() and (not self._ready.is_set() or len(exits) > MAX_EXITS):
                self.failure = f"{self.name} cannot run: {reason}; its log is {self._log}"
                break
            self._stopping.wait(RESTART_SECONDS)
        self._ready.set()

    def _run_once(self) -> str:
        try:
            with self._start() as child:
                self.child = child
                self._ready.set()
                while child.poll() is None and not self._stopping.wait(POLL_SECONDS):
                    pass
                return f"it ended with status {child.returncode}"
        except StartError as error:
            return str(error)
