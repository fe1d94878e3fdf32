"""The broker's users by `make secrets`, on a real server: each program works with its own, and has no other rights."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from cli.embedded.process import on_free_port, running
from cli.embedded.valkey import packaged, parse_line
from ledger.notify import QUEUES, is_ready, make_notifier
from ledger.roles import PROGRAMS
from ledger.settings import Settings
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
WORKER = """
import sys
from ledger.notify import QUEUES
from ledger.settings import Settings
from worker.app import make_app

queues = sys.argv[1].split(",")
app = make_app(Settings(), webhooks_only=queues == ["webhooks"])
for task in QUEUES:
    app.tasks.pop(task)  # a message is taken and acknowledged, and no work begins
worker = app.Worker(queues=queues, pool="threads", concurrency=1, without_gossip=True, without_mingle=True,
                    heartbeat_interval=1.0, hostname=f"{queues[0]}@test", quiet=True)
worker.start()
"""
OTHERS = {
    "api": "RPOP edits, LRANGE edits 0 -1, BRPOP webhooks 1, HGETALL unacked.jobs, PUBLISH /0.celery.pidbox x",
    "dispatcher": "RPOP edits, LRANGE webhooks 0 -1, HGET unacked.jobs x, SUBSCRIBE /0.celery.pidbox, SET edits x",
    "webhooks": "RPOP edits, BRPOP priors 1, LPUSH edits x, HGET unacked.jobs x, SUBSCRIBE elsewhere",
    "worker": "RPOP webhooks, LPUSH webhooks x, HGET unacked.webhooks x, GET else, PUBLISH elsewhere x",
}
"""Commands of no right, for each program."""
NO_PROGRAM = "CONFIG GET *, FLUSHALL, FLUSHDB, KEYS *, SCAN 0, ACL LIST, MONITOR, SHUTDOWN, SAVE, INFO, CLIENT LIST"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The secrets of an older version, to which the script has added the users."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "broker.conf").write_text("requirepass before\n")
    (folder / "lipe_broker_url").write_text("redis://:before@broker:6379/0\n")
    for name in ("unused_pepper", "credentials_key.pem", "s3_internal.pem", "grafana_password"):
        (folder / name).write_text("as before")
    (folder / "broker.conf").chmod(0o444)
    add_secrets(folder)
    return folder


def add_secrets(folder: Path) -> dict[str, str]:
    """Run the script for a folder that exists. Returns the secrets."""
    subprocess.run([ROOT / "deploy/make_secrets.sh", folder], check=True, capture_output=True)
    return {file.name: file.read_text() for file in folder.iterdir()}


@pytest.fixture(scope="module")
def urls(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The URL of each program's user, and of the owner's as `lipe`, on a server with the script's settings."""
    program, place = packaged(), tmp_path_factory.mktemp("server")
    assert program is not None

    def url(name: str, port: int) -> str:
        return (folder / f"{name}_broker_url").read_text().strip().replace("broker:6379", f"127.0.0.1:{port}")

    def start(port: int) -> Any:
        argv = [program, str(folder / "broker.conf"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        return running(argv, place, is_ready=partial(answers, url("lipe", port)), parse=parse_line)

    with on_free_port(start) as port:
        yield {name: url(name, port) for name in ("lipe", *PROGRAMS)}


def answers(url: str) -> bool:
    """Whether the server answers to this user."""
    try:
        with Redis.from_url(url) as client:
            return bool(client.ping())
    except RedisError:
        return False


@pytest.fixture
def owner(urls: dict[str, str]) -> Iterator[Redis]:
    """The owner's connection to a server whose log of refusals is empty."""
    with Redis.from_url(urls["lipe"], decode_responses=True) as owner:
        owner.flushall()
        owner.acl_log_reset()
        yield owner


def settings_of(url: str) -> dict[str, str]:
    """The settings of a program that has this broker."""
    names = ("DATABASE_URL", "S3_ENDPOINT_URL", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY")
    values = ("postgresql://user@127.0.0.1:9/none", "http://127.0.0.1:9", "key", "secret")
    given = dict(zip(names, values, strict=True)) | {"KEY_PEPPER": "0123456789abcdef", "BROKER_URL": url}
    return {f"LIPE_{name}": value for name, value in given.items()}


def notifier_settings(url: str) -> Settings:
    """The same settings, in this process."""
    return Settings.model_validate(
        {name.removeprefix("LIPE_").lower(): text for name, text in settings_of(url).items()}
    )


@pytest.mark.parametrize("program", ["api", "dispatcher"])
def test_a_program_that_sends_works_with_its_user(program: str, urls: dict[str, str], owner: Redis) -> None:
    settings = notifier_settings(urls[program])
    notify = make_notifier(settings)
    assert is_ready(settings)
    assert [notify(task, "an-id") for task in QUEUES] == [True] * len(QUEUES)
    assert [owner.llen(queue) for queue in ("priors", "edits", "webhooks")] == [1, 3, 2]
    assert owner.acl_log() == []


@contextmanager
def working(queues: str, url: str, owner_url: str) -> Iterator[Celery]:
    """A worker of the queues. Yields the operator's application, once the worker answers it."""
    environment = {**os.environ, **settings_of(url), "PYTHONPATH": os.pathsep.join(sys.path)}
    worker = subprocess.Popen([sys.executable, "-c", WORKER, queues], env=environment)
    operator = Celery("operator", broker=owner_url, set_as_current=False)
    try:
        eventually(lambda: worker.poll() is not None or bool(operator.control.ping(timeout=1.0)))
        assert worker.poll() is None
        yield operator
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait()
        operator.close()


@pytest.mark.parametrize(("program", "queues"), [("webhooks", "webhooks"), ("worker", "priors,edits")])
def test_a_worker_works_with_its_user(program: str, queues: str, urls: dict[str, str], owner: Redis) -> None:
    notify = make_notifier(notifier_settings(urls["api"]))
    own = {task for task, queue in QUEUES.items() if queue in queues.split(",")}
    assert all(notify(task, "an-id") for task in own)
    keys = f"unacked.{'webhooks' if program == 'webhooks' else 'jobs'}"
    queue = queues.split(",")[-1]
    lost = json.loads(str(owner.rpop(queue)))  # as a worker leaves it that dies with the message
    owner.hset(keys, "a-tag", json.dumps([lost, "", queue]))
    owner.zadd(f"{keys}_index", {"a-tag": 1.0})
    with working(queues, urls[program], urls["lipe"]):
        eventually(lambda: not owner.exists(keys, f"{keys}_index", *queues.split(",")))
    assert owner.acl_log() == []


@pytest.mark.parametrize("program", OTHERS)
def test_a_program_has_no_other_rights(program: str, urls: dict[str, str], owner: Redis) -> None:
    for task, queue in QUEUES.items():
        owner.lpush(queue, task)
    before = [owner.lrange(queue, 0, -1) for queue in sorted(set(QUEUES.values()))]
    with Redis.from_url(urls[program]) as user:
        assert user.ping()
        for command in f"{OTHERS[program]}, {NO_PROGRAM}".split(", "):
            with pytest.raises(NoPermissionError):
                user.execute_command(*command.split())
    assert [owner.lrange(queue, 0, -1) for queue in sorted(set(QUEUES.values()))] == before


def test_the_password_of_an_older_version_goes_on_working(folder: Path, urls: dict[str, str], owner: Redis) -> None:
    assert "//:before@" in urls["lipe"]
    assert owner.ping()
    made = {file.name: file.read_text() for file in folder.iterdir()}
    assert add_secrets(folder) == made
    wrong = urls["api"].replace("lipe_api", "lipe_worker")
    with Redis.from_url(wrong) as user, pytest.raises(AuthenticationError):
        user.ping()


def test_a_broker_of_the_operators_own_keeps_its_url(tmp_path: Path) -> None:
    url = "rediss://user:word@elsewhere:6380/1\n"
    (tmp_path / "lipe_broker_url").write_text(url)
    (tmp_path / "broker.conf").write_text("requirepass unused\n")
    for name in ("unused_pepper", "credentials_key.pem", "s3_internal.pem", "grafana_password"):
        (tmp_path / name).write_text("as before")
    made = add_secrets(tmp_path)
    assert {made[f"{program}_broker_url"] for program in PROGRAMS} == {url}
    assert made["broker.conf"] == "requirepass unused\n"
