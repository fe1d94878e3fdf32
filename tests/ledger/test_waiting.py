"""The reasons of queued jobs, and their positions."""

import pytest

from ledger import attempts, jobs, projects, waiting, workers
from ledger.database import UnitOfWork
from ledger.models import Job, Project, Subject
from ledger.states import JobKind
from ledger.storage import Storage
from ledger.waiting import Waiting
from tests.support.factories import make_subject


@pytest.fixture
def subject(begin: UnitOfWork, storage: Storage, project: Project) -> Subject:
    return make_subject(begin, storage, project)


def submit(begin: UnitOfWork, subject: Subject, kind: JobKind = "edit") -> Job:
    with begin() as session:
        return jobs.submit(session, subject.project_id, kind, subject_id=subject.id, parameters={})


def start_worker(begin: UnitOfWork, *kinds: JobKind) -> None:
    with begin() as session:
        workers.report(session, "host:1", kinds, {})


def reasons(begin: UnitOfWork, project: Project, *rows: Job, max_running: int = 8) -> list[Waiting | None]:
    with begin() as session:
        found = waiting.of_jobs(session, project.id, rows, max_running=max_running)
    return [found.get(row.id) for row in rows]


def test_a_job_without_a_worker_for_its_kind(begin: UnitOfWork, project: Project, subject: Subject) -> None:
    edit, prior = submit(begin, subject), submit(begin, subject, "prior")
    assert reasons(begin, project, edit, prior) == [Waiting("no_worker_serves_it", 1)] * 2
    start_worker(begin, "edit")
    assert reasons(begin, project, edit, prior) == [Waiting("workers_busy", 1), Waiting("no_worker_serves_it", 1)]
    start_worker(begin, "prior")
    assert reasons(begin, project, edit, prior) == [Waiting("no_worker_serves_it", 1), Waiting("workers_busy", 1)]


def test_the_jobs_before_it_are_those_of_its_kind(begin: UnitOfWork, project: Project, subject: Subject) -> None:
    start_worker(begin, "edit", "prior")
    rows = [submit(begin, subject), submit(begin, subject, "prior"), submit(begin, subject), submit(begin, subject)]
    first, second, third = Waiting("workers_busy", 1), Waiting("jobs_before_it", 2), Waiting("jobs_before_it", 3)
    assert reasons(begin, project, *rows) == [first, first, second, third]
    with begin() as session:
        assert attempts.claim(session, rows[0].id, "host:1", lease_seconds=60)
    assert reasons(begin, project, *rows[1:]) == [first, first, second]


def test_a_project_with_as_many_running_jobs_as_it_may_have(
    begin: UnitOfWork, project: Project, subject: Subject
) -> None:
    start_worker(begin, "edit")
    running, queued = submit(begin, subject), submit(begin, subject)
    with begin() as session:
        assert attempts.claim(session, running.id, "host:1", lease_seconds=60)
    assert reasons(begin, project, queued, max_running=1) == [Waiting("quota", 1)]
    assert reasons(begin, project, queued, max_running=2) == [Waiting("workers_busy", 1)]


def test_jobs_that_are_not_queued_have_no_reason(begin: UnitOfWork, project: Project, subject: Subject) -> None:
    job = submit(begin, subject)
    with begin() as session:
        canceled = jobs.cancel(session, project.id, job.id)
    assert canceled is not None
    assert reasons(begin, project, canceled) == [None]


def test_jobs_of_other_projects_are_not_counted(
    begin: UnitOfWork, project: Project, subject: Subject, storage: Storage
) -> None:
    start_worker(begin, "edit")
    with begin() as session:
        other = projects.create(session, "other")
    submit(begin, make_subject(begin, storage, other))
    job = submit(begin, subject)
    assert reasons(begin, project, job) == [Waiting("workers_busy", 1)]


def test_positions_end_at_the_limit(
    begin: UnitOfWork, project: Project, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_worker(begin, "edit")
    monkeypatch.setattr(waiting, "MAX_POSITION", 2)
    rows = [submit(begin, subject) for _ in range(3)]
    assert [found and found.position for found in reasons(begin, project, *rows)] == [1, 2, None]
    assert reasons(begin, project, rows[2]) == [Waiting("jobs_before_it", None)]
