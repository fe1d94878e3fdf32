"""The service's programs as real processes, forked from one that has imported torch, so that they start quickly.

They do what `lipe api`, `lipe worker` and `lipe dispatcher` do, except for the engine and failpoints.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from ledger import logs, roles
from ledger.settings import Settings
from tests.support.checkout import PYTHON_PATH
from tests.support.waiting import PATIENCE_SECONDS

PRELOADED = ["worker.run_job", "worker.app", "worker.dispatcher", "uvicorn", "api.app", "tests.reliability.engine"]
KILLED = -signal.SIGKILL
Body = Callable[[], object]


@dataclass(frozen=True)
class Program:
    """One running program. Its processes form one process group."""

    process: ForkServerProcess
    log: Path

    @property
    def pid(self) -> int:
        """The id of its first process."""
        assert self.process.pid is not None
        return self.process.pid

    def send(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to the first process, or to all."""
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL to all processes, as when a container is killed."""
        self.send(signal.SIGKILL, group=True)
        self.send(signal.SIGKILL)  # it may not have made its process group yet
        self.process.join()

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Its exit status. Raises AssertionError if it still runs after `seconds`."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"still running:\n{self.log.read_text()[-3000:]}"
        return self.process.exitcode


def start(body: Body, log: Path, settings: Settings) -> Program:
    """Run `body` in a process of its own, with these settings in its environment."""
    os.environ["PYTHONPATH"] = PYTHON_PATH  # for the process from which all are forked
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_main, args=(body, log, environment(settings)))
    process.start()
    return Program(process, log)


def worker(queues: Sequence[str], prepare: Sequence[Body] = ()) -> Body:
    """`lipe worker` with the engine of these tests. `prepare` runs first, for example to install a failpoint."""
    return partial(_work, queues, (_install_engine, *prepare))


def real_worker(queues: Sequence[str], prepare: Sequence[Body] = ()) -> Body:
    """`lipe worker`, with the real trainer on the settings' checkpoint."""
    return partial(_work, queues, prepare)


def sender(prepare: Sequence[Body] = ()) -> Body:
    """`lipe worker --queues webhooks`."""
    return partial(_work, ["webhooks"], prepare)


def dispatcher(prepare: Sequence[Body] = ()) -> Body:
    """`lipe dispatcher`."""
    return partial(_dispatch, prepare)


def api(port: int, prepare: Sequence[Body] = ()) -> Body:
    """`lipe api`."""
    return partial(_serve, port, prepare)


def role(body: Body) -> roles.Program:
    """The database role of the program that one of the functions above has made."""
    work = getattr(body, "func", None)
    if work is _serve:
        return "api"
    if work is _dispatch:
        return "dispatcher"
    return "webhooks" if getattr(body, "args", ([],))[0] == ["webhooks"] else "worker"


def put(function: str, value: Any) -> Body:
    """A `prepare` function that sets a module's variable, such as "worker.attempt:STORAGE_RETRY_SECONDS"."""
    return partial(_put, function, value)


def environment(settings: Settings) -> dict[str, str]:
    """The settings as environment variables."""
    return {
        f"LIPE_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in settings.model_dump().items()
    }


def _main(body: Body, log: Path, variables: Mapping[str, str]) -> None:
    os.setsid()
    if sys.platform == "linux":  # no program outlives a test run that was killed: prctl(2), PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    with log.open("ab", buffering=0) as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
    os.environ.update(variables)
    sys.argv = ["lipe"]
    logs.configure()  # as the command does
    body()


def _work(queues: Sequence[str], prepare: Sequence[Body]) -> None:
    from worker.app import serve

    for act in prepare:
        act()
    serve(queues)


def _install_engine() -> None:
    from tests.reliability import engine

    engine.install()


def _dispatch(prepare: Sequence[Body]) -> None:
    from worker.dispatcher import serve

    for act in prepare:
        act()
    serve()


def _serve(port: int, prepare: Sequence[Body]) -> None:
    from api.server import serve

    for act in prepare:
        act()
    serve("127.0.0.1", port)


def _put(function: str, value: Any) -> None:
    from importlib import import_module

    module, _, name = function.partition(":")
    setattr(import_module(module), name, value)
