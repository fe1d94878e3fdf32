"""A consent is given, ends, and its end stops and erases what it must."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from ledger import attempts, consent_ends, consents, decisions, edits, jobs, priors, retries, subjects
from ledger.attempts import Claim, Control, Progress
from ledger.consent_ends import Settling
from ledger.consents import Receipt
from ledger.database import UnitOfWork
from ledger.models import Consent, Decision, Job, Prior, Project, Subject
from ledger.retries import NotRetryable
from ledger.settings import Erases
from ledger.storage import Storage
from tests.support.races import answer_after
from tests.support.rows import make_image, make_job, make_subject

ADA = Receipt("Ada", "images for her book", "folder 7")


@pytest.fixture
def person(begin: UnitOfWork, subject: Subject) -> Subject:
    """The subject, whose consent is given."""
    with begin() as session:
        consents.give(session, session.get_one(Subject, subject.id), ADA, "operator")
    return subject


Settle = Callable[[Erases], None]


@pytest.fixture
def settle(dispatcher_begin: UnitOfWork, storage: Storage) -> Settle:
    """`settle("priors")` ends and settles as the dispatcher does."""

    def end(erases: Erases) -> None:
        consent_ends.expire(dispatcher_begin)
        Settling(dispatcher_begin, storage, erases, lease_seconds=0).next_round()

    return end


def test_a_revocation_stops_the_jobs_at_once(
    begin: UnitOfWork, project: Project, person: Subject, job: Job, claim: Callable[..., Claim]
) -> None:
    running = claim(job)
    with begin() as session:
        queued = make_job(session, person)
        ended = consents.revoke(session, project.id, person.id, "operator")
        assert ended is not None
        assert (ended.end_reason, consents.ended(session, [person.id])) == ("revoked", True)
        assert session.get_one(Job, queued.id, populate_existing=True).state == "canceled"
        assert consents.revoke(session, project.id, person.id, "operator") is None
    with begin() as session:
        assert attempts.renew(session, running, Progress("training", 1, 9), lease_seconds=60) is Control.CANCEL
        assert attempts.finish_canceled(session, running)
        stopped = session.get_one(Job, job.id)
        assert (stopped.state, stopped.error_code) == ("canceled", "consent_ended")
        with pytest.raises(NotRetryable, match="consent"):
            retries.retry(session, project.id, job.id)


def test_a_date_ends_it(begin: UnitOfWork, settle: Settle, project: Project, person: Subject, job: Job) -> None:
    with begin() as session:
        session.execute(update(Consent).values(until=datetime.now(UTC) - timedelta(seconds=1)))
        assert consents.ended(session, [person.id])  # also before the dispatcher has noticed
    settle("nothing")
    with begin() as session:
        consent = session.scalars(select(Consent)).one()
        assert (consent.end_reason, session.get_one(Job, job.id).state) == ("expired", "canceled")
        outcomes = list(session.scalars(select(Decision.outcome).order_by(Decision.number)))
        assert outcomes == ["given", "expired"]
        assert list(decisions.breaks(decisions.export(session, project.id))) == []


@pytest.mark.parametrize(
    ("erases", "left"), [("nothing", (1, 1)), ("priors", (0, 1)), ("subject", (0, 0))], ids=lambda value: str(value)
)
def test_what_the_operator_wants_erased_goes_when_the_last_job_has_stopped(
    begin: UnitOfWork,
    settle: Settle,
    project: Project,
    person: Subject,
    job: Job,
    claim: Callable[..., Claim],
    erases: Erases,
    left: tuple[int, int],
) -> None:
    def rows() -> tuple[int, ...]:
        with begin() as session:
            return tuple(session.scalar(select(func.count()).select_from(table)) or 0 for table in (Prior, Subject))

    running = claim(job)
    with begin() as session:
        consents.revoke(session, project.id, person.id, "operator")
    settle(erases)
    assert rows() == (1, 1)  # the training still runs
    with begin() as session:
        attempts.finish_canceled(session, running)
    settle(erases)
    assert rows() == left


def test_a_job_that_was_submitted_at_the_same_moment_is_stopped_too(
    begin: UnitOfWork, settle: Settle, project: Project, person: Subject
) -> None:
    with begin() as session:
        consents.revoke(session, project.id, person.id, "operator")
        late = make_job(session, person)
    settle("priors")
    with begin() as session:
        assert session.get(Job, late.id) is None or session.get_one(Job, late.id).state == "canceled"
        session.execute(update(Consent).values(ended_at=datetime.now(UTC) - timedelta(minutes=5)))
    settle("priors")
    with begin() as session:
        assert session.scalars(select(Consent)).one().settled_at is not None


def test_a_new_receipt_ends_the_consequences_of_the_old_one(
    begin: UnitOfWork, settle: Settle, project: Project, person: Subject
) -> None:
    with begin() as session:
        consents.revoke(session, project.id, person.id, "operator")
        locked = subjects.lock(session, project.id, person.id)
        assert locked is not None
        consents.give(session, locked, ADA, "operator")
        with pytest.raises(consents.AlreadyGiven):
            consents.give(session, locked, ADA, "operator")
        assert not consents.ended(session, [person.id])
        prior = priors.create(session, project.id, person.id)
    settle("subject")
    with begin() as session:
        assert session.get(Prior, prior.id) is not None


def revoked_person(session: Session, project: Project) -> Subject:
    """A subject with a prior, whose consent was given and revoked."""
    made = make_subject(session, project.id)
    consents.give(session, made, ADA, "operator")
    priors.create(session, project.id, made.id)
    consents.revoke(session, project.id, made.id, "operator")
    return made


def priors_of(begin: UnitOfWork, subject: Subject) -> int:
    with begin() as session:
        return session.scalar(select(func.count()).select_from(Prior).where(Prior.subject_id == subject.id)) or 0


def test_a_consent_whose_prior_a_new_job_uses_does_not_delay_another(
    begin: UnitOfWork, dispatcher_begin: UnitOfWork, storage: Storage, project: Project
) -> None:
    with begin() as session:
        used, other = revoked_person(session, project), revoked_person(session, project)
    submitted: list[str] = []

    def submit_edit(session: Session) -> None:
        """As a request that read the consent before its end; its transaction is open while the consent is settled."""
        image = make_image(session, project.id)
        prior_id = session.scalars(select(Prior.id).where(Prior.subject_id == used.id)).one()
        uses: Any = {"subject_id": used.id, "prior_id": prior_id}
        edit = edits.draft(project.id, **uses, image_id=image.id, target_prompts=["a photo"], method="nima")
        job = jobs.submit(session, project.id, "edit", **uses, edit_id=edit.id, related=[edit], parameters={})
        submitted.append(job.id)

    settling = Settling(dispatcher_begin, storage, "priors", lease_seconds=0)
    answer_after(begin, submit_edit, settling.next_round)
    assert (priors_of(begin, used), priors_of(begin, other)) == (1, 0)
    settling.next_round()
    assert priors_of(begin, used) == 0
    with begin() as session:
        assert session.get_one(Job, submitted[0]).state == "canceled"


def test_consents_that_wait_for_their_jobs_do_not_delay_those_that_ended_later(
    begin: UnitOfWork,
    dispatcher_begin: UnitOfWork,
    storage: Storage,
    project: Project,
    person: Subject,
    job: Job,
    claim: Callable[..., Claim],
) -> None:
    claim(job)
    with begin() as session:
        consents.revoke(session, project.id, person.id, "operator")
        later = revoked_person(session, project)
    settling = Settling(dispatcher_begin, storage, "priors", lease_seconds=0, limit=1)
    settling.next_round()
    settling.next_round()
    assert (priors_of(begin, person), priors_of(begin, later)) == (1, 0)
    settling.next_round()  # the first one's turn again
    assert settling.after is not None
    with begin() as session:
        assert settling.after[1] == session.scalars(select(Consent.id).where(Consent.subject_id == person.id)).one()
