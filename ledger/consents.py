"""Consent of people who are subjects: a receipt of what was agreed, its end, and what follows from the end.

A receipt ends when it is revoked or when its time has passed. From that transaction on, new jobs of the subject are
refused and its jobs are asked to stop. `consent_ends` does the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session, aliased

from ledger import decisions, transitions
from ledger.database import now
from ledger.decisions import NewDecision, Outcome
from ledger.models import Consent, Edit, Job, Subject, new_id
from ledger.states import TERMINAL, State

EndReason = Literal["revoked", "expired"]
ENDED = "consent_ended"
BATCH = 100


class AlreadyGiven(Exception):
    """The subject has a receipt that has not ended."""


@dataclass(frozen=True)
class Receipt:
    """The consent of one person. `until` is None if the consent holds until it is revoked."""

    person: str
    purpose: str
    evidence: str | None = None
    until: datetime | None = None


def give(session: Session, subject: Subject, receipt: Receipt, actor: str) -> Consent:
    """Record a receipt; `actor` is that of `NewDecision`. The caller has locked the subject. Raises AlreadyGiven."""
    if any(consent.ended_at is None for consent in subject.consents):
        raise AlreadyGiven
    moment = now(session)
    for consent in subject.consents:  # their erasure, if it has not happened, would erase what is permitted again
        consent.settled_at = consent.settled_at or moment
    given = Consent(
        id=new_id("con"),
        project_id=subject.project_id,
        subject_id=subject.id,
        person=receipt.person,
        purpose=receipt.purpose,
        evidence=receipt.evidence,
        until=receipt.until,
    )
    subject.consents.append(given)
    session.flush()
    _log(session, given, "given", actor)
    return given


def revoke(session: Session, project_id: str, subject_id: str, actor: str) -> Consent | None:
    """End the subject's consent and stop its jobs. None: it has none that holds."""
    stop_jobs(session, subject_id)
    live = (Consent.project_id == project_id, Consent.subject_id == subject_id, Consent.ended_at.is_(None))
    consent = session.scalars(select(Consent).where(*live).with_for_update()).first()
    if consent is not None:
        _end(session, consent, "revoked", actor)
    return consent


def expire(session: Session, limit: int = BATCH) -> Sequence[Consent]:
    """End the consents whose time has passed. Returns them."""
    over = (Consent.ended_at.is_(None), Consent.until <= func.clock_timestamp())
    query = select(Consent).where(*over).order_by(Consent.until).limit(limit).with_for_update(skip_locked=True)
    consents = session.scalars(query).all()
    for consent in consents:
        _end(session, consent, "expired", "dispatcher")
    return consents


def has_ended(subject_id: ColumnElement[str] | Any) -> ColumnElement[bool]:
    """SQL: whether the subject had consent and has none that holds. A subject that is not a person has none at all."""
    given, live = aliased(Consent), aliased(Consent)
    holds = (live.ended_at.is_(None), or_(live.until.is_(None), live.until > func.clock_timestamp()))
    of_subject = select(given.id).where(given.subject_id == subject_id).exists()
    return of_subject & ~select(live.id).where(live.subject_id == subject_id, *holds).exists()


def ended(session: Session, subject_ids: Sequence[str | None]) -> bool:
    """Whether the consent of one of the subjects has ended."""
    query = select(Subject.id).where(Subject.id.in_([one for one in subject_ids if one]), has_ended(Subject.id))
    return session.scalars(query.limit(1)).first() is not None


def stop_jobs(session: Session, subject_id: str) -> int:
    """Cancel the subject's jobs, and edits that mix in one of its priors; those that run stop at their next step."""
    mixing = select(Edit.id).where(Edit.mix_subject_id == subject_id)
    mine = (or_(Job.subject_id == subject_id, Job.edit_id.in_(mixing)), Job.state.not_in(TERMINAL))
    query = select(Job).where(*mine, Job.cancel_requested_at.is_(None)).order_by(Job.id).with_for_update(of=Job)
    jobs = session.scalars(query).all()
    for job in jobs:
        job.cancel_requested_at = now(session)
        job.error_code, job.error_detail = ENDED, "the consent of the person shown has ended"
        if job.status is State.QUEUED:
            transitions.end(session, job, State.CANCELED)
    return len(jobs)


def state_not_a_person(session: Session, subject: Subject, actor: str) -> None:
    """Log the statement that the subject is no person."""
    decision = NewDecision("consent", "given", actor, [subject.id], reason="not_a_person")
    decisions.record(session, subject.project_id, decision)


def _end(session: Session, consent: Consent, reason: EndReason, actor: str) -> None:
    consent.ended_at, consent.end_reason = now(session), reason
    session.flush()
    _log(session, consent, reason, actor)


def _log(session: Session, consent: Consent, outcome: Outcome, actor: str) -> None:
    decisions.record(
        session, consent.project_id, NewDecision("consent", outcome, actor, [consent.subject_id, consent.id])
    )
