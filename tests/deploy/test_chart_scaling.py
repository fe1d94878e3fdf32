"""KEDA's query counts the workers that a pool can use: as many as claim a job, and those that have one."""

from collections.abc import Callable
from typing import Any

import pytest
from psycopg import Connection
from sqlalchemy import Engine, text, update
from sqlalchemy.orm import Session

from benchmarks.finished_jobs import fill
from ledger import claims, jobs, projects
from ledger.claims import Abilities
from ledger.database import UnitOfWork
from ledger.models import Job, Project
from ledger.roles import Program
from ledger.settings import Settings
from ledger.states import JobKind
from tests.deploy.chart_values import CASES, SERVERS
from tests.support.chart import Manifest, needs_helm, render
from tests.support.rows import make_image, make_subject

pytestmark = needs_helm
SDXL, OTHER = "a" * 64, "b" * 64
SCALING = {"enabled": True, "maxReplicas": 9}
POOLS = [
    {"name": "edits-a", "queues": ["edits"], "baseModel": "sdxl", "scaling": SCALING | {"fingerprint": SDXL}},
    {"name": "edits-b", "queues": ["edits"], "baseModel": "other", "scaling": SCALING | {"fingerprint": OTHER}},
    {"name": "priors-a", "queues": ["priors"], "baseModel": "sdxl", "scaling": SCALING | {"fingerprint": SDXL}},
]
VALUES = SERVERS | {"workers": POOLS, "scaler": {"host": "db.example.com"}, "settings": {"LIPE_MAX_RUNNING_JOBS": 3}}


def scaled(values: dict[str, Any]) -> dict[str, Manifest]:
    """The ScaledObjects by the name of their pool."""
    objects = [one for one in render(values) if one["kind"] == "ScaledObject"]
    return {one["metadata"]["name"].removeprefix("lipe-worker-"): one["spec"] for one in objects}


def query(pool: str) -> str:
    """The query of a pool, as KEDA gets it."""
    (trigger,) = scaled(VALUES)[pool]["triggers"]
    return str(trigger["metadata"]["query"])


@pytest.fixture
def wanted(role_begin: Callable[[Program], UnitOfWork]) -> Callable[[str], float]:
    """`wanted("edits-a")`: the answer of the pool's query to the user of the workers."""

    def ask(pool: str) -> float:
        with role_begin("worker")() as session:
            connection = session.connection().connection.driver_connection
            assert isinstance(connection, Connection)
            row = connection.execute(query(pool).encode()).fetchone()
        assert row is not None
        assert type(row[0]) is float
        return float(row[0])

    return ask


def queue(
    session: Session, project: Project, count: int, kind: JobKind = "edit", base_model: str | None = None
) -> None:
    """Queue so many jobs of a new subject."""
    subject = make_subject(session, project.id)
    for _ in range(count):
        jobs.submit(session, project.id, kind, subject_id=subject.id, parameters={}, base_model=base_model)


def claim_all(begin: UnitOfWork, able: Abilities, most: int = 100) -> int:
    """Let workers claim, each one job, until none finds one: their number."""
    for number in range(most):
        with begin() as session:
            if claims.claim_next(session, able, f"w-{number}", lease_seconds=60, max_running=3) is None:
                return number
    return most


def test_without_jobs_no_worker_is_wanted(wanted: Callable[[str], float], project: Project) -> None:
    assert [wanted(pool["name"]) for pool in POOLS] == [0, 0, 0]  # type: ignore[arg-type]


def test_as_many_workers_are_wanted_as_find_a_job(begin: UnitOfWork, wanted: Callable[[str], float]) -> None:
    with begin() as session:
        names = ("flood", "own", "few", "full")
        flood, own, few, full = (projects.create(session, name) for name in names)
        own.max_running_jobs, full.max_running_jobs = 5, 1
        queue(session, flood, 20)
        queue(session, own, 20, base_model=SDXL)
        queue(session, few, 2, "captions")
        queue(session, full, 4)
    expected = wanted("edits-a")
    assert expected == 3 + 5 + 2 + 1
    able = Abilities(["edit", "captions"], SDXL)
    assert claim_all(begin, able, 4) == 4
    assert wanted("edits-a") == expected  # busy ones are wanted, too
    assert claim_all(begin, able) == expected - 4
    assert wanted("edits-a") == expected
    with begin() as session:
        session.execute(update(Job).where(Job.state == "running").values(state="succeeded"))
    assert wanted("edits-a") == 3 + 5 + 0 + 1


def test_a_pool_counts_its_kinds_and_its_base_model(begin: UnitOfWork, wanted: Callable[[str], float]) -> None:
    with begin() as session:
        for name, kind, base_model in (("a", "edit", SDXL), ("b", "edit", OTHER), ("c", "prior", SDXL)):
            queue(session, projects.create(session, name), 2, kind, base_model)  # type: ignore[arg-type]
        queue(session, projects.create(session, "any"), 1)
    assert [wanted(pool["name"]) for pool in POOLS] == [3, 3, 2]  # type: ignore[arg-type]


def test_a_running_training_takes_room_of_its_projects_edits(
    begin: UnitOfWork, wanted: Callable[[str], float], project: Project
) -> None:
    with begin() as session:
        queue(session, project, 2, "prior", SDXL)
        queue(session, project, 9)
    assert claim_all(begin, Abilities(["prior"], SDXL)) == 2
    assert (wanted("priors-a"), wanted("edits-a")) == (2, 1)


def test_finished_jobs_are_not_read(begin: UnitOfWork, engine: Engine, project: Project) -> None:
    with begin() as session:
        subject = make_subject(session, project.id)
        fill(session, project.id, subject.id, make_image(session, project.id).id, 3000)
        queue(session, project, 3)
        session.execute(text("ANALYZE jobs"))
    with engine.connect() as connection:
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {query('edits-a')}").scalars())
    assert "ix_jobs_running" in plan
    assert "Seq Scan on jobs" not in plan


def test_the_default_quota_is_that_of_the_service() -> None:
    default = Settings.model_fields["max_running_jobs"].default
    (trigger,) = scaled(CASES["scaled"])["edits"]["triggers"]
    assert f"projects.max_running_jobs, {default})" in trigger["metadata"]["query"]
    assert "projects.max_running_jobs, 3)" in query("edits-a")


def test_trainings_have_a_long_cool_down_and_no_replicas_are_set_twice() -> None:
    pools = scaled(CASES["scaled"])
    windows = {
        name: spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"]
        for name, spec in pools.items()
    }
    assert windows == {"edits": 300, "priors": 1800}
    assert {name: (spec["minReplicaCount"], spec["maxReplicaCount"]) for name, spec in pools.items()} == {
        "edits": (1, 20), "priors": (0, 4),
    }  # fmt: skip
    deployments = {
        one["metadata"]["name"]: one["spec"] for one in render(CASES["scaled"]) if one["kind"] == "Deployment"
    }
    for spec in pools.values():
        assert "replicas" not in deployments[spec["scaleTargetRef"]["name"]]
    assert "replicas" not in deployments["lipe-api"]  # the HorizontalPodAutoscaler sets it


def test_the_password_of_the_trigger_comes_from_the_secret() -> None:
    (authentication,) = [one for one in render(CASES["scaled"]) if one["kind"] == "TriggerAuthentication"]
    reference = authentication["spec"]["secretTargetRef"]
    assert reference == [{"parameter": "password", "name": "lipe-secrets", "key": "keda_password"}]
    (trigger,) = scaled(CASES["scaled"])["edits"]["triggers"]
    assert (trigger["metadata"]["host"], trigger["metadata"]["userName"]) == ("db.example.com", "lipe_worker")
    assert all(isinstance(value, str) for value in trigger["metadata"].values())  # KEDA refuses numbers
