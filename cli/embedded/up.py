"""The whole service on one machine: Postgres, Valkey, S3, migration, API, workers and dispatcher."""

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
from cli.embedded.process import StartError, free_port, is_alive, private_opener, secret
from cli.embedded.supervisor import Supervisor

SETTINGS_FILE = "settings.sh"
PROGRAMS = {
    "prior-worker": ("worker", "--queues", "priors"),
    "edit-worker": ("worker", "--queues", "edits"),
    "webhook-worker": ("worker", "--queues", "webhooks"),
    "dispatcher": ("dispatcher",),
}


@dataclass(frozen=True)
class Service:
    """A running service: its URL, a new API key, and its supervised programs."""

    url: str
    api_key: str
    data_dir: Path
    environment: Mapping[str, str]
    programs: Mapping[str, Supervisor]
    servers: tuple[str, ...]
    settings_file: Path

    def failure(self) -> str | None:
        """The reason why the service cannot continue, if there is one: a server ended, or a program keeps exiting."""
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
    """Run the service in the block. At the end, everything it started is stopped in reverse order.

    `port` 0 selects a free port. `base_model` takes precedence over LIPE_BASE_MODEL; the default is the packaged
    miniature with its captioner. If a server's LIPE_..._URL is set, that server is used and none is started.
    `on_start` receives the name of each part before it starts. While the service runs, the file `settings.sh` in
    `data_dir` exports the settings that the other `lipe` commands need.

    Raises StartError with the end of the log of the part that failed, and FolderInUse if another service uses
    `data_dir`.
    """
    data_dir = data_dir.resolve()
    with ExitStack() as stack:
        addresses, servers = _start_servers(stack, data_dir, on_start)
        settings = {**addresses, **_default_settings(data_dir, base_model), **(environment or {})}
        on_start("migrate")
        _run_command("migrate", environment=settings)
        key = _run_command("keys", "create", "--name", "lipe up", "--quiet", environment=settings)
        port = port or free_port()
        url = f"http://{host}:{port}"
        programs = {}
        for name, arguments in {"api": ("api", "--host", host, "--port", str(port)), **PROGRAMS}.items():
            on_start(name)
            is_ready = _api_is_ready(url) if name == "api" else _always_ready
            program = Supervisor(
                name, lipe_command(*arguments), data_dir / name, environment=settings, is_ready=is_ready
            )
            programs[name] = stack.enter_context(program.running())
        file = stack.enter_context(
            _written_settings(data_dir / SETTINGS_FILE, settings | {"LIPE_URL": url, "LIPE_API_KEY": key})
        )
        yield Service(url, key, data_dir, settings, programs, servers, file)


@contextmanager
def _written_settings(file: Path, settings: Mapping[str, str]) -> Iterator[Path]:
    """Write a file of exports for a shell, readable by its owner only, and delete it when the block ends.

    It contains the LIPE_ variables of this environment, too, because another shell may not have them.
    """
    variables = {name: value for name, value in {**os.environ, **settings}.items() if name.startswith("LIPE_")}
    file.unlink(missing_ok=True)
    with open(file, "x", opener=private_opener) as settings_file:
        settings_file.writelines(f"export {name}={quote(value)}\n" for name, value in sorted(variables.items()))
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


def lipe_command(*arguments: str) -> list[str]:
    """The argument list of a `lipe` command under the current Python interpreter."""
    return [sys.executable, "-m", "cli.main", *arguments]


def _start_servers(
    stack: ExitStack, data_dir: Path, on_start: Callable[[str], None]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Start the servers that the environment does not name. Returns their settings and their names."""
    settings: dict[str, str] = {}
    started: list[str] = []

    def announce(name: str) -> Path:
        on_start(name)
        started.append(name)
        return data_dir / name

    if "LIPE_DATABASE_URL" not in os.environ:
        settings["LIPE_DATABASE_URL"] = stack.enter_context(postgres.serve(announce("postgres")))
    if "LIPE_BROKER_URL" not in os.environ:
        settings["LIPE_BROKER_URL"] = stack.enter_context(valkey.serve(announce("valkey")))
    if "LIPE_S3_ENDPOINT_URL" not in os.environ:
        storage = stack.enter_context(s3.serve(announce("s3")))
        settings |= {
            "LIPE_S3_ENDPOINT_URL": storage.endpoint_url,
            "LIPE_S3_BUCKET": storage.bucket,
            "LIPE_S3_ACCESS_KEY_ID": storage.access_key_id,
            "LIPE_S3_SECRET_ACCESS_KEY": storage.secret_access_key,
        }
    return settings, tuple(started)


def _default_settings(data_dir: Path, base_model: str | Path | None) -> dict[str, str]:
    settings = {
        "LIPE_DATA_DIR": str(data_dir / "cache"),
        # The service listens on loopback by default, so its users can reach private addresses anyway.
        "LIPE_ALLOW_PRIVATE_URLS": os.environ.get("LIPE_ALLOW_PRIVATE_URLS", "true"),
        "LIPE_KEY_PEPPER": os.environ.get("LIPE_KEY_PEPPER", secret(data_dir)),
        "PYTHONPATH": _python_path(),
    }
    if base_model is not None or "LIPE_BASE_MODEL" not in os.environ:
        settings["LIPE_BASE_MODEL"] = str(base_model or _miniature_folder("checkpoint/unet").parent)
        if base_model is None and "LIPE_CAPTIONER" not in os.environ:
            settings["LIPE_CAPTIONER"] = str(_miniature_folder("captioner"))
    return settings


def _python_path() -> str:
    """PYTHONPATH with this checkout, so that the programs find it when it is not installed."""
    checkout = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [checkout, os.environ.get("PYTHONPATH")]))


def _miniature_folder(name: str) -> Path:
    """A folder of the packaged miniature models."""
    package = find_spec("menagerie")
    for place in package.submodule_search_locations or [] if package else []:
        if (folder := Path(place) / name).is_dir():
            return folder
    raise StartError("the packaged miniature is missing: set LIPE_BASE_MODEL to a checkpoint")


def _run_command(*arguments: str, environment: Mapping[str, str]) -> str:
    """Run a `lipe` command to its end and return its output without the final newline."""
    done = subprocess.run(  # noqa: S603
        lipe_command(*arguments), env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StartError(f"lipe {arguments[0]} failed:\n{done.stderr}")
    return done.stdout.strip()


def _api_is_ready(url: str) -> Callable[[], bool]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the API is on this machine: use no proxy

    def answers() -> bool:
        try:
            with opener.open(f"{url}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    return answers


def _always_ready() -> bool:
    return True
