"""Invariant 11: no person is used without consent: it was given, and its end has had its consequences."""

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.audit.violation import MOMENT, Bounds, Violation
from ledger.consent_ends import SETTLE_SECONDS
from ledger.consents import has_ended
from ledger.database import now
from ledger.models import Consent, Job, Subject
from ledger.states import TERMINAL


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """People without a receipt, jobs after the end of a consent, and ends without consequences."""
    people = select(Subject).where(Subject.category == "person")
    for subject in session.scalars(people):
        if not subject.consents and not subject.not_a_person:
            yield Violation(11, f"subject {subject.id}", "is a person, and has no receipt of consent")
    late = now(session) - bounds.patience
    used = (Job.state.not_in(TERMINAL), Job.cancel_requested_at.is_(None), Job.created_at < late)
    for job in session.scalars(select(Job).where(*used, has_ended(Job.subject_id))):
        yield Violation(11, f"job {job.id}", f"is {job.state}, although the consent of its subject has ended")
    for consent in session.scalars(select(Consent).where(Consent.ended_at.is_(None), Consent.until < late)):
        yield Violation(11, f"consent {consent.id}", f"ended at {consent.until:{MOMENT}}, and no dispatcher ends it")
    unsettled = (Consent.settled_at.is_(None), Consent.ended_at < late)
    for consent in session.scalars(select(Consent).where(*unsettled)):
        assert consent.ended_at is not None  # noqa: S101 - the query's condition
        if (now(session) - consent.ended_at).total_seconds() > 2 * SETTLE_SECONDS + bounds.patience.total_seconds():
            yield Violation(
                11, f"consent {consent.id}", "ended long ago, and its jobs or its erasure have not been dealt with"
            )
