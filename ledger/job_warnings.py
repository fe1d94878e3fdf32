"""Warnings of a job: nothing failed, but its result will probably be poor. docs/warnings.md explains each code.

A worker adds a warning as soon as it knows it, with an event, so that a user can cancel the job before it has cost
much. The API adds one to a new job. A job has each code at most once: its later attempts find the same again.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from sqlalchemy.orm import Session

from ledger import leases
from ledger.models import Event, Job

WarningCode = Literal[
    "unlike_the_base_model",
    "subject_not_found",
    "mask_covers_nearly_all",
    "nothing_changed",
    "caption_doubtful",
    "other_people",
]
OF_REQUESTS: frozenset[WarningCode] = frozenset({"other_people"})
"""The codes that the API finds in a request. A worker does not find them again."""
EVENT = "warning"
"""An event of this type, such as `prior.warning`, has the new warnings in its `data`."""


@dataclass(frozen=True)
class JobWarning:
    """One warning: a code for programs, and a message for people that says what to do."""

    code: WarningCode
    message: str


def add(session: Session, job: Job, found: Sequence[JobWarning]) -> None:
    """Add the warnings whose code is new to the job, with one event. The caller has locked the job's row."""
    known = {warning["code"] for warning in job.warnings}
    new = [asdict(warning) for warning in found if warning.code not in known]
    if not new:
        return
    job.warnings = [*job.warnings, *new]
    job.sequence = leases.next_number(session, job)
    session.add(
        Event(
            project_id=job.project_id,
            job_id=job.id,
            sequence=job.sequence,
            type=f"{job.kind}.{EVENT}",
            data={"job_id": job.id, "attempt": job.attempt, "warnings": new},
            terminal=False,
        )
    )
    session.flush()  # a renewal in the same transaction continues the sequence by a statement of its own


def carry_over(session: Session, former: Job, job: Job) -> None:
    """Give the retry of a job the warnings of its request. The caller has locked the retry's row, or just made it."""
    found = {warning["code"]: warning["message"] for warning in former.warnings}
    add(session, job, [JobWarning(code, found[code]) for code in OF_REQUESTS if code in found])
