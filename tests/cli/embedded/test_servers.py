"""The embedded servers answer, keep their data, clean up after a crash, and stop."""

import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from cli.embedded import postgres, s3, valkey
from cli.embedded.process import secret


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


def test_the_next_start_stops_the_servers_of_a_crashed_owner(tmp_path: Path) -> None:
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
    assert left  # at least the commands of Postgres and rclone contain their folder
    with ExitStack() as stack:
        url = stack.enter_context(postgres.serve(tmp_path / "p", durable=False))
        stack.enter_context(valkey.serve(tmp_path / "v"))
        stack.enter_context(s3.serve(tmp_path / "s"))
        psycopg.connect(_dsn(url)).close()
        assert not [process for process in left if process.is_running() and str(tmp_path) in _command(process)]
    assert not [process for process in psutil.process_iter() if str(tmp_path) in _command(process)]


def _command(process: psutil.Process) -> str:
    try:
        return "" if process.status() == psutil.STATUS_ZOMBIE else " ".join(process.cmdline())
    except psutil.Error:
        return ""
