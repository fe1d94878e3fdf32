"""`lipe snapshots`: the snapshots of a prior, and the choice of the one that edits use."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.service import ApiKey, Url, connect
from cli.settings_file import Data
from cli.whole_table import print_whole
from lipe_client import Prior, Snapshot


def snapshots(
    prior: Annotated[str, typer.Argument(help="The prior's id, as `lipe train` prints it.")],
    choose: Annotated[int | None, typer.Option(help="Let edits use the snapshot of this step from now on.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line, for scripts.")] = False,
    url: Url = None,
    api_key: ApiKey = "",
    data: Data = None,
) -> None:
    """List the snapshots of a prior with their scores, and choose the one that edits use."""
    console = Console(stderr=True)
    with connect(url, api_key, console, data) as lipe:
        found = lipe.prior(prior) if choose is None else lipe.choose_snapshot(prior, choose)
    if as_json:
        for snapshot in found.snapshots:
            print(snapshot.model_dump_json(exclude={"preview"}))
    elif found.snapshots:
        print_whole(_table(found))
    else:
        reason = "it has one adapter and no snapshots" if found.ready_at else "its training has not succeeded"
        console.print(f"there is nothing to choose from: {reason}", highlight=False)


def _table(prior: Prior) -> Table:
    table = Table("step", "identity", "flexibility", "", box=None, pad_edge=False)
    for snapshot in prior.snapshots:
        flexibility = "" if snapshot.flexibility is None else f"{snapshot.flexibility:.3f}"
        table.add_row(str(snapshot.step), f"{snapshot.identity:.3f}", flexibility, _marks(snapshot))
    return table


def _marks(snapshot: Snapshot) -> str:
    marks = {"chosen": snapshot.is_chosen, "recommended": snapshot.is_recommended}
    return ", ".join(mark for mark, is_set in marks.items() if is_set)
