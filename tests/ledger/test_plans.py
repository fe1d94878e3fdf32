"""However many jobs are finished, no query of every day touches more than a page of them.

What is judged are the database's own plans, carried out: how many rows each step of a query met, whether or not it
threw them away. So a missing index fails here, and a slow machine does not.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from benchmarks.finished_jobs import FEW, NOWHERE, RARE, fill
from ledger import (
    attempts,
    deliveries,
    edit_inputs,
    erasures,
    events,
    idempotency,
    jobs,
    outbox,
    queue_metrics,
    quotas,
    reaper,
    results,
)
from ledger.database import UnitOfWork, make_engine, unit_of_work
from ledger.jobs import Job
from ledger.pages import Cursor, Window
from ledger.projects import Project
from ledger.settings import Settings
from ledger.states import State
from ledger.subjects import Subject
from tests.support.rows import make_image

COUNT = 100_000
SOME = 1000
MOST_ROWS = 500
OFTEN = 12
"""psycopg prepares a statement at its sixth execution, and the server then plans five times before it reuses a plan."""
PLANNED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


@dataclass(frozen=True)
class Step:
    """Of a plan that was carried out: `rows` were met, `query` is whose step it is."""

    kind: str
    table: str
    rows: int
    query: str


class Watched:
    """An engine whose statements are explained, inside a savepoint, before they are sent."""

    def __init__(self, settings: Settings) -> None:
        self.steps: list[Step] = []
        self.engine = make_engine(settings.database_url)
        self.begin = unit_of_work(self.engine)
        event.listen(self.engine, "connect", self._watch)

    def _watch(self, connection: psycopg.Connection, record: object) -> None:
        steps = self.steps

        class Explaining(psycopg.Cursor[Any]):
            def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
                if query.lstrip().startswith(PLANNED):
                    steps.extend(_explained(self.connection, query, params))
                return super().execute(query, params, **options)

        connection.cursor_factory = Explaining


def _explained(connection: psycopg.Connection, query: str, params: Any) -> Iterator[Step]:
    with psycopg.Cursor(connection) as cursor:
        cursor.execute("SAVEPOINT explained")
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", params)
        (plan,) = cursor.fetchone() or ("[]",)
        cursor.execute("ROLLBACK TO SAVEPOINT explained")
    tree = json.loads(plan) if isinstance(plan, str) else plan
    yield from _steps(tree[0]["Plan"], query)


def _steps(node: dict[str, Any], query: str) -> Iterator[Step]:
    met = sum(node.get(name, 0) for name in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck"))
    yield Step(node["Node Type"], node.get("Relation Name", ""), round(met * node["Actual Loops"]), query)
    for child in node.get("Plans", ()):
        yield from _steps(child, query)


Past = Callable[[int], str]


@pytest.fixture
def past(begin: UnitOfWork, engine: Engine, project: Project, subject: Subject) -> Past:
    """`past(count)`: so many finished edits of the project, and the id of the picture they are of."""

    def make(count: int) -> str:
        with begin() as session:
            image = make_image(session, project.id)
            fill(session, project.id, subject.id, image.id, count)
        return image.id

    return make


@pytest.fixture
def watched(settings: Settings) -> Iterator[Watched]:
    watched = Watched(settings)
    yield watched
    watched.engine.dispose()


Act = Callable[[Session], object]


def test_no_query_of_every_day_meets_the_finished_jobs(
    begin: UnitOfWork, watched: Watched, past: Past, project: Project, subject: Subject, settings: Settings
) -> None:
    lists, daily = _lists(project.id), _every_day(project.id, subject.id, past(COUNT), settings)
    guilty = [f"{name}: {step}" for name, act in (lists | daily).items() for step in _too_many(watched, act)]
    guilty += [f"{name}, asked often: {met}" for name, act in lists.items() if (met := _often(begin, act)) > MOST_ROWS]
    assert guilty == [], "\n".join(guilty)


def test_the_lists_are_what_they_should_be(begin: UnitOfWork, past: Past, project: Project) -> None:
    past(SOME)
    with begin() as session:
        rare = jobs.listing(session, project.id, state=State(RARE))
        assert [job.user_metadata["order"] for job in rare.rows] == [str(n) for n in range(FEW, 0, -1)]
        assert jobs.listing(session, project.id, state=State(NOWHERE)).rows == []
        one = jobs.listing(session, project.id, metadata={"order": "77"})
        assert [job.user_metadata["order"] for job in one.rows] == ["77"]
        assert [edit.id for edit in results.edits(session, project.id, metadata={"order": "77"}).rows] == [
            one.rows[0].edit_id
        ]
        assert len(results.edits(session, project.id, state=State(RARE)).rows) == FEW


def _too_many(watched: Watched, act: Act) -> list[Step]:
    watched.steps.clear()
    with watched.begin() as session:
        act(session)
        session.rollback()
    assert watched.steps, "it asked nothing"
    return [step for step in watched.steps if step.rows > MOST_ROWS]


def _often(begin: UnitOfWork, act: Act) -> int:
    """The rows that the act's last round met. The server makes other plans for what it was asked several times."""
    met = text("SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables")
    for _ in range(OFTEN):
        with begin() as session:
            before = session.scalar(met)
            act(session)
            rows = session.scalar(met) - before
    return int(rows)


def _lists(project_id: str) -> dict[str, Act]:
    def middle(session: Session) -> Window:
        one = jobs.listing(session, project_id, metadata={"order": str(COUNT // 2)}).rows[0]
        return Window(after=Cursor(one.created_at, one.id))

    return {
        "newest jobs": lambda session: jobs.listing(session, project_id),
        "jobs, page 2500": lambda session: jobs.listing(session, project_id, middle(session)),
        "jobs of a common state": lambda session: jobs.listing(session, project_id, state=State.SUCCEEDED),
        "jobs of a rare state": lambda session: jobs.listing(session, project_id, state=State(RARE)),
        "jobs of a state that none is in": lambda session: jobs.listing(session, project_id, state=State(NOWHERE)),
        "jobs of a kind that none is of": lambda session: jobs.listing(session, project_id, kind="prior"),
        "jobs of a rare pair": lambda session: jobs.listing(session, project_id, metadata={"order": "77"}),
        "jobs of a common pair": lambda session: jobs.listing(session, project_id, metadata={"app": "phone"}),
        "newest edits": lambda session: results.edits(session, project_id),
        "edits of a common state": lambda session: results.edits(session, project_id, state=State.SUCCEEDED),
        "edits of a rare state": lambda session: results.edits(session, project_id, state=State(RARE)),
        "edits of a state that none is in": lambda session: results.edits(session, project_id, state=State(NOWHERE)),
        "edits of a rare pair": lambda session: results.edits(session, project_id, metadata={"order": "77"}),
    }


def _every_day(project_id: str, subject_id: str, image_id: str, settings: Settings) -> dict[str, Act]:
    def submit(session: Session) -> Job:
        edit_inputs.find(
            session, project_id, subject_id=subject_id, prior_id=None, image_id=image_id, mask_image_id=None
        )
        job = jobs.submit(session, project_id, "edit", subject_id=subject_id, parameters={})
        quotas.of_jobs(session, project_id, settings)
        return job

    def claim(session: Session) -> None:
        job = submit(session)
        assert quotas.has_room(session, job.id, settings)
        taken = attempts.claim(session, job.id, "worker", lease_seconds=60)
        assert taken is not None
        assert attempts.renew(session, taken, attempts.Progress("editing", 1, 2), lease_seconds=60)
        assert attempts.finish(session, taken, [], resolved={}, metrics={})

    def dispatch(session: Session) -> None:
        job = submit(session)
        outbox.rung(session, job.id)
        reaper.reap(session, max_attempts=3)
        assert reaper.notify_stranded(session, "edit", seconds=-1, max_running=8) == 1
        outbox.mark_published(session, outbox.due(session))
        deliveries.notify_due(session, seconds=1)
        erasures.unfinished(session)
        idempotency.forget_expired(session)

    def follow(session: Session) -> None:
        job = submit(session)
        assert jobs.get(session, project_id, job.id)
        assert events.after(session, project_id, job.id, 0)

    def gauge(session: Session) -> None:
        queue_metrics.queues(session)
        queue_metrics.expired_leases(session)
        queue_metrics.undelivered_webhooks(session)

    return {"submit": submit, "claim to finish": claim, "dispatch": dispatch, "follow": follow, "gauges": gauge}
