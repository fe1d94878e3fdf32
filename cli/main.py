"""The `lipe` command. Thin: every command calls one thing, imported when the command runs."""

import json
import signal
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli import keys
from cli.edit import edit
from cli.train import train

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

app = typer.Typer(no_args_is_help=True, add_completion=False, help="LIPE: personalised, non-rigid image editing.")
app.add_typer(keys.app, name="keys")
app.command()(train)
app.command()(edit)


@app.command()
def up(
    data: Annotated[Path, typer.Option(help="Everything the service keeps lies in this folder.")] = Path("data"),
    port: Annotated[int, typer.Option(help="The API's port; 0 takes a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="The API's address.")] = "127.0.0.1",
    base_model: Annotated[str | None, typer.Option(help="Checkpoint folder or hub id (LIPE_BASE_MODEL).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line when ready, for scripts.")] = False,
) -> None:
    """Start the whole service on this machine; Ctrl-C stops all of it."""
    from cli.embedded.process import FolderInUse, StartError
    from cli.embedded.up import embedded_service

    console = Console(stderr=True)
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
                on_start=lambda name: status.update(f"starting {name}"),
            ) as service,
        ):
            status.stop()
            if as_json:
                ready = {"url": service.url, "api_key": service.api_key, "settings": str(service.settings_file)}
                print(json.dumps(ready), flush=True)
            else:
                console.print(f"LIPE is at [bold]{service.url}[/] (documentation: {service.url}/docs)", soft_wrap=True)
                console.print(f"API key, shown once: [bold]{service.api_key}[/]", soft_wrap=True)
                console.print(f"For lipe train, edit, audit and keys: . {service.settings_file}", soft_wrap=True)
                console.print("Ctrl-C stops it.")
            while not (failure := service.failure()):
                time.sleep(0.5)
            raise StartError(failure)
    except KeyboardInterrupt:
        console.print("stopped")
    except (StartError, FolderInUse) as error:
        console.print(f"[red]{error}[/]", highlight=False)
        raise typer.Exit(1) from error


@app.command()
def api(host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve the REST API."""
    import uvicorn

    uvicorn.run(
        "api.app:make_app",
        factory=True,
        host=host,
        port=port,
        log_level="info",
        server_header=False,
        access_log=False,  # `api.request_id` writes a line for each request, with its id
    )


@app.command()
def worker(
    queues: Annotated[str, typer.Option(help="Of priors, edits, webhooks; commas between.")] = "priors,edits",
) -> None:
    """Take jobs from the queues: one at a time on the GPU, many at a time for webhooks."""
    from worker.app import serve

    try:
        serve(queues.split(","))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


@app.command()
def dispatcher() -> None:
    """Ring for what waits, and bring back what a dead worker left."""
    from worker.dispatcher import serve

    serve()


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema, and make the bucket if there is none."""
    from ledger.database import migrate as run
    from ledger.settings import Settings
    from ledger.storage import Storage

    settings = Settings()
    run(settings)
    Storage(settings).ensure_bucket()


@app.command()
def audit(
    patience: Annotated[
        float, typer.Option(help="Seconds that a lease, doorbell, webhook or erasure may be late.", min=0, max=1e6)
    ] = 300,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, for scripts.")] = False,
) -> None:
    """Check the nine invariants over database and storage, changing nothing.

    Exit status: 0 all hold, 1 one does not, 2 no answer. Every artefact is read back from the storage.
    """
    from cli.audit import audit as run

    raise typer.Exit(run(patience, as_json=as_json))


def _interrupt(signal_number: int, frame: object) -> None:
    """The first signal unwinds whatever runs; the next ones must not interrupt the stopping itself."""
    for other in STOP_SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    app()
