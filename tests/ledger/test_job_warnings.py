"""Warnings of a job: written by the effective attempt alone, each code once, with an event and in the webhook."""

import json
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import select

from ledger import attempts
from ledger.attempts import Claim, Progress
from ledger.audit import attempts as invariant_2
from ledger.audit.violation import Bounds
from ledger.database import UnitOfWork
from ledger.job_warnings import JobWarning
from ledger.models import Delivery, Job, Subject
from tests.support.factories import current, history
from tests.support.rows import make_job

UNLIKE = JobWarning("unlike_the_base_model", "2 of 3 images are unlike")
COVERS = JobWarning("mask_covers_nearly_all", "the mask of result 1 covers 93 %")
BOUNDS = Bounds(timedelta(hours=1), timedelta(hours=1))
Claiming = Callable[..., Claim]


def test_a_running_job_has_each_code_once_with_one_event_for_what_is_new(
    begin: UnitOfWork, subject: Subject, claim: Claiming
) -> None:
    with begin() as session:
        job = make_job(session, subject, webhook_url="https://example.com/hook")
    held = claim(job)
    for found in ([UNLIKE], [], [UNLIKE], [JobWarning("unlike_the_base_model", "again"), COVERS]):
        with begin() as session:
            attempts.renew(session, held, Progress("checking", 1, 3), lease_seconds=60)
            assert attempts.warn(session, held, found)
    running = current(begin, job)
    both = [{"code": one.code, "message": one.message} for one in (UNLIKE, COVERS)]
    assert (running.state, running.warnings) == ("running", both)
    events = [event for event in history(begin, job) if event.type == "prior.warning"]
    assert [event.data["warnings"] for event in events] == [both[:1], both[1:]]
    with begin() as session:
        assert attempts.finish_failed(session, held, "invalid_request", "no", {})
        body = json.loads(session.scalars(select(Delivery.body)).one())
        assert list(invariant_2.violations(session, BOUNDS)) == []
    assert body["data"]["warnings"] == both == current(begin, job).warnings


def test_a_lost_attempt_and_an_ended_job_get_no_warning(begin: UnitOfWork, job: Job, claim: Claiming) -> None:
    lost = claim(job)
    with begin() as session:
        assert attempts.release(session, lost, charge=True)
    successor = claim(job)
    with begin() as session:
        assert not attempts.warn(session, lost, [UNLIKE])
        assert attempts.finish_failed(session, successor, "invalid_request", "no", {})
        assert not attempts.warn(session, successor, [UNLIKE])
    assert current(begin, job).warnings == []
    assert [event.type for event in history(begin, job) if event.type == "prior.warning"] == []
