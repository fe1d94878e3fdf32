"""`lipe whoami`: the key that the commands use, its rights and project, and what is left of the quotas."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.service import ApiKey, Url, connect
from cli.settings_file import Data
from cli.whole_table import print_whole
from lipe_client import OwnKey, Quota


def whoami(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts.")] = False,
    url: Url = None,
    api_key: ApiKey = "",
    data: Data = None,
) -> None:
    """Show which key the commands use, what it may do, its project, and what is left of the project's quotas."""
    with connect(url, api_key, Console(stderr=True), data) as lipe:
        key, usage = lipe.key(), lipe.usage()
    if as_json:
        print(json.dumps({"key": key.model_dump(mode="json"), "usage": usage.model_dump(mode="json")}, indent=2))
        return
    print(describe(key))
    print(f"jobs: {usage.queued_jobs} queued, {usage.running_jobs} of at most {usage.max_running_jobs} running")
    table = Table("quota", "left", "of", "whole again in")
    for quota in usage.quotas:
        table.add_row(*map(Text, _row(quota)))
    print_whole(table)


def describe(key: OwnKey) -> str:
    """The key in one line."""
    until = f"until {key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at else "without an expiry"
    may = " and ".join(key.scopes)
    return f"key {key.id} ({key.name}): {may} in the project {key.project.name}, {until}"


def _row(quota: Quota) -> tuple[str, str, str, str]:
    reset = "" if quota.reset_seconds is None else f"{quota.reset_seconds / 3600:.1f} hours"
    return quota.name, f"{quota.remaining:,}", f"{quota.quota:,}", reset
