"""Partial results: the files that an unfinished edit has stored, or checkpoint and snapshots of an unfinished training.

An attempt writes them to its job. If it dies or is released, the next attempt, on any machine, generates only the
missing results, or resumes the training. No route reads them. At success files and snapshots become artefacts; what is
left at the job's end is forgotten, and its objects are orphans.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from ledger.artefacts import NewArtefact
from ledger.models import Job
from ledger.storage import StoredObject

_NOTHING: Mapping[str, Any] = MappingProxyType({"resolved": {}, "files": {}})


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
    """Record the checkpoint in the job, whose snapshots stay."""
    job.partial = {**_NOTHING, **job.partial, "checkpoint": asdict(checkpoint)}


def read_checkpoint(job: Job) -> SavedCheckpoint | None:
    """The newest checkpoint that an attempt at the job stored, or None."""
    found = job.partial.get("checkpoint")
    return SavedCheckpoint(found["name"], StoredObject(**found["stored"]), found.get("step", 0)) if found else None


def add_snapshot(job: Job, training: str, snapshot: NewArtefact) -> None:
    """Record a snapshot in the job. It replaces the one of the same step, and all of another `training`.

    `training` is a hash of all that the training depends on: an attempt may have had other settings or captions.
    """
    kept = [one for one in read_snapshots(job, training) if one.details["step"] != snapshot.details["step"]]
    files = [one.to_json() for one in (*kept, snapshot)]
    job.partial = {**_NOTHING, **job.partial, "snapshots": {"training": training, "files": files}}


def read_snapshots(job: Job, training: str | None = None) -> list[NewArtefact]:
    """The snapshots that attempts at the job stored, first step first; with `training`, only those of that training."""
    found = job.partial.get("snapshots")
    if not found or training not in (None, found["training"]):
        return []
    return sorted(map(NewArtefact.from_json, found["files"]), key=lambda one: one.details["step"])


def keys(job: Job) -> set[str]:
    """The keys of the stored objects."""
    partial, checkpoint = read(job), read_checkpoint(job)
    snapshots = {snapshot.stored.key for snapshot in read_snapshots(job)}
    files = {file.stored.key for made in partial.files.values() for file in made} if partial else set()
    return files | snapshots | ({checkpoint.stored.key} if checkpoint else set())
