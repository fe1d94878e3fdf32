"""A running job of a worker that drains."""

from dataclasses import replace
from functools import partial

import pytest

from ledger.database import UnitOfWork
from ledger.models import Project, Subject
from ledger.states import JobKind, State
from ledger.storage import Storage
from tests.support.factories import current, edit, history, learn
from tests.support.running import run_job
from worker.context import WorkerContext
from worker.drain import drain_of


@pytest.mark.parametrize(("kind", "stops_at"), [("edit", 110.0), ("captions", 110.0), ("prior", 100.0)])
def test_a_short_job_has_its_time_from_the_beginning_of_the_drain(kind: JobKind, stops_at: float) -> None:
    now, drains = [90.0], [False]
    must_stop = drain_of(kind, lambda: drains[0], 10.0, clock=lambda: now[0])
    assert not must_stop()
    now[0], drains[0] = 100.0, True
    while now[0] < 120.0 and not must_stop():
        now[0] += 0.5
    assert now[0] == stops_at


@pytest.mark.usefixtures("reports_are_written")
@pytest.mark.parametrize(("seconds", "expected"), [(0.0, State.QUEUED), (600.0, State.SUCCEEDED)])
def test_an_edit_finishes_on_a_draining_worker_that_has_the_time(
    seconds: float, expected: State, context: WorkerContext, begin: UnitOfWork, storage: Storage,
    project: Project, subject: Subject,
) -> None:  # fmt: skip
    settings = context.settings.model_copy(update={"drain_seconds": seconds})
    job, training = edit(begin, storage, project, subject, None), learn(begin, project, subject, steps=3)
    for row in (job, training):
        answers = iter([False])  # it drains once the job has been claimed
        run_job(replace(context, settings=settings, draining=partial(next, answers, True)), row.id)
        assert next(answers, None) is None
    assert [current(begin, row).state for row in (job, training)] == [expected, State.QUEUED]
    assert min(len(history(begin, row)) for row in (job, training)) >= 3  # both were running
