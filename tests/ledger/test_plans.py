"""No frequent query reads more than a page of rows, even if there are many finished jobs.

The tests execute the database's plans and count the rows that each step reads, including those that it discards. So a
missing index makes a test fail, and a slow machine does not.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event, select, text, update
from sqlalchemy.orm import Session

from benchmarks.finished_jobs import ABSENT, FEW, RARE, fill
from ledger import (
    attempts,
    claims,
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
    waiting,
    workers,
)
from ledger.claims import Abilities
from ledger.database import UnitOfWork, make_engine, unit_of_work
from ledger.models import Job, Project, Subject
from ledger.pages import Cursor, Window
from ledger.settings import Settings
from ledger.states import State
from tests.support.rows import make_image, make_job, make_subject

COUNT = 100_000
SOME = 1000
MOST_ROWS = 500
OFTEN = 12
"""psycopg prepares a statement at its sixth execution; after five more the server may reuse one plan."""
PLANNED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


@dataclass(frozen=True)
class Step:
    """One step of an executed plan: `rows` is the number of rows that it read."""

    kind: str
    table: str
    rows: int
    query: str


class ExplainingEngine:
    """An engine that explains each statement, in a savepoint, before it executes it."""

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
    """`past(count)` writes `count` finished edits of the project and returns the id of their image."""

    def make(count: int) -> str:
        with begin() as session:
            image = make_image(session, project.id)
            fill(session, project.id, subject.id, image.id, count)
        return image.id

    return make


@pytest.fixture
def watched(settings: Settings) -> Iterator[ExplainingEngine]:
    watched = ExplainingEngine(settings)
    yield watched
    watched.engine.dispose()


Act = Callable[[Session], object]


def test_the_warnings_of_priors_read_no_jobs_of_edits(
    begin: UnitOfWork, watched: ExplainingEngine, past: Past, project: Project, subject: Subject
) -> None:
    past(SOME)
    with begin() as session:
        learned = make_job(session, subject)
        learned.warnings = [{"code": "unlike_the_base_model", "message": "no"}]
        using = update(Job).where(Job.kind == "edit").values(prior_id=learned.prior_id).returning(Job.id)
        assert len(session.scalars(using).all()) == SOME
        session.execute(text("ANALYZE jobs"))
    priors, found = [str(learned.prior_id)], {learned.prior_id: learned.warnings}
    assert _too_many(watched, lambda session: results.warnings_of_priors(session, priors)) == []
    with begin() as session:
        assert results.warnings_of_priors(session, priors) == found
        assert results.warnings_of_edits(session, [edit.id for edit in results.edits(session, project.id).rows])


def test_no_frequent_query_reads_the_finished_jobs(
    begin: UnitOfWork, watched: ExplainingEngine, past: Past, project: Project, subject: Subject, settings: Settings
) -> None:
    lists, daily = _lists(project.id), _daily_acts(project.id, subject.id, past(COUNT), settings)
    violations = [f"{name}: {step}" for name, act in (lists | daily).items() for step in _too_many(watched, act)]
    violations += [
        f"{name}, repeated: {rows} rows" for name, act in lists.items() if (rows := _often(begin, act)) > MOST_ROWS
    ]
    assert violations == [], "\n".join(violations)


def test_a_claim_reads_few_rows_of_a_long_queue(
    begin: UnitOfWork, watched: ExplainingEngine, past: Past, project: Project
) -> None:
    """Statistics that call queued jobs frequent must not lead to a scan of the table for the first of them."""
    past(4 * SOME)
    with begin() as session:
        newest = select(Job.id).order_by(Job.created_at.desc()).limit(3 * SOME)
        session.execute(update(Job).where(Job.id.in_(newest)).values(state="queued", rank_at=Job.created_at))
        session.execute(text("ANALYZE jobs"))

    def claim(session: Session) -> None:
        able = Abilities(["prior", "edit"], "base", ["adapter"])
        assert claims.claim_next(session, able, "worker", lease_seconds=60, max_running=8)

    assert _too_many(watched, claim) == []


def test_the_lists_are_right(begin: UnitOfWork, past: Past, project: Project) -> None:
    past(SOME)
    with begin() as session:
        rare = jobs.listing(session, project.id, state=State(RARE))
        assert [job.user_metadata["order"] for job in rare.rows] == [str(n) for n in range(FEW, 0, -1)]
        assert jobs.listing(session, project.id, state=State(ABSENT)).rows == []
        one = jobs.listing(session, project.id, metadata={"order": "77"})
        assert [job.user_metadata["order"] for job in one.rows] == ["77"]
        assert [edit.id for edit in results.edits(session, project.id, metadata={"order": "77"}).rows] == [
            one.rows[0].edit_id
        ]
        assert len(results.edits(session, project.id, state=State(RARE)).rows) == FEW


def _too_many(watched: ExplainingEngine, act: Act) -> list[Step]:
    watched.steps.clear()
    with watched.begin() as session:
        act(session)
        session.rollback()
    assert watched.steps, "it sent no query"
    return [step for step in watched.steps if step.rows > MOST_ROWS]


def _often(begin: UnitOfWork, act: Act) -> int:
    """The rows that the last repetition reads: the server may use another plan for a statement that it gets often."""
    rows_read = text("SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables")
    for _ in range(OFTEN):
        with begin() as session:
            before = session.scalar(rows_read)
            act(session)
            rows = session.scalar(rows_read) - before
    return int(rows)


def _lists(project_id: str) -> dict[str, Act]:
    def middle(session: Session) -> Window:
        one = jobs.listing(session, project_id, metadata={"order": str(COUNT // 2)}).rows[0]
        return Window(after=Cursor(one.created_at, one.id))

    def warnings(session: Session) -> None:
        page = results.edits(session, project_id, Window(100))
        assert len(results.warnings_of_edits(session, [edit.id for edit in page.rows])) == 100

    return {
        "newest jobs": lambda session: jobs.listing(session, project_id),
        "jobs, page 2500": lambda session: jobs.listing(session, project_id, middle(session)),
        "jobs of a common state": lambda session: jobs.listing(session, project_id, state=State.SUCCEEDED),
        "jobs of a rare state": lambda session: jobs.listing(session, project_id, state=State(RARE)),
        "jobs of a state that none is in": lambda session: jobs.listing(session, project_id, state=State(ABSENT)),
        "jobs of a kind that none is of": lambda session: jobs.listing(session, project_id, kind="prior"),
        "jobs of a rare pair": lambda session: jobs.listing(session, project_id, metadata={"order": "77"}),
        "jobs of a common pair": lambda session: jobs.listing(session, project_id, metadata={"app": "phone"}),
        "newest edits": lambda session: results.edits(session, project_id),
        "warnings of the newest edits": warnings,
        "edits of a common state": lambda session: results.edits(session, project_id, state=State.SUCCEEDED),
        "edits of a rare state": lambda session: results.edits(session, project_id, state=State(RARE)),
        "edits of a state that none is in": lambda session: results.edits(session, project_id, state=State(ABSENT)),
        "edits of a rare pair": lambda session: results.edits(session, project_id, metadata={"order": "77"}),
    }


def _daily_acts(project_id: str, subject_id: str, image_id: str, settings: Settings) -> dict[str, Act]:
    def submit(session: Session) -> Job:
        edit_inputs.find(
            session, project_id, subject_id=subject_id, prior_id=None, image_id=image_id, mask_image_id=None
        )
        job = jobs.submit(session, project_id, "edit", subject_id=subject_id, parameters={})
        quotas.of_jobs(session, project_id, settings)
        return job

    def claim(session: Session) -> None:
        job = submit(session)
        taken = claims.claim_next(
            session, Abilities(["edit"], "base", ["adapter"], ["image"]), "worker", lease_seconds=60, max_running=1
        )
        assert taken is not None
        assert taken.job_id == job.id
        assert quotas.allows_running(session, project_id, 1)
        assert attempts.renew(session, taken, attempts.Progress("editing", 1, 2), lease_seconds=60)
        assert attempts.finish(session, taken, [], resolved={}, metrics={})

    def dispatch(session: Session) -> None:
        job = submit(session)
        outbox.remove(session, job.id)
        reaper.reap(session, max_attempts=3)
        reaper.expire(session, deadline_seconds=3600)
        outbox.mark_published(session, outbox.due(session))
        deliveries.notify_due(session, seconds=1)
        erasures.list_unfinished(session)
        idempotency.forget_expired(session)

    def follow(session: Session) -> None:
        job = submit(session)
        assert jobs.get(session, project_id, job.id)
        assert events.after(session, project_id, job.id, 0)
        assert waiting.of_jobs(session, project_id, [job], max_running=8)

    def measure(session: Session) -> None:
        queue_metrics.queues(session)
        queue_metrics.expired_leases(session)
        queue_metrics.undelivered_webhooks(session)
        workers.report(session, "host:1", ["edit"], {})
        workers.served_models(session)

    def delete(session: Session) -> None:
        (old,) = results.edits(session, project_id, metadata={"order": "77"}).rows
        erasure = erasures.erase_edit(session, project_id, old.id)
        assert erasure
        assert len(erasure.erased) == 2

    def delete_unused(session: Session) -> None:
        learned = make_job(session, make_subject(session, project_id))
        assert erasures.erase_prior(session, project_id, str(learned.prior_id))

    return {
        "delete an edit": delete,
        "delete a prior": delete_unused,
        "submit": submit,
        "claim to finish": claim,
        "dispatch": dispatch,
        "follow": follow,
        "metrics": measure,
    }
