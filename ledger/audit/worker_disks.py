"""Invariant 8 on the workers' disks: no training's checkpoint remains after its job has ended or was erased."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.audit.violation import MOMENT, Bounds, Violation
from ledger.database import now
from ledger.models import Erasure, Job
from ledger.states import TERMINAL, State

CHECKPOINTS = "checkpoints"
"""The folder in a worker's data folder. The name of each file begins with the id of its job and a dot."""


def violations(session: Session, bounds: Bounds, data_folders: Iterable[Path]) -> Iterator[Violation]:
    """Checkpoints whose job has been over for longer than the patience. Raises OSError if a folder is unreadable."""
    latest = now(session) - bounds.patience
    for folder in data_folders:
        checkpoints = folder / CHECKPOINTS
        for file in sorted(checkpoints.iterdir()) if checkpoints.exists() else ():
            since = _over_since(session, file)
            if since is not None and since < latest:
                yield Violation(8, f"file {file}", f"is a checkpoint of a job that is over since {since:{MOMENT}}")


def _over_since(session: Session, file: Path) -> datetime | None:
    """When the job of the file ended or was erased, or the file of an unknown job was written; None: it runs."""
    job_id = file.name.partition(".")[0]
    job = session.execute(select(Job.state, Job.finished_at).where(Job.id == job_id)).first()
    if job is not None:
        return job.finished_at if State(job.state) in TERMINAL else None
    erased = session.scalars(select(Erasure.created_at).where(Erasure.erased.contains([job_id]))).first()
    return erased or datetime.fromtimestamp(file.stat().st_mtime, UTC)
