"""Each invariant broken by hand in real tables and a real object store: the audit finds it, and nothing else."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, text, update
from sqlalchemy.exc import InternalError

from ledger import audit as auditing
from ledger import erasures, webhooks
from ledger.audit import INVARIANTS, artefacts, audit
from ledger.audit.violation import Violation
from ledger.database import UnitOfWork
from ledger.erasures import Erasure
from ledger.jobs import Job
from ledger.projects import Project
from ledger.settings import Settings
from ledger.storage import Storage, StorageError, StoredObject
from ledger.webhooks import Delivery, Endpoint
from tests.support.sample_project import Journey, travel
from tests.support.violations import HOUR, PLANTS, one_key


@pytest.fixture
def journey(begin: UnitOfWork, storage: Storage, project: Project) -> Journey:
    """A healthy project."""
    return travel(begin, storage, project)


def found(begin: UnitOfWork, storage: Storage, patience: timedelta = HOUR / 2) -> list[Violation]:
    return audit(begin, storage, patience=patience, key_lifetime=24 * HOUR)


def test_a_healthy_journey_violates_nothing(begin: UnitOfWork, storage: Storage, journey: Journey) -> None:
    assert found(begin, storage) == []


@pytest.mark.parametrize("name", PLANTS)
def test_what_is_broken_is_found(begin: UnitOfWork, storage: Storage, journey: Journey, name: str) -> None:
    invariants, detail, plant = PLANTS[name]
    with begin() as session:
        plant(session, storage, journey)
    violations = found(begin, storage)
    assert {violation.invariant for violation in violations} == invariants, violations
    assert any(detail in violation.detail for violation in violations), violations
    assert all(" " in violation.thing for violation in violations)


def test_every_invariant_is_broken_above() -> None:
    assert {number for invariants, _, _ in PLANTS.values() for number in invariants} == set(INVARIANTS)


def test_what_only_takes_its_time_is_no_violation(begin: UnitOfWork, storage: Storage, journey: Journey) -> None:
    with begin() as session:
        for plant in ("a lease that ran out", "a job nobody rings for", "a cancelled job that runs"):
            PLANTS[plant][2](session, storage, journey)
        session.execute(update(Erasure).values(finished_at=None))
    assert found(begin, storage, patience=2 * HOUR) == []


def test_a_key_may_come_again_after_its_time(begin: UnitOfWork, storage: Storage, journey: Journey) -> None:
    with begin() as session:
        one_key(session, storage, journey)
        a_day_ago = func.clock_timestamp() - 25 * HOUR
        session.execute(update(Job).where(Job.id == journey.canceled).values(created_at=a_day_ago))
    assert found(begin, storage) == []


@pytest.mark.parametrize("values", [{"disabled_at": func.clock_timestamp()}, {"events": ["edit.failed"]}])
def test_who_does_not_subscribe_gets_nothing(
    begin: UnitOfWork, storage: Storage, journey: Journey, values: dict[str, Any]
) -> None:
    with begin() as session:
        session.execute(delete(Delivery).where(Delivery.endpoint_id == journey.endpoint))
        session.execute(update(Endpoint).values(values))
    assert found(begin, storage) == []


def test_an_endpoint_counts_from_its_last_change(
    begin: UnitOfWork, storage: Storage, project: Project, journey: Journey
) -> None:
    with begin() as session:
        session.execute(delete(Delivery).where(Delivery.endpoint_id == journey.endpoint))
        webhooks.update_endpoint(session, session.get_one(Endpoint, journey.endpoint), events=[])
    assert found(begin, storage) == []


def test_what_is_erased_while_it_is_read_is_no_violation(
    begin: UnitOfWork, storage: Storage, project: Project, journey: Journey
) -> None:
    with begin() as session:
        recorded = artefacts.recorded(session)
        erasure = erasures.erase_subject(session, project.id, journey.subject)
    assert erasure
    erasures.sweep(begin, storage, erasure.id)
    broken = list(artefacts.broken_objects(storage, recorded))
    assert len(broken) == len(recorded) > 0
    with begin() as session:
        assert list(artefacts.still_recorded(session, recorded, broken)) == []


def test_an_audit_cannot_write(begin: UnitOfWork, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "CHECKS", (lambda session, bounds: session.execute(text("DELETE FROM jobs")),))
    with pytest.raises(InternalError, match="read-only transaction"):
        found(begin, storage)


def test_a_storage_that_is_away_is_an_error_and_no_violation(settings: Settings) -> None:
    away = Storage(settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:9"}))
    with pytest.raises(StorageError):
        list(artefacts.broken_objects(away, {"art_1": StoredObject("projects/p/x", 1, "0" * 64)}))
