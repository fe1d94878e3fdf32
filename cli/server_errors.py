"""The errors of the commands that use the servers directly: each is one line in place of a traceback.

The servers belong to a `lipe up` of this machine or are the operator's own. A command cannot always know which, so the
advice covers both.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from psycopg.errors import InsufficientPrivilege, UndefinedColumn, UndefinedTable
from pydantic import ValidationError
from rich.console import Console
from sqlalchemy.exc import ProgrammingError

from ledger.database import UNAVAILABLE

UNAVAILABLE_STATUS = 2
SETTINGS_ADVICE = (
    "for a running `lipe up`, run `. data/settings.sh`, the file in its data folder, in this shell; "
    "for servers of your own, set them as .env.example shows"
)


@contextmanager
def server_errors() -> Iterator[None]:
    """Print an error of settings, database or storage in the block, and exit with status 2."""
    from ledger.roles import InvalidRole
    from ledger.storage import StorageError  # late: it imports boto3, for which `lipe --help` need not wait

    try:
        yield
        return
    except ValidationError as error:
        reason = f"wrong or missing settings: {'; '.join(map(describe_setting, error.errors()))}: {SETTINGS_ADVICE}"
    except InvalidRole as error:
        reason = str(error)
    except ProgrammingError as error:
        reason = _refusal(error.orig)
    except UNAVAILABLE as error:
        advice = _advice("postgres", "start the database or correct LIPE_DATABASE_URL")
        reason = f"the database does not answer: {advice} ({_one_line(getattr(error, 'orig', None) or error)})"
    except StorageError as error:
        advice = _advice("s3", "start the storage or correct the LIPE_S3_... settings")
        reason = f"the storage does not answer: {advice} ({_one_line(error)})"
    Console(stderr=True).print(reason, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(UNAVAILABLE_STATUS)


def _refusal(error: BaseException | None) -> str:
    """The reason of a statement that the database refused, which is usually one of another version's tables."""
    if isinstance(error, UndefinedTable | UndefinedColumn):
        cause = "the database lacks this version's tables"
        advice = "stop `lipe up` and start it again, which adds them; for a database of your own, run `lipe migrate`"
    elif isinstance(error, InsufficientPrivilege) and "role" in str(error):
        cause = "the database refuses to create the programs' users"
        advice = "give the user of LIPE_DATABASE_URL the right CREATEROLE"
    else:
        cause = "the database refuses a statement"
        advice = "give the user of LIPE_DATABASE_URL the right to read and change all tables of LIPE"
    return f"{cause}: {advice} ({_one_line(error)})"


def _advice(program: str, own: str) -> str:
    return f"start `lipe up`, or read `lipe logs {program}` if it runs; for servers of your own, {own}"


def _one_line(error: BaseException | None) -> str:
    return " ".join(str(error).split())


def describe_setting(error: Mapping[str, Any]) -> str:
    """The name of a setting's environment variable, and its error unless it is missing."""
    if not error["loc"]:
        return str(error["msg"])
    name = f"LIPE_{error['loc'][0]}".upper()
    return name if error["type"] == "missing" else f"{name}: {error['msg']}"
