"""Partial results: the files that an unfinished edit has stored, or the checkpoint of an unfinished training.

An attempt writes them to its job. If it dies or is released, the next attempt, on any machine, generates only the
missing results, or resumes the training. No route reads them. When an edit succeeds its files become artefacts; what is
left at the job's end is forgotten, and its objects are orphans.
"""

from dataclasses import asdict, dataclass
from typing import Any

from ledger.artefacts import NewArtefact
from ledger.models import Job
from ledger.storage import StoredObject


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


@dataclass(frozen=True)
class SavedCheckpoint:
    """A training's checkpoint: its file name on a worker's disk, the object, and the number of steps done.

    The release before this one recorded no steps, which read as 0.
    """

    name: str
    stored: StoredObject
    step: int


def write_checkpoint(job: Job, checkpoint: SavedCheckpoint) -> None:
    """Record the checkpoint in the job."""
    job.partial = {"resolved": {}, "files": {}, "checkpoint": asdict(checkpoint)}


def read_checkpoint(job: Job) -> SavedCheckpoint | None:
    """The newest checkpoint that an attempt at the job stored, or None."""
    found = job.partial.get("checkpoint")
    return SavedCheckpoint(found["name"], StoredObject(**found["stored"]), found.get("step", 0)) if found else None


def keys(job: Job) -> set[str]:
    """The keys of the stored objects."""
    partial, checkpoint = read(job), read_checkpoint(job)
    files = {file.stored.key for made in partial.files.values() for file in made} if partial else set()
    return files | ({checkpoint.stored.key} if checkpoint else set())
