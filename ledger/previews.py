"""Previews: pictures of what a running attempt has learnt so far.

The newest is in the job's progress, which only the attempt that holds the lease writes, and which is overwritten, so
their number fills no table. When the job succeeds all of them become its artefacts. Any end, and a return to the
queue, takes the picture out of the progress: another attempt's objects may be gone.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ledger.artefacts import NewArtefact
from ledger.storage import StoredObject

FIELD = "preview"


def noted(preview: NewArtefact) -> dict[str, Any]:
    """The preview as a job's progress keeps it."""
    return {FIELD: asdict(preview)}


def newest(progress: Mapping[str, Any]) -> NewArtefact | None:
    """The preview that is noted in a job's progress, if there is one."""
    if FIELD not in progress:
        return None
    return NewArtefact(**{**progress[FIELD], "stored": StoredObject(**progress[FIELD]["stored"])})


def without(progress: Mapping[str, Any]) -> dict[str, Any]:
    """The progress of an attempt that is over."""
    return {name: value for name, value in progress.items() if name != FIELD}
