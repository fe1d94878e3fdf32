"""`lipe audit`: check the service's invariants in database and object storage. It only reads."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import ProgrammingError

from ledger.audit import INVARIANTS, audit
from ledger.audit.violation import Violation
from ledger.database import UNAVAILABLE, make_engine, unit_of_work
from ledger.settings import Settings
from ledger.storage import Storage, StorageError

NO_VIOLATION, VIOLATION, UNAVAILABLE_STATUS = 0, 1, 2


def run_audit(patience: float, *, as_json: bool) -> int:
    """Print the violations and return the exit status. `patience`: the accepted lateness of an action, in seconds."""
    try:
        violations = _find_violations(Settings(), timedelta(seconds=patience))
    except ValidationError as error:
        return _print_error(f"wrong or missing settings: {'; '.join(map(_describe_setting, error.errors()))}")
    except ProgrammingError as error:
        return _print_error(f"the database lacks this version's tables: run `lipe migrate` ({error.orig})")
    except UNAVAILABLE as error:
        return _print_error(f"the database does not answer: {error}")
    except StorageError as error:
        return _print_error(f"the storage does not answer: {error}")
    if as_json:
        print(json.dumps({"violations": [asdict(violation) for violation in violations]}, indent=2))
    else:
        _print_table(violations)
    return VIOLATION if violations else NO_VIOLATION


def _find_violations(settings: Settings, patience: timedelta) -> list[Violation]:
    engine = make_engine(settings.database_url, pool_size=1)
    try:
        lifetime = timedelta(hours=settings.idempotency_hours)
        begin, running = unit_of_work(engine), settings.max_running_jobs
        return audit(begin, Storage(settings), patience=patience, key_lifetime=lifetime, max_running=running)
    finally:
        engine.dispose()


def _print_table(violations: list[Violation]) -> None:
    table = Table("", "invariant", "violations")
    for number, invariant in INVARIANTS.items():
        count = sum(violation.invariant == number for violation in violations)
        table.add_row(str(number), invariant, Text(str(count), style="red") if count else Text("none", style="green"))
    console = Console()
    console.print(table)
    for violation in violations:
        line = f"{violation.invariant}  {violation.thing} {violation.detail}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _describe_setting(error: Mapping[str, Any]) -> str:
    """The name of a setting's environment variable and its error."""
    name = f"LIPE_{error['loc'][0]}: ".upper() if error["loc"] else ""
    return f"{name}{error['msg']}"


def _print_error(reason: str) -> int:
    Console(stderr=True).print(reason, style="red", markup=False, highlight=False, soft_wrap=True)
    return UNAVAILABLE_STATUS
