"""A test of the running containers: ``make compose-test``.

Builds the images and starts docker-compose.yml with CPU workers, one of them twice, as a separate project. It checks
the privileges of the containers, what they reach, and their users of the broker. As a client it learns a subject, edits
an image that was uploaded to the storage directly, and receives the webhooks. It kills a worker during an edit and
recreates the servers' containers. Then it removes all containers and starts them on their data. Finally it removes
everything. If the images that the container files name can neither be found nor pulled, it builds stand-ins. Without a
Docker engine it prints a notice and succeeds.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

from cli.embedded.process import free_port
from ledger.roles import PROGRAMS
from lipe_client import Client, Image, Job, Subject, verify_webhook
from menagerie.scenario import Scenario, drawn_scenario
from menagerie.subjects import TOKEN, benchmark

ROOT = Path(__file__).resolve().parents[2]
HERE = Path("tests/compose")
SERVERS = ("postgres", "broker", "s3")
NODE = "node:22-slim"
UP = ("up", "--detach", "--wait", "--scale", "cpu-edit-worker=2")
SUBNET = "10.213.78.0/28"  # not that of a stack which runs beside this one
S3_PORT = 8333
INNER_PORTS = (8888, 18888, 9333, 19333, 8080, 18080, 8181, 9101)
"""The ports of SeaweedFS's filer, master, volumes and catalogs, which ask for no key."""
S3_GRPC_PORT = 18333
"""It asks for a certificate: without one the handshake fails."""
WEBHOOKS = "http://receiver:8000/webhooks"
PATIENCE = 120.0  # seconds for everything that is not a job
LEASE_SECONDS = 10


@dataclass(frozen=True)
class Stack:
    """The compose project: the command and its environment."""

    command: tuple[str, ...]
    environment: dict[str, str]
    has_stand_ins: bool

    def compose(self, *arguments: str) -> str:
        """Run a compose command and return its output. Raises CalledProcessError."""
        return _output(*self.command, *arguments, environment=self.environment)

    def containers(self) -> list[str]:
        """The ids of the running containers, without the test's receiver."""
        names = set(self.compose("ps", "--services").split()) - {"receiver"}
        return self.compose("ps", "-q", *names).split()


def main() -> None:
    if not _succeeds("docker", "version", "--format", "{{.Server.Version}}"):
        raise SystemExit(_skipped("no Docker engine answers"))
    if not _succeeds("docker", "compose", "version"):
        raise SystemExit(_skipped("docker has no compose plugin"))
    stand_ins = not all(_has(image) for image in _images())
    if stand_ins and not _has("python:3.11-slim"):
        raise SystemExit(_skipped("the engine has no images and can pull none"))
    with TemporaryDirectory() as folder:
        stack = _stack(Path(folder), stand_ins=stand_ins)
        try:
            _test(stack, Path(folder))
        except BaseException:
            with suppress(subprocess.CalledProcessError):
                print(stack.compose("logs", "--no-color", "--tail", "40"))
            raise
        finally:
            stack.compose("down", "--volumes", "--remove-orphans")


def _test(stack: Stack, folder: Path) -> None:
    with _timed("built"):
        if stack.has_stand_ins:
            stack.compose("build", "--quiet", "node")
        stack.compose("build", "--quiet")
    with _timed("up and healthy"):
        stack.compose(*UP)
    _check_hardening(stack)
    _check_networks(stack)
    options = ("--name", "test", "--scope", "admin", "--quiet")
    key = stack.compose("run", "--rm", "-T", "migrate", "keys", "create", *options).strip()
    scenario = drawn_scenario(benchmark()[2], folder / "images")
    with Client(f"http://127.0.0.1:{stack.environment['LIPE_PORT']}", key) as lipe:
        references = [lipe.upload_image(path) for path in scenario.references]
        image = lipe.upload_image_presigned(scenario.test)
        subject = lipe.create_subject(
            name=scenario.name, class_noun=scenario.class_noun, references=references, token=TOKEN
        )
        with _timed("one prior of 20 steps"):
            training = lipe.train_prior(
                subject, parameters={"steps": 20}, regularization={"count": 4, "steps": 4}, webhook_url=WEBHOOKS
            )
            prior = _done(lipe, training)
        with _timed("one edit"):
            edit = _done(lipe, _edit(lipe, subject, image, scenario))
        before = lipe.download(lipe.results(edit)[0].image, folder / "edit.png").read_bytes()
        _check_webhooks(stack, lipe.webhook_secret(), {prior.id, edit.id})
        _check_broker(stack)
        with _timed("two edits, and the worker of one killed"):
            _survive_a_killed_worker(stack, lipe, [_edit(lipe, subject, image, scenario, steps=40) for _ in range(2)])
        with _timed("servers recreated"):
            stack.compose("up", "--detach", "--wait", "--force-recreate", "--no-deps", *SERVERS)
        after = lipe.download(lipe.results(edit)[0].image, folder / "again.png").read_bytes()
        assert after == before, "the stored image has changed"
        with _timed("an edit afterwards"):
            _done(lipe, _edit(lipe, subject, image, scenario))
        with _timed("all containers removed and started on their data"):
            stack.compose("down")
            stack.compose(*UP)
        kept = lipe.download(lipe.results(edit)[0].image, folder / "kept.png").read_bytes()
        assert kept == before, "the stored image has changed"
    print("all container tests passed")


def _edit(lipe: Client, subject: Subject, image: Image, scenario: Scenario, **parameters: int) -> Job:
    return lipe.edit(
        subject=subject,
        image=image,
        prompt=scenario.edits[0].prompt,
        parameters=parameters,
        webhook_url=WEBHOOKS,
    )


def _done(lipe: Client, job: Job) -> Job:
    return lipe.wait(job)  # raises JobFailed


def _survive_a_killed_worker(stack: Stack, lipe: Client, jobs: list[Job]) -> None:
    """Each of two workers runs one of the jobs; after one is killed, the other finishes both."""
    _wait_for(lambda: all(lipe.job(job).status == "running" for job in jobs), "two workers at work")
    victim = stack.compose("ps", "-q", "cpu-edit-worker").split()[0]
    _output("docker", "kill", victim)
    finished = [_done(lipe, job) for job in jobs]
    assert sorted(job.attempt for job in finished) == [1, 2], "no job was taken over"


def _check_webhooks(stack: Stack, secret: str, job_ids: set[str]) -> None:
    """The receiver got the signed events of these jobs."""

    def received() -> set[str]:
        lines = _output("docker", "logs", stack.compose("ps", "-q", "receiver").strip()).splitlines()
        messages = [json.loads(line) for line in lines]
        events = [verify_webhook(secret, message["headers"], message["body"].encode()) for message in messages]
        return {event["data"]["job_id"] for event in events}

    _wait_for(lambda: job_ids <= received(), "the webhooks")


def _check_hardening(stack: Stack) -> None:
    """The running containers have few privileges, and the API has no torch."""
    for container in json.loads(_output("docker", "inspect", *stack.containers())):
        host, name = container["HostConfig"], container["Name"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert host["Memory"], name
        assert host["NanoCpus"], name
        assert host["PidsLimit"], name
        assert container["Config"]["User"].partition(":")[0] not in {"", "root", "0"}, name
        assert container["State"]["Health"]["Status"] == "healthy", name
    assert not _succeeds(
        *stack.command, "exec", "-T", "api", "python", "-c", "import torch", environment=stack.environment
    )


def _check_networks(stack: Stack) -> None:
    """Of the storage only S3 is open, and only the webhook worker reaches the receiver, which stands for the world."""
    receiver = stack.compose("exec", "-T", "receiver", "hostname", "-i").split()[0]
    places = [("s3", port) for port in (S3_PORT, *INNER_PORTS)] + [(receiver, 8000)]
    program = (
        "import socket\n"
        f"for place in {places}:\n"
        "  try: print(place[1], socket.create_connection(place, 2))\n"
        "  except OSError: pass"
    )
    for service in ("api", "dispatcher", "webhook-worker", "cpu-prior-worker", "cpu-edit-worker"):
        lines = stack.compose("exec", "-T", service, "python", "-c", program).splitlines()
        reached = {int(line.split()[0]) for line in lines}
        assert reached == ({S3_PORT, 8000} if service == "webhook-worker" else {S3_PORT}), (service, reached)
    handshake = f"import ssl; print(ssl.get_server_certificate(('s3', {S3_GRPC_PORT})))"
    assert "BEGIN CERTIFICATE" in stack.compose("exec", "-T", "api", "python", "-c", handshake)


def _check_broker(stack: Stack) -> None:
    """Each program is connected as its own user, and the broker has refused no command of theirs."""

    def ask(command: str) -> str:
        password = 'REDISCLI_AUTH=$(sed -n "s/^requirepass //p" /run/secrets/broker.conf)'
        return stack.compose("exec", "-T", "broker", "sh", "-c", f"{password} valkey-cli {command}")

    users = set(re.findall(r" user=(\S+)", ask("client list")))
    assert users == {"default", *(f"lipe_{program}" for program in PROGRAMS)}, users  # default: the one who asks
    refused = ask("acl log")
    assert not refused.strip(), refused


def _stack(folder: Path, *, stand_ins: bool) -> Stack:
    """The project with its own secrets, models and ports, without an .env file or the caller's settings."""
    _output(str(ROOT / "deploy/make_secrets.sh"), str(folder / "secrets"))
    copytree(ROOT / "menagerie/checkpoint", folder / "models/checkpoint")
    _output("chmod", "-R", "a+rX", str(folder / "models"))
    files = [Path("docker-compose.yml"), HERE / "test.yml"]
    if stand_ins:
        print("Servers and Node are stand-ins: their images cannot be pulled.")
        files.append(HERE / "stand-ins.yml")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIPE_")}
    if Path(os.environ.get("PIP_FIND_LINKS") or "?").is_dir():
        files.append(HERE / "wheels.yml")
        environment["TORCH_CPU_INDEX"] = ""
    environment |= {
        "LIPE_SECRETS_DIR": str(folder / "secrets"),
        "LIPE_MODELS_DIR": str(folder / "models"),
        "LIPE_PORT": str(free_port()),
        "LIPE_S3_PORT": str(free_port()),
        "LIPE_WORKER_CPUS": "1",
        "LIPE_LEASE_SECONDS": str(LEASE_SECONDS),
        "LIPE_FRONT_SUBNET": SUBNET,
    }
    named = [argument for file in files for argument in ("--file", str(file))]
    options = ("--project-name", "lipe-test", "--env-file", os.devnull, "--profile", "cpu")
    return Stack(("docker", "compose", *options, *named), environment, stand_ins)


def _images() -> list[str]:
    """The images of the servers and the proxy, and of Node, which builds the studio."""
    environment = {**os.environ, "LIPE_SECRETS_DIR": os.devnull}
    config = json.loads(_output("docker", "compose", "config", "--format", "json", environment=environment))
    return [NODE, *(config["services"][server]["image"] for server in (*SERVERS, "proxy"))]


def _has(image: str) -> bool:
    return _succeeds("docker", "image", "inspect", image) or _succeeds("docker", "pull", "--quiet", image)


def _wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE:.0f} s for {what}")
        time.sleep(0.2)


@dataclass
class _timed:
    """Context manager that prints the duration of the block."""

    what: str
    start: float = 0.0

    def __enter__(self) -> None:
        self.start = time.monotonic()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        print(f"{time.monotonic() - self.start:6.1f} s  {self.what}{'' if error is None else ': failed'}", flush=True)


def _output(*command: str, environment: dict[str, str] | None = None) -> str:
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def _succeeds(*command: str, environment: dict[str, str] | None = None) -> bool:
    try:
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _skipped(why: str) -> int:
    print(f"\n{'*' * 72}\n*** SKIPPED: {why}.\n*** The containers were NOT tested.\n{'*' * 72}\n")
    return 0


if __name__ == "__main__":
    main()
