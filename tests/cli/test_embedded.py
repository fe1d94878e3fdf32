"""The embedded servers: they answer, keep their data, clean up after a crash, and stop."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from cli.embedded import postgres, s3, valkey
from cli.embedded.process import Exited, FolderInUse, on_free_port, running, secret


def _dsn(url: str) -> str:
    return url.replace("postgresql+psycopg", "postgresql")


def test_postgres_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    with postgres.serve(tmp_path, durable=False) as url, psycopg.connect(_dsn(url)) as session:
        session.execute("create table kept (x int)")
    with postgres.serve(tmp_path, durable=False) as url, psycopg.connect(_dsn(url)) as session:
        assert session.execute("select count(*) from kept").fetchone() == (0,)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(_dsn(url))


def test_postgres_refuses_a_wrong_password(tmp_path: Path) -> None:
    with postgres.serve(tmp_path, durable=False) as url, pytest.raises(psycopg.OperationalError):
        psycopg.connect(_dsn(url).replace(secret(tmp_path), "wrong"))


def test_valkey_answers_and_never_evicts(tmp_path: Path) -> None:
    with valkey.serve(tmp_path) as url, redis.Redis.from_url(url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    with pytest.raises(redis.ConnectionError), redis.Redis.from_url(url) as client:
        client.ping()


def test_a_data_directory_has_one_owner(tmp_path: Path) -> None:
    with valkey.serve(tmp_path), pytest.raises(FolderInUse), valkey.serve(tmp_path):
        pass


def test_the_next_start_clears_what_a_crashed_owner_left(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from cli.embedded import postgres, s3, valkey
folder = Path({str(tmp_path)!r})
with postgres.serve(folder / "p", durable=False), valkey.serve(folder / "v"), s3.serve(folder / "s"):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    crashed = subprocess.run([sys.executable, "-c", program], check=False)
    assert crashed.returncode == -signal.SIGKILL
    left = [process for process in psutil.process_iter() if str(tmp_path) in _command(process)]
    assert left  # at least Postgres and rclone name their folder
    with ExitStack() as stack:
        url = stack.enter_context(postgres.serve(tmp_path / "p", durable=False))
        stack.enter_context(valkey.serve(tmp_path / "v"))
        stack.enter_context(s3.serve(tmp_path / "s"))
        psycopg.connect(_dsn(url)).close()
        assert not [process for process in left if process.is_running() and str(tmp_path) in _command(process)]
    assert not [process for process in psutil.process_iter() if str(tmp_path) in _command(process)]


def test_a_taken_port_is_tried_again_on_another(tmp_path: Path) -> None:
    bind = "import socket, sys; s = socket.socket(); s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen(); s.accept()"
    tried: list[int] = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        def start(port: int):
            tried.append(port)
            first = taken.getsockname()[1] if len(tried) == 1 else port
            return running([sys.executable, "-c", bind, str(first)], tmp_path, is_ready=lambda: _bound(first, taken))

        with on_free_port(start) as port:
            assert len(tried) == 2
            assert port == tried[1]


def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(Exited, match="no such luck"),
        running([sys.executable, "-c", "exit('no such luck')"], tmp_path, is_ready=lambda: False),
    ):
        pass


def test_a_process_id_given_away_since_is_not_signalled(tmp_path: Path) -> None:
    (tmp_path / "process.json").write_text(f'{{"pid": {os.getpid()}, "started": 1.0}}')
    with valkey.serve(tmp_path):
        pass  # a SIGTERM would have ended this test run


def _bound(port: int, taken: socket.socket) -> bool:
    if port == taken.getsockname()[1]:
        return False
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _command(process: psutil.Process) -> str:
    try:
        return "" if process.status() == psutil.STATUS_ZOMBIE else " ".join(process.cmdline())
    except psutil.Error:
        return ""
