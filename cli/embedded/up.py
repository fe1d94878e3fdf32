"""The whole service on one machine, with nothing installed: servers, migration, API, workers, dispatcher."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shlex import quote

from cli.embedded import postgres, s3, valkey
from cli.embedded.process import StartError, free_port, is_alive, private, secret
from cli.embedded.supervisor import Supervisor

SETTINGS = "settings.sh"
PROGRAMS = {
    "prior-worker": ("worker", "--queues", "priors"),
    "edit-worker": ("worker", "--queues", "edits"),
    "webhook-worker": ("worker", "--queues", "webhooks"),
    "dispatcher": ("dispatcher",),
}


@dataclass(frozen=True)
class Service:
    """A running service: where it listens, a fresh API key, and the programs under care."""

    url: str
    api_key: str
    data_dir: Path
    environment: Mapping[str, str]
    programs: Mapping[str, Supervisor]
    servers: tuple[str, ...]
    settings_file: Path

    def failure(self) -> str | None:
        """Why the service cannot go on, if it cannot: a program that dies again and again, or a dead server."""
        for name in self.servers:
            if not is_alive(self.data_dir / name):
                return f"{name} ended; its log is {self.data_dir / name / 'log'}"
        return next((program.failure for program in self.programs.values() if program.failure), None)


@contextmanager
def embedded_service(
    data_dir: Path,
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    base_model: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
    on_start: Callable[[str], None] = lambda name: None,
) -> Iterator[Service]:
    """Run everything inside the block; stop exactly that, in reverse order, at its end.

    `port` 0 takes a free one. `base_model` overrides LIPE_BASE_MODEL, and that the packaged miniature, which brings
    its captioner. A server whose LIPE_..._URL is set is used as it is, and none is started. `on_start` is told each
    part's name as it starts. The data directory's file `settings.sh` tells a shell meanwhile what the other `lipe`
    commands need.
    Raises StartError with the end of the failing part's log, and FolderInUse where another service
    runs on `data_dir`.
    """
    data_dir = data_dir.resolve()
    with ExitStack() as stack:
        addresses, servers = _servers(stack, data_dir, on_start)
        settings = {**addresses, **_settings(data_dir, base_model), **(environment or {})}
        on_start("migrate")
        _run("migrate", environment=settings)
        key = _run("keys", "create", "--name", "lipe up", "--quiet", environment=settings)
        port = port or free_port()
        url = f"http://{host}:{port}"
        programs = {}
        for name, arguments in {"api": ("api", "--host", host, "--port", str(port)), **PROGRAMS}.items():
            on_start(name)
            is_ready = _ready(url) if name == "api" else _at_once
            program = Supervisor(name, lipe(*arguments), data_dir / name, environment=settings, is_ready=is_ready)
            programs[name] = stack.enter_context(program.caring())
        file = stack.enter_context(_told(data_dir / SETTINGS, settings | {"LIPE_URL": url, "LIPE_API_KEY": key}))
        yield Service(url, key, data_dir, settings, programs, servers, file)


@contextmanager
def _told(file: Path, settings: Mapping[str, str]) -> Iterator[Path]:
    """A file to be read by a shell, for its owner only, while the addresses in it are true.

    What the user's environment says already is in it, too: another shell may not have it.
    """
    known = {name: value for name, value in {**os.environ, **settings}.items() if name.startswith("LIPE_")}
    file.unlink(missing_ok=True)
    with open(file, "x", opener=private) as settings_file:
        settings_file.writelines(f"export {name}={quote(value)}\n" for name, value in sorted(known.items()))
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


def lipe(*arguments: str) -> list[str]:
    """The command line of a `lipe` command under this very interpreter."""
    return [sys.executable, "-m", "cli.main", *arguments]


def _servers(
    stack: ExitStack, data_dir: Path, on_start: Callable[[str], None]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The started servers' addresses as settings, and their names; none for those that the environment names."""
    settings: dict[str, str] = {}
    started: list[str] = []

    def starting(name: str) -> Path:
        on_start(name)
        started.append(name)
        return data_dir / name

    if "LIPE_DATABASE_URL" not in os.environ:
        settings["LIPE_DATABASE_URL"] = stack.enter_context(postgres.serve(starting("postgres")))
    if "LIPE_BROKER_URL" not in os.environ:
        settings["LIPE_BROKER_URL"] = stack.enter_context(valkey.serve(starting("valkey")))
    if "LIPE_S3_ENDPOINT_URL" not in os.environ:
        storage = stack.enter_context(s3.serve(starting("s3")))
        settings |= {
            "LIPE_S3_ENDPOINT_URL": storage.endpoint_url,
            "LIPE_S3_BUCKET": storage.bucket,
            "LIPE_S3_ACCESS_KEY_ID": storage.access_key_id,
            "LIPE_S3_SECRET_ACCESS_KEY": storage.secret_access_key,
        }
    return settings, tuple(started)


def _settings(data_dir: Path, base_model: str | Path | None) -> dict[str, str]:
    settings = {
        "LIPE_DATA_DIR": str(data_dir / "cache"),
        # Everybody who can reach this service is on this machine already.
        "LIPE_ALLOW_PRIVATE_URLS": os.environ.get("LIPE_ALLOW_PRIVATE_URLS", "true"),
        "LIPE_KEY_PEPPER": os.environ.get("LIPE_KEY_PEPPER", secret(data_dir)),
        "PYTHONPATH": _code(),
    }
    if base_model is not None or "LIPE_BASE_MODEL" not in os.environ:
        settings["LIPE_BASE_MODEL"] = str(base_model or _packaged("checkpoint/unet").parent)
        if base_model is None and "LIPE_CAPTIONER" not in os.environ:
            settings["LIPE_CAPTIONER"] = str(_packaged("captioner"))
    return settings


def _code() -> str:
    """A checkout that is not installed is found by the programs, too."""
    here = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))


def _packaged(name: str) -> Path:
    """A folder of the miniature's."""
    package = find_spec("menagerie")
    for place in package.submodule_search_locations or [] if package else []:
        if (folder := Path(place) / name).is_dir():
            return folder
    raise StartError("the packaged miniature is missing: set LIPE_BASE_MODEL to a checkpoint")


def _run(*arguments: str, environment: Mapping[str, str]) -> str:
    """A `lipe` command that ends by itself; its output without the final newline."""
    done = subprocess.run(  # noqa: S603
        lipe(*arguments), env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StartError(f"lipe {arguments[0]} failed:\n{done.stderr}")
    return done.stdout.strip()


def _ready(url: str) -> Callable[[], bool]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy to ourselves

    def answers() -> bool:
        try:
            with opener.open(f"{url}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    return answers


def _at_once() -> bool:
    return True
