"""The whole service on one machine: Postgres, Valkey, S3, migration, API, workers and dispatcher."""

import http.client
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cli.embedded import postgres, s3, valkey
from cli.embedded.access_key import AccessKey, ensure_key
from cli.embedded.address import local_url, public_url
from cli.embedded.credentials import credentials_settings
from cli.embedded.preflight import check_base_model, check_data_folder, concurrent_check, reserve_port
from cli.embedded.process import StartError, is_alive, secret, stop_orphan, write_private
from cli.embedded.supervisor import Supervisor
from cli.embedded.workers import PROGRAMS as WORKER_PROGRAMS
from cli.embedded.workers import Workers, choose_workers, stop_other_workers
from cli.settings_file import NAME as SETTINGS_FILE
from cli.settings_file import as_exports, settings_from
from ledger.setting_values import is_loopback

PROGRAMS = {
    "webhook-worker": ("worker", "--queues", "webhooks"),
    "dispatcher": ("dispatcher",),
}
"""The programs besides the API and the workers of trainings and edits."""


@dataclass(frozen=True)
class Service:
    """A running service: its URLs, its API key, and its supervised programs."""

    url: str
    public_url: str
    """The URL that other machines use; the same as `url` if only this machine can connect."""
    key: AccessKey
    has_miniature: bool
    """Whether the base model is the packaged miniature."""
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
    workers: Workers = Workers.AUTO,
    environment: Mapping[str, str] | None = None,
    on_start: Callable[[str], None] = lambda name: None,
    allow_distilled: bool = False,
) -> Iterator[Service]:
    """Run the service in the block. At the end, the programs that it started are stopped, then the servers.

    `port` 0 selects a free port. `base_model` takes precedence over LIPE_BASE_MODEL; the default is the packaged
    miniature with its captioner. If a server's LIPE_..._URL is set, that server is used and none is started. The
    embedded storage answers this machine alone, so the API serves its files, under LIPE_PUBLIC_URL or the URL that
    other machines use. `on_start` receives the name of each part before it starts. With `allow_distilled`, the base
    model may be a distilled klein. While the service runs, the file `settings.sh` in `data_dir` exports the settings
    that the other `lipe` commands need.

    Raises StartError with the mistake, or with the end of the log of the part that failed. Raises FolderInUse if
    another service uses `data_dir`.
    """
    data_dir = data_dir.resolve()
    check_data_folder(data_dir)
    stop_orphan(data_dir / "api")  # it would hold the port
    defaults = _default_settings(data_dir, base_model, allows_private_urls=is_loopback(host))
    defaults |= {"LIPE_ALLOW_DISTILLED": "true"} if allow_distilled else {}
    model = defaults.get("LIPE_BASE_MODEL") or os.environ["LIPE_BASE_MODEL"]
    check_base_model(model, allow_distilled=allow_distilled)
    with ExitStack() as stack:
        reserved_port = stack.enter_context(reserve_port(host, port))
        port = reserved_port.getsockname()[1]
        outside_url = os.environ.get("LIPE_PUBLIC_URL") or public_url(host, port)
        wait_for_check = None
        if not is_miniature(model):  # the package is tested with that
            # It takes seconds, because it imports torch: the servers start in the meantime.
            wait_for_check = stack.enter_context(concurrent_check(lipe_command("check-model", model), defaults))
        addresses, servers = _start_servers(stack, data_dir, on_start)
        if "LIPE_S3_ENDPOINT_URL" in addresses:
            addresses["LIPE_PUBLIC_URL"] = outside_url
        credentials = credentials_settings(data_dir / "credentials")
        settings = {**addresses, **defaults, **credentials, **(environment or {})}
        on_start("migrate")
        _run_command("migrate", environment=settings)
        if wait_for_check is not None:
            on_start("the check of the base model")
            wait_for_check()
        key = ensure_key(data_dir, settings_from(settings))  # `lipe migrate` has accepted these settings
        url = local_url(host, port)
        reserved_port.close()
        workers = choose_workers(workers, settings)
        stop_other_workers(workers, data_dir)
        programs = {}
        commands = {"api": ("api", "--host", host, "--port", str(port)), **WORKER_PROGRAMS[workers], **PROGRAMS}
        for place, (name, arguments) in enumerate(commands.items()):
            on_start(name)
            own = settings | _metrics_port(settings, place)
            is_ready = api_is_ready(url, key.token) if name == "api" else _always_ready
            program = Supervisor(name, lipe_command(*arguments), data_dir / name, environment=own, is_ready=is_ready)
            programs[name] = stack.enter_context(program.running())
        stack.callback(_stop_together, programs.values())
        for program in programs.values():
            program.wait_until_ready()
        file = stack.enter_context(
            _written_settings(data_dir / SETTINGS_FILE, settings | {"LIPE_URL": url, "LIPE_API_KEY": key.token})
        )
        yield Service(url, outside_url, key, is_miniature(model), data_dir, settings, programs, servers, file)


def _stop_together(programs: Iterable[Supervisor]) -> None:
    for program in programs:
        program.stop()


def _metrics_port(settings: Mapping[str, str], place: int) -> dict[str, str]:
    """The setting of the program at this place: each has a port of its own, if LIPE_METRICS_PORT names the first."""
    first = settings.get("LIPE_METRICS_PORT") or os.environ.get("LIPE_METRICS_PORT", "0")
    return {"LIPE_METRICS_PORT": str(int(first) + place)} if first.isdecimal() and int(first) else {}


@contextmanager
def _written_settings(file: Path, settings: Mapping[str, str]) -> Iterator[Path]:
    """Write a file of exports for a shell, readable by its owner only, and delete it when the block ends.

    It contains the LIPE_ variables of this environment, too, because another shell may not have them.
    """
    variables = {name: value for name, value in {**os.environ, **settings}.items() if name.startswith("LIPE_")}
    write_private(file, as_exports(variables))
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


def _default_settings(data_dir: Path, base_model: str | Path | None, *, allows_private_urls: bool) -> dict[str, str]:
    settings = {
        "LIPE_DATA_DIR": str(data_dir / "cache"),
        # Users of a service on loopback can reach private addresses anyway; those of other machines cannot.
        "LIPE_ALLOW_PRIVATE_URLS": os.environ.get("LIPE_ALLOW_PRIVATE_URLS", str(allows_private_urls).lower()),
        "LIPE_WATERMARK_KEY": os.environ.get("LIPE_WATERMARK_KEY", secret(data_dir / "watermark")),
        "LIPE_KEY_PEPPER": os.environ.get("LIPE_KEY_PEPPER", secret(data_dir)),
        "PYTHONPATH": _python_path(),
    }
    if base_model or not os.environ.get("LIPE_BASE_MODEL"):
        settings["LIPE_BASE_MODEL"] = str(base_model or miniature_folder("checkpoint/unet").parent)
        if not base_model and "LIPE_CAPTIONER" not in os.environ:
            settings["LIPE_CAPTIONER"] = str(miniature_folder("captioner"))
        if not base_model and "LIPE_CAPTION_CHECKER" not in os.environ:
            settings["LIPE_CAPTION_CHECKER"] = str(miniature_folder("judges/clip"))
    return settings


def _python_path() -> str:
    """PYTHONPATH with this checkout, so that the programs find it when it is not installed."""
    checkout = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [checkout, os.environ.get("PYTHONPATH")]))


def miniature_folder(name: str) -> Path:
    """A folder of the packaged miniature models."""
    package = find_spec("menagerie")
    for place in package.submodule_search_locations or [] if package else []:
        if (folder := Path(place) / name).is_dir():
            return folder
    raise StartError("the packaged miniature is missing: set LIPE_BASE_MODEL to a checkpoint")


def is_miniature(base_model: str) -> bool:
    """Whether a base model is the packaged miniature."""
    try:
        return Path(base_model).resolve() == miniature_folder("checkpoint/unet").parent.resolve()
    except StartError:
        return False


def _run_command(*arguments: str, environment: Mapping[str, str]) -> None:
    """Run a `lipe` command to its end."""
    done = subprocess.run(  # noqa: S603
        lipe_command(*arguments), env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StartError(f"lipe {arguments[0]} failed:\n{done.stderr}")


def api_is_ready(url: str, api_key: str) -> Callable[[], bool]:
    """A function that returns whether the API answers and accepts the key. The API of another LIPE does not."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the API is on this machine: use no proxy
    jobs = urllib.request.Request(f"{url}/v1/jobs?limit=1", headers={"Authorization": f"Bearer {api_key}"})  # noqa: S310

    def answers() -> bool:
        try:
            for request in (f"{url}/readyz", jobs):
                with opener.open(request, timeout=5) as answer:
                    if answer.status != http.client.OK:
                        return False
        except OSError:
            return False
        return True

    return answers


def _always_ready() -> bool:
    return True
