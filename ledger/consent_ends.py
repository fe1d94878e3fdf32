"""What follows from the end of a consent: the subject's jobs stop, and what the operator wants erased is erased.

The dispatcher repeats rounds of `Settling` until it is done. The subject cannot be used meanwhile.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from ledger import consents, erasures
from ledger.database import UnitOfWork, now, repeat_conflicts
from ledger.models import Consent, Edit, Erasure, Job, Prior
from ledger.settings import Erases
from ledger.states import TERMINAL
from ledger.storage import Storage

SETTLE_SECONDS = 60.0
"""A request that read the consent before its end has written its job after this time."""


def expire(begin: UnitOfWork) -> int:
    """End the consents whose time has passed. Returns the number."""
    with begin() as session:
        return len(consents.expire(session))


@dataclass
class Settling:
    """Settles the ended consents again and again, `limit` a round, so that none delays the others for longer.

    `after` is the end and the id of the last consent that was tried.
    """

    begin: UnitOfWork
    storage: Storage
    erases: Erases
    lease_seconds: float
    limit: int = consents.BATCH
    after: tuple[datetime, str] | None = None

    def next_round(self) -> None:
        """Stop the jobs of subjects whose consent has ended, and erase what `erases` says. Raises StorageError.

        An erasure begins when the last of the jobs has stopped, so that the webhooks of their ends are sent. A prior
        that a job submitted at the same moment uses is left for the next round, which stops that job.
        """
        begun: list[str] = []
        for ended_at, consent_id in self._next_page():
            self.after = (ended_at, consent_id)
            with suppress(erasures.InUse):
                begun += repeat_conflicts(partial(_settle, self.begin, self.erases, consent_id))
        for erasure_id in begun:
            erasures.sweep(self.begin, self.storage, erasure_id, settle_seconds=self.lease_seconds)

    def _next_page(self) -> list[tuple[datetime, str]]:
        """The consents that follow `after`, and after the last of them those from the first on."""
        place = (Consent.ended_at, Consent.id)
        query = select(*place).where(Consent.ended_at.is_not(None), Consent.settled_at.is_(None)).order_by(*place)
        with self.begin() as session:
            rest = query.where(tuple_(*place) > tuple_(*self.after)) if self.after else query
            page = session.execute(rest.limit(self.limit)).all()
            if len(page) < self.limit and self.after:
                first = query.where(tuple_(*place) <= tuple_(*self.after)).limit(self.limit - len(page))
                page = [*page, *session.execute(first).all()]
        return [(ended_at, consent_id) for ended_at, consent_id in page if ended_at is not None]


def _settle(begin: UnitOfWork, erases: Erases, consent_id: str) -> list[str]:
    """The ids of the erasures that began."""
    with begin() as session:
        consent = session.get(Consent, consent_id)
        if consent is None or consent.settled_at is not None or consent.ended_at is None:
            return []
        consents.stop_jobs(session, consent.subject_id)
        if _has_jobs(session, consent.subject_id):
            return []
        found = _erase(session, consent, erases)
        if consent.ended_at <= now(session) - timedelta(seconds=SETTLE_SECONDS):
            done = update(Consent).where(Consent.id == consent_id, Consent.settled_at.is_(None))
            session.execute(done.values(settled_at=func.clock_timestamp()))
        return [erasure.id for erasure in found]


def _has_jobs(session: Session, subject_id: str) -> bool:
    mixing = select(Edit.id).where(Edit.mix_subject_id == subject_id)
    mine = (or_(Job.subject_id == subject_id, Job.edit_id.in_(mixing)), Job.state.not_in(TERMINAL))
    return session.scalars(select(Job.id).where(*mine).limit(1)).first() is not None


def _erase(session: Session, consent: Consent, erases: Erases) -> list[Erasure]:
    if erases == "subject":
        erasure = erasures.erase_subject(session, consent.project_id, consent.subject_id)
        return [erasure] if erasure else []
    if erases == "nothing":
        return []
    mine = (Prior.project_id == consent.project_id, Prior.subject_id == consent.subject_id)
    priors = session.scalars(select(Prior.id).where(*mine).order_by(Prior.id)).all()
    erased = [erasures.erase_prior(session, consent.project_id, prior_id) for prior_id in priors]
    return [erasure for erasure in erased if erasure]
