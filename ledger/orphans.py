"""Orphans: objects that no row knows. A death between an object and its row leaves one, and so does a failed deletion.

What is stored before its row is committed is young, or of a job that is not over: both are left alone. So is what lies
where nothing of ours does, or belongs to a project that is not there: the database may be the wrong one.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.artefacts import Artefact
from ledger.database import UnitOfWork, now
from ledger.images import Image
from ledger.jobs import Job
from ledger.projects import Project
from ledger.states import TERMINAL
from ledger.storage import PROJECTS, Storage
from ledger.uploads import Upload

SETTLED = timedelta(hours=1)
"""No request takes so long from storing an object to recording it."""
SWEPT_AT_ONCE = 1000

_OWNER = re.compile(rf"{PROJECTS}([^/]+)/(images|uploads|jobs)/([^/]+)/")


@dataclass
class OrphanSweep:
    """One walk after another through the bucket, a page at a time; `after` is the last key that was looked at."""

    begin: UnitOfWork
    storage: Storage
    settled: timedelta = SETTLED
    limit: int = SWEPT_AT_ONCE
    after: str = ""

    def next_page(self) -> int:
        """Delete the page's orphans; how many. Raises StorageError, and the page is looked at again."""
        page = self.storage.page(PROJECTS, self.after, self.limit)
        with self.begin() as session:
            doomed = _orphans(session, page, now(session) - self.settled)
        for key in doomed:
            self.storage.delete(key)
        self.after = page[-1][0] if len(page) == self.limit else ""
        return len(doomed)


def _orphans(session: Session, page: list[tuple[str, datetime]], before: datetime) -> list[str]:
    found = [(key, owner) for key, changed in page if changed < before and (owner := _OWNER.match(key))]
    projects = set(session.scalars(select(Project.id).where(Project.id.in_({owner[1] for _, owner in found}))))
    owners: dict[str, dict[str, str]] = {"images": {}, "uploads": {}, "jobs": {}}
    for key, owner in found:
        if owner[1] in projects:
            owners[owner[2]][key] = owner[3]
    images = set(session.scalars(select(Image.key).where(Image.id.in_(owners["images"].values()))))
    uploads = set(session.scalars(select(Upload.id).where(Upload.id.in_(owners["uploads"].values()))))
    # The states come first: a job that was over then had all of its artefacts.
    ids = set(owners["jobs"].values())
    unfinished = set(session.scalars(select(Job.id).where(Job.id.in_(ids), Job.state.not_in(TERMINAL))))
    artefacts = set(session.scalars(select(Artefact.key).where(Artefact.job_id.in_(ids))))
    return (
        [key for key in owners["images"] if key not in images]
        + [key for key, upload_id in owners["uploads"].items() if upload_id not in uploads]
        + [key for key, job_id in owners["jobs"].items() if job_id not in unfinished and key not in artefacts]
    )
