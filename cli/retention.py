"""`lipe retention`: show what the retention of the settings would erase now. It erases nothing."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from cli.server_errors import server_errors
from cli.settings_file import find_settings
from ledger import retention
from ledger.database import make_engine, unit_of_work
from ledger.settings import Settings


def run_retention(data: Path | None, *, as_json: bool) -> None:
    """Print the settings and the resources that the dispatcher will erase."""
    with server_errors():
        settings = find_settings(data)
        engine = make_engine(settings.database_url, pool_size=1)
        try:
            with unit_of_work(engine)() as session:
                old = retention.list_old(session, settings, limit=None)
        finally:
            engine.dispose()
    if as_json:
        print(json.dumps([asdict(one) | {"since": one.since.isoformat()} for one in old], indent=2))
        return
    for one in old:
        print(f"{one.kind}  {one.id}  project {one.project_id}  since {one.since:%Y-%m-%d %H:%M} UTC")
    counts = Counter(one.kind for one in old)
    for kind, name, days in _kept(settings):
        kept = f"kept for {days:g} days, {counts[kind]} to erase" if days else "kept for ever"
        print(f"{name}: {kept}")


def _kept(settings: Settings) -> list[tuple[retention.Kind, str, float]]:
    return [
        ("edit", "edits with their results (LIPE_RETENTION_EDIT_DAYS)", settings.retention_edit_days),
        ("prior", "priors that failed (LIPE_RETENTION_FAILED_PRIOR_DAYS)", settings.retention_failed_prior_days),
        ("image", "images that nothing uses (LIPE_RETENTION_IMAGE_DAYS)", settings.retention_image_days),
        ("study", "studies that are closed (LIPE_RETENTION_STUDY_DAYS)", settings.retention_study_days),
    ]
