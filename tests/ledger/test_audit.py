"""The audit finds each violation in real tables and a real object storage, and nothing else."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, text, update
from sqlalchemy.exc import InternalError

from ledger import audit as auditing
from ledger import erasures, jobs, webhooks
from ledger.audit import INVARIANTS, artefacts, audit
from ledger.audit.violation import Violation
from ledger.database import UnitOfWork
from ledger.models import Delivery, Erasure, Job, Project, WebhookEndpoint
from ledger.settings import Settings
from ledger.states import JobKind
from ledger.storage import Storage, StorageError, StoredObject
from tests.support.sample_project import SampleProject, make_sample_project
from tests.support.violations import HOUR, VIOLATIONS, share_key


@pytest.fixture
def sample(begin: UnitOfWork, storage: Storage, project: Project) -> SampleProject:
    """A project without violations."""
    return make_sample_project(begin, storage, project)


def found(begin: UnitOfWork, storage: Storage, patience: timedelta = HOUR / 2) -> list[Violation]:
    return audit(begin, storage, patience=patience, key_lifetime=24 * HOUR)


def test_a_healthy_project_violates_nothing(begin: UnitOfWork, storage: Storage, sample: SampleProject) -> None:
    assert found(begin, storage) == []


@pytest.mark.parametrize("name", VIOLATIONS)
def test_every_violation_is_found(begin: UnitOfWork, storage: Storage, sample: SampleProject, name: str) -> None:
    invariants, detail, cause = VIOLATIONS[name]
    with begin() as session:
        cause(session, storage, sample)
    violations = found(begin, storage)
    assert {violation.invariant for violation in violations} == invariants, violations
    assert any(detail in violation.detail for violation in violations), violations
    assert all(" " in violation.thing for violation in violations)


def test_every_invariant_has_a_violation() -> None:
    assert {number for invariants, _, _ in VIOLATIONS.values() for number in invariants} == set(INVARIANTS)


def test_what_is_not_late_yet_is_no_violation(begin: UnitOfWork, storage: Storage, sample: SampleProject) -> None:
    with begin() as session:
        for name in ("a lease that has ended", "a cancelled job that runs"):
            VIOLATIONS[name][2](session, storage, sample)
        session.execute(update(Erasure).values(finished_at=None))
    assert found(begin, storage, patience=2 * HOUR) == []


def test_two_masks_and_two_captions_are_no_repeated_work(
    begin: UnitOfWork, storage: Storage, project: Project, sample: SampleProject
) -> None:
    kinds: tuple[JobKind, ...] = ("mask", "captions")
    with begin() as session:
        for kind in kinds * 2:
            jobs.submit(session, project.id, kind, subject_id=sample.subject, parameters={})
    assert found(begin, storage) == []


def test_a_key_may_be_used_again_after_its_lifetime(begin: UnitOfWork, storage: Storage, sample: SampleProject) -> None:
    with begin() as session:
        share_key(session, storage, sample)
        a_day_ago = func.clock_timestamp() - 25 * HOUR
        session.execute(update(Job).where(Job.id == sample.canceled).values(created_at=a_day_ago))
    assert found(begin, storage) == []


@pytest.mark.parametrize("values", [{"disabled_at": func.clock_timestamp()}, {"events": ["edit.failed"]}])
def test_an_endpoint_that_does_not_subscribe_needs_no_delivery(
    begin: UnitOfWork, storage: Storage, sample: SampleProject, values: dict[str, Any]
) -> None:
    with begin() as session:
        session.execute(delete(Delivery).where(Delivery.endpoint_id == sample.endpoint))
        session.execute(update(WebhookEndpoint).values(values))
    assert found(begin, storage) == []


def test_an_endpoint_counts_from_its_last_change(
    begin: UnitOfWork, storage: Storage, project: Project, sample: SampleProject
) -> None:
    with begin() as session:
        session.execute(delete(Delivery).where(Delivery.endpoint_id == sample.endpoint))
        webhooks.update_endpoint(session, session.get_one(WebhookEndpoint, sample.endpoint), events=[])
    assert found(begin, storage) == []


def test_a_subject_that_is_erased_during_the_audit_is_no_violation(
    begin: UnitOfWork, storage: Storage, project: Project, sample: SampleProject
) -> None:
    with begin() as session:
        recorded = artefacts.recorded(session)
        erasure = erasures.erase_subject(session, project.id, sample.subject)
    assert erasure
    erasures.sweep(begin, storage, erasure.id)
    broken = list(artefacts.broken_objects(storage, recorded))
    assert {name for name in recorded if name.startswith("artefact")} < {name for name, _ in broken}
    with begin() as session:
        assert list(artefacts.still_recorded(session, recorded, broken)) == []


def test_an_audit_cannot_write(begin: UnitOfWork, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "CHECKS", (lambda session, bounds: session.execute(text("DELETE FROM jobs")),))
    with pytest.raises(InternalError, match="read-only transaction"):
        found(begin, storage)


def test_an_unavailable_storage_is_an_error_and_no_violation(settings: Settings) -> None:
    unavailable = Storage(settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:9"}))
    with pytest.raises(StorageError):
        list(artefacts.broken_objects(unavailable, {"art_1": StoredObject("projects/p/x", 1, "0" * 64)}))
