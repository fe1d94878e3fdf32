"""Previews: images that a running attempt generates with what it has learned so far.

The newest preview is part of the job's progress, which only the attempt with the lease writes. Each report overwrites
the last one, so previews cannot fill a table. When the job succeeds all previews become artefacts. When the job ends or
returns to the queue, the preview leaves the progress: the objects of that attempt may be deleted.
"""

from collections.abc import Mapping
from typing import Any

from ledger.artefacts import NewArtefact

FIELD = "preview"


def to_progress(preview: NewArtefact) -> dict[str, Any]:
    """The preview as a field of a job's progress."""
    return {FIELD: preview.to_json()}


def from_progress(progress: Mapping[str, Any]) -> NewArtefact | None:
    """The preview in a job's progress, or None."""
    if FIELD not in progress:
        return None
    return NewArtefact.from_json(progress[FIELD])


def without_preview(progress: Mapping[str, Any]) -> dict[str, Any]:
    """The progress without its preview."""
    return {name: value for name, value in progress.items() if name != FIELD}
