"""`lipe usage`: the GPU seconds of each project by day and kind of job, as CSV."""

import csv
import sys
from datetime import date
from pathlib import Path

from cli.database_session import open_session
from ledger import usage


def run_usage(data: Path | None, since: date | None, until: date | None) -> None:
    """Print one line for each project, day (UTC) and kind of job, oldest first."""
    with open_session(data) as (session, _):
        rows = usage.report(session, since=since, until=until)
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(("day", "project_id", "project", "kind", "jobs", "gpu_seconds"))
    for row in rows:
        table.writerow((row.day, row.project_id, row.project, row.kind, row.attempts, f"{row.gpu_seconds:.3f}"))
