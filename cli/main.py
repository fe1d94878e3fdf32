"""The `lipe` command. Each command imports what it runs only when it is called, so that `lipe --help` is fast."""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli import consent, content_credentials, decisions, keys, projects
from cli.captions import captions
from cli.check_model import check_model
from cli.edit import edit
from cli.embedded.announce import announce
from cli.embedded.browser import is_wanted, open_studio
from cli.embedded.workers import Workers, WorkersOption
from cli.force_option import ForceOption
from cli.import_prior import import_prior
from cli.jobs import cancel, jobs, retry
from cli.kit import command as bench
from cli.logs import logs
from cli.missing_package import needs_packages
from cli.orphans import orphans
from cli.server_errors import server_errors
from cli.settings_file import Data
from cli.snapshots import snapshots
from cli.status import status
from cli.train import train
from cli.verify import verify
from cli.whoami import whoami
from cli.workers import workers
from ledger.version import VERSION

Port = Annotated[int, typer.Option(help="The port of the API; 0 selects a free one.", min=0, max=65535)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON list, for scripts.")]
OpenOption = Annotated[
    bool | None,
    typer.Option(
        "--open/--no-open",
        help="Open the studio in the browser. Default: in a terminal with a display, but not over SSH, in a container "
        "or in CI.",
        show_default=False,
    ),
]
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
app = typer.Typer(no_args_is_help=True, add_completion=False)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"lipe {VERSION}")
        raise typer.Exit


@app.callback()
def lipe(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """LIPE: personalised, non-rigid image editing."""
    # Its import warns of image processors that LIPE does not use. LIPE's own log has what matters.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def up(
    data: Annotated[Path, typer.Option(help="The folder for all data of the service.")] = Path("data"),
    port: Port = 8000,
    host: Annotated[str, typer.Option(help="The API's address.")] = "127.0.0.1",
    base_model: Annotated[
        str | None, typer.Option(help="Checkpoint folder or hub id. Default: LIPE_BASE_MODEL.")
    ] = None,
    workers: WorkersOption = Workers.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line when ready, for scripts.")] = False,
    opens: OpenOption = None,
    force: ForceOption = False,
) -> None:
    """Start the whole service on this machine, and open its studio in the browser. Ctrl-C stops it."""
    with needs_packages("api,worker,embedded"):
        from cli.embedded.process import FolderInUse, StartError
        from cli.embedded.up import embedded_service
        from lipe_core.checkpoint.flux2_layout import distilled_warning, is_distilled

    console = Console(stderr=True)
    if force and is_distilled(named := base_model or os.environ.get("LIPE_BASE_MODEL", "")):
        console.print(distilled_warning(named), style="yellow", markup=False, highlight=False, soft_wrap=True)
    for signal_number in STOP_SIGNALS:
        signal.signal(signal_number, _interrupt)
    try:
        with (
            console.status("starting") as status,
            embedded_service(
                data,
                port=port,
                host=host,
                base_model=base_model,
                workers=workers,
                on_start=lambda name: status.update(f"starting {name}"),
                allow_distilled=force,
            ) as service,
        ):
            status.stop()
            announce(console, service, as_json=as_json)
            if is_wanted(opens, is_interactive=console.is_terminal and not as_json, environment=os.environ):
                open_studio(service, console)
            while not (failure := service.failure()):
                time.sleep(0.5)
            raise StartError(failure)
    except KeyboardInterrupt:
        console.print("stopped")
    except (StartError, FolderInUse) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error


def api(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Port = 8000,
) -> None:
    """Serve the REST API."""
    from api.server import serve

    _configure_program()
    serve(host, port)


def worker(
    queues: Annotated[
        str, typer.Option(help="Any of priors, edits and webhooks, separated by commas.")
    ] = "priors,edits",
) -> None:
    """Run jobs from the queues: one at a time for priors and edits, many at a time for webhooks."""
    from ledger.settings import Settings
    from worker.app import serve
    from worker.gpu_choice import gpu_taken

    _configure_program()
    try:
        with nullcontext() if queues == "webhooks" else gpu_taken(Settings()):
            serve(queues.split(","))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def dispatcher() -> None:
    """Notify the workers of waiting jobs and requeue the jobs of lost workers."""
    from worker.dispatcher import serve

    _configure_program()
    serve()


def usage(
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day, in UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day, in UTC.")] = None,
    data: Data = None,
) -> None:
    """Print the GPU seconds of each project by day and kind of job, as CSV."""
    from cli.usage import run_usage

    if since and until and since > until:
        raise typer.BadParameter("--since is after --until: exchange them")
    run_usage(data, since.date() if since else None, until.date() if until else None)


def migrate(
    roles: Annotated[
        Path | None,
        typer.Option(
            help="A folder with api_database_url, dispatcher_database_url, webhooks_database_url and "
            "worker_database_url: create the users of these URLs, each with the rights of its program only."
        ),
    ] = None,
) -> None:
    """Upgrade the database to the newest schema, create the bucket if it is missing, and set its CORS rule."""
    from cli.migrate import run_migrate

    with server_errors():
        run_migrate(roles)


def audit(
    patience: Annotated[
        float,
        typer.Option(
            help="Accepted lateness of a lease, notification, webhook or erasure, in seconds.", min=0, max=1e6
        ),
    ] = 300,
    worker_data: Annotated[
        list[Path],
        typer.Option(
            exists=True, file_okay=False, help="A worker's data folder (LIPE_DATA_DIR), to check its disk. Repeatable."
        ),
    ] = [],  # noqa: B006
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts.")] = False,
    data: Data = None,
) -> None:
    """Check the service's eleven invariants in database, object storage and workers' disks. Nothing is changed.

    Every artefact is read from the storage. Exit status: 0 no violation, 1 violations, 2 database or storage
    unavailable.
    """
    from cli.audit import run_audit

    raise typer.Exit(run_audit(patience, data, worker_data, as_json=as_json))


def retention(as_json: JsonOption = False, data: Data = None) -> None:
    """Show what the retention of the settings would erase now. Nothing is erased: a dispatcher does that."""
    from cli.retention import run_retention

    run_retention(data, as_json=as_json)


def doctor() -> None:
    """Check what an installation needs: packages, device, memory, base model, database, broker and storage.

    It then prints a plan of the GPU memory by phase, and whether two workers fit on this GPU.

    Run it where the workers run. It writes and deletes one object in the storage, and changes nothing else. Exit
    status: 0 no fault, 1 a check failed.
    """
    with needs_packages("worker"):
        from cli.doctor.run import run_doctor

    raise typer.Exit(run_doctor())


COMMANDS: Mapping[str, Sequence[Callable[..., None]]] = {
    "Run the service": (up, status, logs),
    "Use a running service": (train, snapshots, captions, import_prior, edit, jobs, cancel, retry, verify, whoami),
    "Look after it": (doctor, workers, audit, retention, orphans, usage, check_model),
    "Its parts, for production": (api, worker, dispatcher, migrate),
}
for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(consent.app, name="consent", rich_help_panel="Look after it")
keys.app.add_typer(content_credentials.app, name="content-credentials")
app.add_typer(keys.app, name="keys", rich_help_panel="Look after it")
app.add_typer(projects.app, name="projects", rich_help_panel="Look after it")
app.add_typer(decisions.app, name="decisions", rich_help_panel="Look after it")
app.add_typer(bench.app, name="bench", rich_help_panel="Models")


def _configure_program() -> None:
    """Format the logs of a program of the service, and check its settings: an error is one sentence."""
    from ledger import logs
    from ledger.settings import Settings
    from ledger.trace_settings import TracingMissing, check_tracing

    with server_errors():
        Settings()
    try:
        check_tracing()
    except TracingMissing as error:
        raise typer.BadParameter(str(error)) from error
    logs.configure()


def _interrupt(signal_number: int, frame: object) -> None:
    """Raise KeyboardInterrupt at the first signal and ignore the next ones, so that they do not interrupt the stop."""
    for other in STOP_SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    app()
