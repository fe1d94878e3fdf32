"""`lipe audit`: are the service's nine promises kept in what it has stored? Reads, and changes nothing."""

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

from ledger.audit import INVARIANTS
from ledger.audit import audit as run
from ledger.audit.violation import Violation
from ledger.database import UNAVAILABLE, make_engine, unit_of_work
from ledger.settings import Settings
from ledger.storage import Storage, StorageError

HOLDS, VIOLATED, UNANSWERED = 0, 1, 2


def audit(patience: float, *, as_json: bool) -> int:
    """Print what is violated; the exit status. `patience`: how many seconds late something may be."""
    try:
        found = _audited(Settings(), timedelta(seconds=patience))
    except ValidationError as error:
        return _unanswered(f"wrong or missing settings: {'; '.join(map(_setting, error.errors()))}")
    except ProgrammingError as error:
        return _unanswered(f"the database lacks this version's tables: run `lipe migrate` ({error.orig})")
    except UNAVAILABLE as error:
        return _unanswered(f"the database does not answer: {error}")
    except StorageError as error:
        return _unanswered(f"the storage does not answer: {error}")
    if as_json:
        print(json.dumps({"violations": [asdict(violation) for violation in found]}, indent=2))
    else:
        _show(found)
    return VIOLATED if found else HOLDS


def _audited(settings: Settings, patience: timedelta) -> list[Violation]:
    engine = make_engine(settings.database_url, pool_size=1)
    try:
        lifetime = timedelta(hours=settings.idempotency_hours)
        begin, running = unit_of_work(engine), settings.max_running_jobs
        return run(begin, Storage(settings), patience=patience, key_lifetime=lifetime, max_running=running)
    finally:
        engine.dispose()


def _show(found: list[Violation]) -> None:
    table = Table("", "invariant", "violations")
    for number, promise in INVARIANTS.items():
        count = sum(violation.invariant == number for violation in found)
        table.add_row(str(number), promise, Text(str(count), style="red") if count else Text("none", style="green"))
    console = Console()
    console.print(table)
    for violation in found:
        line = f"{violation.invariant}  {violation.thing} {violation.detail}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _setting(fault: Mapping[str, Any]) -> str:
    """Which variable it is, and what is wrong with it."""
    name = f"LIPE_{fault['loc'][0]}: ".upper() if fault["loc"] else ""
    return f"{name}{fault['msg']}"


def _unanswered(reason: str) -> int:
    Console(stderr=True).print(reason, style="red", markup=False, highlight=False, soft_wrap=True)
    return UNANSWERED
