"""Child processes: start one, wait until it is ready, stop it.

A file lock gives each folder one owner at a time; the kernel releases it when the owner dies. A process that a crashed
owner left behind is identified by its process id and start time, so that a reused id is never signalled.
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

from cli.embedded.child_log import ChildLog, Parse, parse_json

POLL_SECONDS = 0.05
GRACE_SECONDS = 30.0
PORT_ATTEMPTS = 4


class StartError(RuntimeError):
    """A process did not start. The message contains the end of what it logged in this run."""


class Exited(StartError):
    """A process ended before it was ready, for example because its port was taken."""


class FolderInUse(RuntimeError):
    """Another running `lipe` uses this folder."""


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
    timeout: float = 60.0,
    parse: Parse = parse_json,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends. Its log, lock and process record are files of `folder`.

    `parse` reads its log lines. The block begins once `is_ready` returns True. Raises StartError after `timeout`
    seconds without that, and FolderInUse.
    """
    private_folder(folder)
    with _locked(folder / "lock"):
        record = folder / "process.json"
        _stop_orphan(record, stop_signal)
        log = ChildLog(folder / "log", parse)
        child = _spawn(argv, log, cwd or folder, environment, stdin)
        try:
            _record_process(child, record)
            _wait_until_ready(child, argv[0], is_ready, timeout, log)
            yield child
        finally:
            stop(child, stop_signal)
            log.wait()
            record.unlink(missing_ok=True)


@contextmanager
def on_free_port(start: Callable[[int], AbstractContextManager[object]]) -> Iterator[int]:
    """Run `start(port)` on a free loopback port and yield the port.

    Another program can take the port before the server binds it. The server then exits and is started again on
    another port.
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
    """A loopback TCP port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_alive(folder: Path) -> bool:
    """Whether the process that `running` started in this folder is still running."""
    return start_time(folder) is not None


def start_time(folder: Path) -> float | None:
    """The Unix time at which the process of this folder started; None if it does not run any more."""
    try:
        record = json.loads((folder / "process.json").read_text())
        process = psutil.Process(record["pid"])
        started = process.create_time()
        return started if started == record["started"] and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None


def secret(folder: Path) -> str:
    """The folder's random password, generated once and readable by its owner only. An empty file gets one."""
    private_folder(folder)
    with open(folder / "secret", "a+", opener=private_opener) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # another process may be about to write it
        file.seek(0)
        password = file.read()
        if not password:
            password = secrets.token_urlsafe(32)
            file.write(password)
            file.flush()
            os.fsync(file.fileno())
    return password


def private_folder(folder: Path) -> None:
    """Make the folder, accessible to its owner only, if it does not exist."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def private_opener(path: str, flags: int) -> int:
    """Opener that creates files readable by their owner only."""
    return os.open(path, flags, 0o600)


def write_private(file: Path, text: str) -> None:
    """Write a new file, readable by its owner only, in place of an old one."""
    file.unlink(missing_ok=True)
    with open(file, "x", opener=private_opener) as new:
        new.write(text)


def stop_orphan(folder: Path) -> None:
    """Stop the process that a crashed owner left behind in this folder, if there is one. Raises FolderInUse."""
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock"):
        _stop_orphan(folder / "process.json", signal.SIGTERM)


def stop(child: subprocess.Popen[bytes], stop_signal: signal.Signals = signal.SIGTERM) -> None:
    """Signal a child, wait, then kill it and all processes of its session."""
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
            raise FolderInUse(f"{file.parent} is in use by another running lipe: stop that one first") from error
        yield


def _spawn(
    argv: Sequence[str], log: ChildLog, cwd: Path, environment: Mapping[str, str] | None, stdin: str
) -> subprocess.Popen[bytes]:
    # In a session of its own the child receives no Ctrl-C from the terminal; this program stops its children in order.
    child = subprocess.Popen(  # noqa: S603
        argv,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        umask=0o077,
    )
    log.read(child.stdout)  # type: ignore[arg-type]
    with suppress(BrokenPipeError), child.stdin as pipe:  # type: ignore[union-attr]
        pipe.write(stdin.encode())
    return child


def _record_process(child: subprocess.Popen[bytes], record: Path) -> None:
    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(child.pid).create_time()
        record.write_text(json.dumps({"pid": child.pid, "started": started}))


def _stop_orphan(record: Path, stop_signal: signal.Signals) -> None:
    """Stop a process that a crashed owner left running. The caller holds the folder's lock."""
    try:
        recorded = json.loads(record.read_text())
        orphan = psutil.Process(recorded["pid"])
        if orphan.create_time() != recorded["started"]:
            return
        orphan.send_signal(stop_signal)
        if not _wait_until_ended(orphan, GRACE_SECONDS):
            orphan.kill()
            _wait_until_ended(orphan, GRACE_SECONDS)
    except (FileNotFoundError, json.JSONDecodeError, psutil.NoSuchProcess):
        return


def _wait_until_ended(process: psutil.Process, timeout: float) -> bool:
    """Whether the process ends within `timeout` seconds. A zombie counts as ended: a container may have no init."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(POLL_SECONDS)
    return False


def _wait_until_ready(
    child: subprocess.Popen[bytes], program: str, is_ready: Callable[[], bool], timeout: float, log: ChildLog
) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if child.poll() is not None:
            log.wait()
            raise Exited(f"{program} ended with status {child.returncode}:\n{log.quote()}")
        if is_ready():
            return
        time.sleep(POLL_SECONDS)
    raise StartError(f"{program} was not ready after {timeout:.0f} s:\n{log.quote()}")
