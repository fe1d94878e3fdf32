"""The result of an attempt at a job."""

from dataclasses import dataclass, field
from typing import Any

from ledger.artefacts import NewArtefact
from ledger.partial_results import PartialResults


@dataclass(frozen=True)
class File:
    """A file that an attempt made. `ledger.artefacts` describes the fields."""

    role: str
    name: str
    content_type: str
    content: bytes
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobResult:
    """The result of an attempt: files that are not stored yet, and those that are.

    Only a prior has a `manifest`, and only an edit has `partial`, its results by their numbers.
    """

    files: list[File]
    resolved: dict[str, Any]
    manifest: dict[str, Any] | None = None
    stored: list[NewArtefact] = field(default_factory=list)
    partial: PartialResults | None = None
