"""The errors of the commands that use the servers directly: each is one line in place of a traceback."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from pydantic import ValidationError
from rich.console import Console
from sqlalchemy.exc import ProgrammingError

from ledger.database import UNAVAILABLE

UNAVAILABLE_STATUS = 2
SETTINGS_ADVICE = (
    "give --data, the folder of a running `lipe up`, or run `. data/settings.sh` with it; .env.example has all settings"
)


@contextmanager
def server_errors() -> Iterator[None]:
    """Print an error of settings, database or storage in the block, and exit with status 2."""
    from ledger.storage import StorageError  # late: it imports boto3, for which `lipe --help` need not wait

    try:
        yield
        return
    except ValidationError as error:
        reason = f"wrong or missing settings: {'; '.join(map(describe_setting, error.errors()))}: {SETTINGS_ADVICE}"
    except ProgrammingError as error:
        reason = f"the database lacks this version's tables: run `lipe migrate` ({error.orig})"
    except UNAVAILABLE as error:
        reason = f"the database does not answer: {error}"
    except StorageError as error:
        reason = f"the storage does not answer: {error}"
    Console(stderr=True).print(reason, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(UNAVAILABLE_STATUS)


def describe_setting(error: Mapping[str, Any]) -> str:
    """The name of a setting's environment variable, and its error unless it is missing."""
    if not error["loc"]:
        return str(error["msg"])
    name = f"LIPE_{error['loc'][0]}".upper()
    return name if error["type"] == "missing" else f"{name}: {error['msg']}"
