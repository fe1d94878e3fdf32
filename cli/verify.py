"""`lipe verify`: what an image file says of itself, and whether the service made it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.service import ApiKey, Url, connect
from cli.settings_file import Data
from lipe_client import Verification

BROKEN = 1
CONTROLS = dict.fromkeys([*range(32), *range(127, 160)])
"""Characters that a hostile file could use to control a terminal."""
MEANINGS = {
    "absent": "no Content Credentials in the file, which proves nothing",
    "valid": "valid Content Credentials by a trusted signer",
    "untrusted": "Content Credentials with a correct signature, by an unknown signer: anyone may have written them",
    "broken": "the file or its Content Credentials were changed after the signature",
}


def verify(
    file: Annotated[Path, typer.Argument(help="The image file.", exists=True, dir_okay=False, readable=True)],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts.")] = False,
    url: Url = None,
    api_key: ApiKey = "",
    data: Data = None,
) -> None:
    """Check the Content Credentials of an image, and whether this service made it. The file is not stored.

    Exit status: 0 checked, 1 the credentials are broken, or the service did not answer.
    """
    with connect(url, api_key, Console(stderr=True), data) as lipe:
        found = lipe.verify(file)
    print(found.model_dump_json(indent=2) if as_json else "\n".join(_lines(found)))
    if found.credentials == "broken":
        raise typer.Exit(BROKEN)


def _lines(found: Verification) -> list[str]:
    lines = [f"{found.credentials}: {MEANINGS[found.credentials]}"]
    if found.credentials != "absent":
        lines.append(f"made here: {'yes' if found.made_here else 'no'}")
    if found.edit_id:
        lines.append(f"edit: {found.edit_id}")
    if found.signer:
        lines.append(f"signer: {found.signer.organization or '?'}, {found.signer.common_name or '?'}")
    for action in found.actions:
        source = (action.digital_source_type or "").rpartition("/")[2]
        places = [f"{box.width} x {box.height} at {box.left}, {box.top}" for box in action.regions]
        lines.append(f"action: {' '.join(filter(None, (action.action, source, action.software, *places)))}")
    lines += [f"failed: {failure}" for failure in found.failures]
    if found.watermark is not None:
        lines.append(f"watermark: {'found' if found.watermark else 'not found'}")
    if found.watermark_edit_id:
        lines.append(f"edit by the watermark: {found.watermark_edit_id}")
    return [line.translate(CONTROLS) for line in lines]
