"""`lipe audit`: check the service's invariants in database and object storage. It only reads."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.server_errors import server_errors
from cli.settings_file import find_settings
from ledger.audit import INVARIANTS, audit
from ledger.audit.violation import Violation
from ledger.database import make_engine, unit_of_work
from ledger.settings import Settings
from ledger.storage import Storage

NO_VIOLATION, VIOLATION = 0, 1


def run_audit(patience: float, data: Path | None, worker_data: Sequence[Path], *, as_json: bool) -> int:
    """Print the violations and return the exit status. `patience`: the accepted lateness of an action, in seconds.

    `worker_data` are data folders of workers, beside that of the settings.
    """
    with server_errors():
        settings = find_settings(data)
        folders = list(dict.fromkeys([settings.data_dir, *worker_data]))
        violations = _find_violations(settings, timedelta(seconds=patience), folders)
    if as_json:
        print(json.dumps({"violations": [asdict(violation) for violation in violations]}, indent=2))
    else:
        _print_table(violations)
    return VIOLATION if violations else NO_VIOLATION


def _find_violations(settings: Settings, patience: timedelta, worker_data: Sequence[Path]) -> list[Violation]:
    engine = make_engine(settings.database_url, pool_size=1)
    try:
        lifetime = timedelta(hours=settings.idempotency_hours)
        return audit(
            unit_of_work(engine),
            Storage(settings),
            patience=patience,
            key_lifetime=lifetime,
            lease=timedelta(seconds=settings.lease_seconds),
            worker_data=worker_data,
        )
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
