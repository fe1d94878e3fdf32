"""Orphans: objects that no row references. A program that dies before it writes the row leaves one, and so does a
failed deletion.

The sweep keeps young objects and those of jobs that have not ended: their rows may not be committed yet. It keeps
objects that were stored while this database did not work (`known_periods`): it may have been restored since. It also
keeps keys that this service does not use, and objects of unknown projects: the database may be the wrong one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import known_periods
from ledger.database import UnitOfWork, now
from ledger.models import Artefact, Image, Job, Prior, Project, Upload
from ledger.states import TERMINAL
from ledger.storage import PROJECTS, Storage

SETTLED = timedelta(hours=1)
"""Longer than any request takes from storing an object to recording it."""
PAGE_SIZE = 1000

_OWNER = re.compile(rf"{PROJECTS}([^/]+)/(images|uploads|imports|jobs)/([^/]+)/")


@dataclass(frozen=True)
class Orphan:
    """An object without a row, and when it was stored. The sweep deletes it if it is from a known time."""

    key: str
    stored_at: datetime
    is_from_known_time: bool


@dataclass
class OrphanSweep:
    """Goes through the bucket again and again, a page at a time; `after` is the last key that was checked."""

    begin: UnitOfWork
    storage: Storage
    settled: timedelta = SETTLED
    limit: int = PAGE_SIZE
    after: str = ""

    def next_page(self) -> int:
        """Delete the orphans of the next page; return their number. After a StorageError the page is checked again."""
        page, orphans = self._read_page()
        deleted = [orphan.key for orphan in orphans if orphan.is_from_known_time]
        for key in deleted:
            self.storage.delete(key)
        self._advance(page)
        return len(deleted)

    def look(self) -> Iterator[Orphan]:
        """All orphans from here to the end of the bucket, without deleting any."""
        while True:
            page, orphans = self._read_page()
            yield from orphans
            self._advance(page)
            if not self.after:
                return

    def _read_page(self) -> tuple[list[tuple[str, datetime]], list[Orphan]]:
        page = self.storage.page(PROJECTS, self.after, self.limit)
        with self.begin() as session:
            periods = known_periods.listing(session)
            keys = _orphans(session, page, now(session) - self.settled)
        orphans = [
            Orphan(key, stored_at, known_periods.contain(periods, stored_at, self.settled))
            for key, stored_at in page
            if key in keys
        ]
        return page, orphans

    def _advance(self, page: list[tuple[str, datetime]]) -> None:
        self.after = page[-1][0] if len(page) == self.limit else ""


def _orphans(session: Session, page: list[tuple[str, datetime]], before: datetime) -> set[str]:
    """The keys of the page that were last changed before `before` and that no row references."""
    found = [(key, owner) for key, changed in page if changed < before and (owner := _OWNER.match(key))]
    projects = set(session.scalars(select(Project.id).where(Project.id.in_({owner[1] for _, owner in found}))))
    owners: dict[str, dict[str, str]] = {"images": {}, "uploads": {}, "imports": {}, "jobs": {}}
    for key, owner in found:
        if owner[1] in projects:
            owners[owner[2]][key] = owner[3]
    images = set(session.scalars(select(Image.key).where(Image.id.in_(owners["images"].values()))))
    uploads = set(session.scalars(select(Upload.id).where(Upload.id.in_(owners["uploads"].values()))))
    # The file of an import is needed until the prior is ready.
    priors = (Prior.id.in_(owners["imports"].values()), Prior.ready_at.is_(None))
    imports = set(session.scalars(select(Prior.id).where(*priors)))
    # The states are read first: a job that had ended by then had all of its artefacts.
    ids = set(owners["jobs"].values())
    unfinished = set(session.scalars(select(Job.id).where(Job.id.in_(ids), Job.state.not_in(TERMINAL))))
    artefacts = set(session.scalars(select(Artefact.key).where(Artefact.job_id.in_(ids))))
    return {
        *(key for key in owners["images"] if key not in images),
        *(key for key, upload_id in owners["uploads"].items() if upload_id not in uploads),
        *(key for key, prior_id in owners["imports"].items() if prior_id not in imports),
        *(key for key, job_id in owners["jobs"].items() if job_id not in unfinished and key not in artefacts),
    }
