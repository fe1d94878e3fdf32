"""The result of an attempt at a job."""

from collections.abc import Callable
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

    Only a prior has a `manifest`, and only an edit has `partial`, its results by their numbers. `later` gives the
    result in place of this one after work that needs no GPU, and raises what the attempt's work raises.
    """

    files: list[File]
    resolved: dict[str, Any]
    manifest: dict[str, Any] | None = None
    stored: list[NewArtefact] = field(default_factory=list)
    partial: PartialResults | None = None
    later: "Callable[[], JobResult] | None" = None

    def whole(self) -> "JobResult":
        """The result after all work."""
        return self.later() if self.later is not None else self
