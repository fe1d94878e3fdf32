"""A group of two Valkey servers and one Sentinel, which makes the replica the primary when the primary is killed."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from cli.embedded import valkey
from cli.embedded.process import free_port
from tests.support.waiting import eventually

PASSWORD = "the-password-of-the-group"
GROUP = "lipe"


@dataclass(frozen=True)
class Group:
    """`url` names the sentinel. `servers` are the primary and its replica, by their ports."""

    url: str
    sentinel: int
    servers: dict[int, subprocess.Popen[bytes]]

    def primary(self) -> int:
        """The port of the server that the sentinel calls the primary."""
        with Redis(port=self.sentinel, socket_timeout=5, decode_responses=True) as sentinel:
            return int(sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP)[1])

    def accepts_writes(self, port: int) -> bool:
        """Whether the server is a primary by its own account."""
        try:
            with Redis(port=port, password=PASSWORD, socket_timeout=5, decode_responses=True) as server:
                return server.info("replication")["role"] == "master"
        except RedisError:
            return False


@contextmanager
def running(folder: Path) -> Iterator[Group]:
    """Start the group; it ends with the block."""
    program = valkey.packaged()
    assert program is not None
    first, second, sentinel = (free_port() for _ in range(3))
    secured = f'requirepass "{PASSWORD}"\nmasterauth "{PASSWORD}"\nsave ""\nrepl-diskless-sync-delay 0\n'
    with ExitStack() as stack:
        servers = {
            first: stack.enter_context(_serve(program, folder, first, secured)),
            second: stack.enter_context(_serve(program, folder, second, f"{secured}replicaof 127.0.0.1 {first}\n")),
        }
        with Redis(port=second, password=PASSWORD, decode_responses=True) as replica:
            eventually(lambda: replica.info("replication").get("master_link_status") == "up")
        watched = (
            f"sentinel monitor {GROUP} 127.0.0.1 {first} 1\nsentinel auth-pass {GROUP} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {GROUP} 500\nsentinel failover-timeout {GROUP} 3000\n"
        )
        stack.enter_context(_serve(program, folder, sentinel, watched, "--sentinel"))
        group = Group(f"sentinel://:{PASSWORD}@127.0.0.1:{sentinel}/0?primary={GROUP}", sentinel, servers)
        with Redis(port=sentinel, decode_responses=True) as client:
            eventually(lambda: bool(client.execute_command("SENTINEL", "REPLICAS", GROUP)))
        yield group


@contextmanager
def _serve(program: str, folder: Path, port: int, lines: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    own = folder / str(port)
    own.mkdir(parents=True)
    (own / "server.conf").write_text(f"bind 127.0.0.1\nport {port}\ndir {own}\n{lines}")
    with (own / "log").open("wb") as log:
        process = subprocess.Popen([program, str(own / "server.conf"), *options], stdout=log, stderr=log)
    try:
        eventually(lambda: _listens(port))
        yield process
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        time.sleep(0.05)
        return False
    return True
