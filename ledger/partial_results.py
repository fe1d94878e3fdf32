"""Partial results: the files that an unfinished edit has stored.

An attempt writes them to its job after each result. If it dies or is released, the next attempt generates only the
missing results. No route reads them. When the job succeeds they become artefacts; when it ends otherwise, they are
forgotten, and their objects are orphans.
"""

from dataclasses import dataclass
from typing import Any

from ledger.artefacts import NewArtefact
from ledger.models import Job


@dataclass(frozen=True)
class PartialResults:
    """The settings with which the results were made, and the files of each result that is stored, by its number."""

    resolved: dict[str, Any]
    files: dict[int, list[NewArtefact]]

    def not_in(self, other: "PartialResults | None") -> dict[int, list[NewArtefact]]:
        """The files of each result that the other has not, or has with other files."""
        known = other.files if other is not None else {}
        return {number: made for number, made in self.files.items() if known.get(number) != made}


def write(job: Job, partial: PartialResults) -> None:
    """Record the results in the job."""
    files = {str(number): [file.to_json() for file in made] for number, made in partial.files.items()}
    job.partial = {"resolved": partial.resolved, "files": files}


def read(job: Job) -> PartialResults | None:
    """The results that earlier attempts at the job stored, or None."""
    if not job.partial:
        return None
    files = {int(number): list(map(NewArtefact.from_json, made)) for number, made in job.partial["files"].items()}
    return PartialResults(job.partial["resolved"], files)


def keys(job: Job) -> set[str]:
    """The keys of the stored objects."""
    partial = read(job)
    return {file.stored.key for made in partial.files.values() for file in made} if partial else set()
