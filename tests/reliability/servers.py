"""Servers that can be restarted under a constant address: each is behind a proxy."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import make_url

from cli.embedded import postgres, valkey
from tests.reliability.proxy import TcpProxy


class Restartable:
    """One server. `url` is the proxy's address and stays the same when the server gets another port."""

    def __init__(self, serve: Callable[[Path], AbstractContextManager[str]], folder: Path, proxy: TcpProxy) -> None:
        self.proxy, self.folder, self.url = proxy, folder, ""
        self._serve, self._life = serve, ExitStack()

    def start(self) -> None:
        """Start it. Returns when it answers."""
        url = make_url(self._life.enter_context(self._serve(self.folder)))
        self.proxy.target = url.port
        self.url = url.set(port=self.proxy.port).render_as_string(hide_password=False)

    def stop(self) -> None:
        """Stop it as an administrator does."""
        self.proxy.target = None
        self._life.close()

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        os.kill(json.loads((self.folder / "process.json").read_text())["pid"], signal.SIGKILL)
        self.stop()


@contextmanager
def _behind_a_proxy(serve: Callable[[Path], AbstractContextManager[str]], folder: Path) -> Iterator[Restartable]:
    with TcpProxy(None).running() as proxy:
        server = Restartable(serve, folder, proxy)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def broker(folder: Path) -> AbstractContextManager[Restartable]:
    """A Valkey server."""
    return _behind_a_proxy(valkey.serve, folder)


def database(folder: Path) -> AbstractContextManager[Restartable]:
    """A Postgres server, as durable as in production: it may be killed."""
    return _behind_a_proxy(postgres.serve, folder)
