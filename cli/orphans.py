"""`lipe orphans`: list the objects that no row references, and those that the dispatcher will delete."""

import json
from collections import Counter
from typing import Annotated

import typer

from cli.server_errors import server_errors
from cli.settings_file import Data, find_settings
from ledger import known_periods
from ledger.database import make_engine, unit_of_work
from ledger.orphans import OrphanSweep
from ledger.settings import Settings
from ledger.storage import Storage


def orphans(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list, for scripts.")] = False,
    forget_gaps: Annotated[
        bool,
        typer.Option(
            "--forget-gaps",
            help="Let the dispatcher also delete the orphans of the times in which the database did not work. After a "
            "restore these are objects that users stored since the backup.",
        ),
    ] = False,
    data: Data = None,
) -> None:
    """List the objects that no row references. Nothing is deleted: the dispatcher does that."""
    with server_errors():
        settings = find_settings(data)
        engine = make_engine(settings.database_url, pool_size=1)
        try:
            begin = unit_of_work(engine)
            if forget_gaps:
                with begin() as session:
                    print(f"forgot {known_periods.forget_gaps(session)} gaps")
                return
            found = list(OrphanSweep(begin, Storage(settings)).look())
        finally:
            engine.dispose()
    if as_json:
        listed = [
            {"key": one.key, "stored_at": one.stored_at.isoformat(), "is_kept": not one.is_from_known_time}
            for one in found
        ]
        print(json.dumps(listed, indent=2))
        return
    for one in found:
        fate = "to delete" if one.is_from_known_time else "kept     "
        print(f"{fate}  {one.stored_at:%Y-%m-%d %H:%M} UTC  {one.key}")
    counts = Counter(one.is_from_known_time for one in found)
    print(f"{counts[True]} to delete{_state(settings)}")
    print(f"{counts[False]} kept, as the database did not work when they were stored: see docs/backups.md")


def _state(settings: Settings) -> str:
    return "" if settings.delete_orphans else ", but LIPE_DELETE_ORPHANS is false"
