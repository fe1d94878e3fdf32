"""The option `--dry-run` of `lipe train` and `lipe edit`: its report, and the deletion of what it had to upload."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import typer

from lipe_client import Client, DryRun, Problem

DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Check the request, print settings and estimated time, and delete what was uploaded for it."
    ),
]


@contextmanager
def deleted_afterwards(lipe: Client, images: Iterable[str], *, subject: str = "") -> Iterator[None]:
    """Delete the subject, if there is one, and the images after the block. Not after a Problem: its caller does."""
    yield
    if subject:
        lipe.delete_subject(subject)
    for image in images:
        with suppress(Problem):  # another request of the project may use it by now
            lipe.delete_image(image)


def print_dry_run(found: DryRun) -> None:
    """Print the report: the estimate, then each setting as `--parameter` takes it."""
    if found.seconds is None:
        print(f"estimate  unknown: {found.reason}")
    else:
        print(f"estimate  about {found.seconds:g} s of work, by {found.based_on_jobs} of the project's finished jobs")
    if found.images:
        print(f"images    {found.images}")
    print(f"queue     {f'place {found.position}' if found.position is not None else 'over 200 jobs before it'}")
    for section, settings in found.resolved.items():
        if not isinstance(settings, dict):
            print(f"{section}={json.dumps(settings)}")
            continue
        if settings:
            print(f"{section}:")
        for name, value in settings.items():
            print(f"  {name}={value if isinstance(value, str) else json.dumps(value)}")
    print("Nothing was kept of this request.")
