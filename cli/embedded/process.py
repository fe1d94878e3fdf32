"""One child process that this program owns: started, waited for until ready, and stopped by its own handle.

A folder belongs to one owner at a time (a file lock that dies with its holder). What a crashed owner left
running there is known by its process id *and* start time, so an id given away since is never signalled.
"""

import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

POLL_SECONDS = 0.05
GRACE_SECONDS = 30.0
PORT_ATTEMPTS = 4


class StartError(RuntimeError):
    """A server did not start; the message carries the end of its log."""


class Exited(StartError):
    """The server ended before it was ready: its port was taken, or a predecessor is still letting go."""


class FolderInUse(RuntimeError):
    """Another running `lipe` uses this data directory."""


@contextmanager
def running(
    argv: Sequence[str],
    folder: Path,
    *,
    is_ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
    stop_signal: signal.Signals = signal.SIGTERM,
    patience: float = 60.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends. Its log, lock and process record live in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock"):
        record = folder / "process.json"
        _stop_orphan(record, stop_signal)
        child = _spawn(argv, folder / "log", cwd or folder, environment, stdin)
        try:
            _remember(child, record)
            _wait_until_ready(child, argv[0], is_ready, patience, folder / "log")
            yield child
        finally:
            stop(child, stop_signal)
            record.unlink(missing_ok=True)


@contextmanager
def on_free_port(start: Callable[[int], AbstractContextManager[object]]) -> Iterator[int]:
    """Run `start(port)` on a free loopback port.

    Another program can take the port between the choice and the server's bind; the server then exits at once
    and is started again on another port.
    """
    with ExitStack() as stack:
        for attempts_left in reversed(range(PORT_ATTEMPTS)):
            port = free_port()
            try:
                stack.enter_context(start(port))
                break
            except Exited:
                if not attempts_left:
                    raise
                time.sleep(0.5)
        yield port


def free_port() -> int:
    """A loopback TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_alive(folder: Path) -> bool:
    """Whether the process that `running` started in this folder still runs."""
    try:
        known = json.loads((folder / "process.json").read_text())
        process = psutil.Process(known["pid"])
        return process.create_time() == known["started"] and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, psutil.NoSuchProcess):
        return False


def secret(folder: Path) -> str:
    """The folder's password: random, made once, readable by its owner only."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "secret"
    with suppress(FileExistsError), open(file, "x", opener=private) as fresh:
        fresh.write(secrets.token_urlsafe(32))
    return file.read_text()


def private(path: str, flags: int) -> int:
    """An opener: a new file is its owner's only."""
    return os.open(path, flags, 0o600)


def stop(child: subprocess.Popen[bytes], stop_signal: signal.Signals = signal.SIGTERM) -> None:
    """Ask, wait, and only then kill; what the child itself started (its own session) goes with it."""
    if child.poll() is None:
        child.send_signal(stop_signal)
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FolderInUse(f"{file.parent} is in use by another running lipe") from error
        yield


def _spawn(
    argv: Sequence[str], log: Path, cwd: Path, environment: Mapping[str, str] | None, stdin: str
) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C at the terminal reaches us alone, and we stop the servers in order.
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603
            argv,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    with suppress(BrokenPipeError), child.stdin as pipe:  # type: ignore[union-attr]
        pipe.write(stdin.encode())
    return child


def _remember(child: subprocess.Popen[bytes], record: Path) -> None:
    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(child.pid).create_time()
        record.write_text(json.dumps({"pid": child.pid, "started": started}))


def _stop_orphan(record: Path, stop_signal: signal.Signals) -> None:
    """We hold the folder's lock, so its recorded process, if it still runs, has lost its owner."""
    try:
        known = json.loads(record.read_text())
        orphan = psutil.Process(known["pid"])
        if orphan.create_time() != known["started"]:
            return
        orphan.send_signal(stop_signal)
        if not _gone(orphan, GRACE_SECONDS):
            orphan.kill()
            _gone(orphan, GRACE_SECONDS)
    except (FileNotFoundError, json.JSONDecodeError, psutil.NoSuchProcess):
        return


def _gone(process: psutil.Process, patience: float) -> bool:
    """In a container without an init nobody reaps an orphan: a zombie counts as gone."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(POLL_SECONDS)
    return False


def _wait_until_ready(
    child: subprocess.Popen[bytes], program: str, is_ready: Callable[[], bool], patience: float, log: Path
) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise Exited(f"{program} ended with status {child.returncode}:\n{_tail(log)}")
        if is_ready():
            return
        time.sleep(POLL_SECONDS)
    raise StartError(f"{program} was not ready after {patience:.0f} s:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
