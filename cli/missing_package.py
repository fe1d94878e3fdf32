"""The error of a command where its packages are not installed: the image of the API lacks those of the workers."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def needs_packages(extras: str) -> Iterator[None]:
    """Run imports. A package that is not installed is printed in place of a traceback; exit status 1.

    `extras` are those of lipe-server that have the packages, such as "worker".
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "a package").partition(".")[0]
        text = f"{package} is not installed here: run this where the workers run, or install lipe-server[{extras}]"
        typer.echo(text, err=True)
        raise typer.Exit(1) from error
