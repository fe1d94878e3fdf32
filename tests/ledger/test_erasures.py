"""After an erasure no row and no object derived from the subject remains, except the record."""

from collections.abc import Callable

from sqlalchemy import func, select

from ledger import attempts, edits, erasures, idempotency, images, jobs, subjects
from ledger.artefacts import NewArtefact
from ledger.attempts import Claim
from ledger.database import UnitOfWork
from ledger.idempotency import Answer
from ledger.models import METADATA, Job, Project, Subject, new_id
from ledger.storage import Storage, StoredObject, attempt_prefix, image_prefix

REMAINING = {"projects": 1, "erasures": 1, "images": 1, "outbox": 1, "shares": 1, "usage": 1, "usage_by_kind": 1}
"""The edited image, a message that finds no job, and the project's GPU seconds, which name no subject."""


def test_nothing_of_the_subject_remains(
    begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, job: Job, claim: Callable[..., Claim]
) -> None:
    attempt = claim(job)
    prefix = attempt_prefix(project.id, job.id, attempt.epoch)
    reference = subject.references[0].image_id
    objects = [
        storage.put(prefix, "adapter.safetensors", b"weights", "application/octet-stream"),
        storage.put(image_prefix(project.id, reference), "image.png", b"reference", "image/png"),
    ]
    new_artefacts = [NewArtefact("adapter", "adapter.safetensors", "application/octet-stream", objects[0])]
    with begin() as session:
        attempts.finish(session, attempt, new_artefacts, resolved={}, metrics={}, manifest={})
        edited = storage.put(image_prefix(project.id, "img_test"), "image.png", b"test", "image/png")
        images.add(session, project.id, "img_test", edited, width=64, height=64)
        edit = edits.draft(
            project.id, subject_id=subject.id, prior_id=job.prior_id, image_id="img_test",
            target_prompts=["a photo of sks dog"],
        )  # fmt: skip
        session.add(edit)
        idempotency.remember(session, project.id, "key", b"", Answer(201, {"id": subject.id}))
    with begin() as session:
        erasure = erasures.erase_subject(session, project.id, subject.id)
        assert erasure
    erasures.sweep(begin, storage, erasure.id)
    with begin() as session:
        counts = {
            table.name: session.scalar(select(func.count()).select_from(table)) for table in METADATA.sorted_tables
        }
        assert erasures.list_unfinished(session) == []
    assert {name: count for name, count in counts.items() if count} == REMAINING
    assert list(storage.keys(f"projects/{project.id}/")) == [edited.key]


def test_an_answer_about_a_row_that_stays_does_not_name_what_was_erased(
    begin: UnitOfWork, storage: Storage, project: Project
) -> None:
    """A repeated request still gets it, and has no second effect."""
    image_id = new_id("img")
    stored = StoredObject(f"{image_prefix(project.id, image_id)}image.png", 1, "0" * 64)
    body = {"id": "sub_1", "references": [{"image_id": image_id}, {"image_id": "img_other"}]}
    with begin() as session:
        images.add(session, project.id, image_id, stored, width=64, height=64)
        idempotency.remember(session, project.id, "key", b"request", Answer(201, body))
    with begin() as session:
        erasure = erasures.erase_image(session, project.id, image_id)
        assert erasure
    erasures.sweep(begin, storage, erasure.id)
    with begin() as session:
        repeated = idempotency.recall(session, project.id, "key", b"request")
    assert repeated is not None
    assert repeated.body == {"id": "sub_1", "references": [{"image_id": "erased"}, {"image_id": "img_other"}]}


def test_an_image_that_another_subject_uses_stays(begin: UnitOfWork, project: Project, subject: Subject) -> None:
    with begin() as session:
        shared = images.get_many(session, project.id, [reference.image_id for reference in subject.references])[:1]
        subjects.create(session, project.id, name="Twin", class_noun="dog", token="twn", images=shared)
    with begin() as session:
        erasure = erasures.erase_subject(session, project.id, subject.id)
        assert erasure
        assert images.get(session, project.id, shared[0].id) is not None
    assert len(erasure.prefixes) == 2


def test_a_running_attempt_loses_its_job(
    begin: UnitOfWork, project: Project, subject: Subject, job: Job, claim: Callable[..., Claim]
) -> None:
    attempt = claim(job)
    with begin() as session:
        erasures.erase_subject(session, project.id, subject.id)
    with begin() as session:
        progress = attempts.Progress("training", 1, 9)
        assert attempts.renew(session, attempt, progress, lease_seconds=60) is attempts.Control.LOST
        assert not attempts.finish(session, attempt, [], resolved={}, metrics={})
        assert jobs.is_over(session, job.id)


def test_an_erasure_that_was_interrupted_is_finished_later(
    begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    with begin() as session:
        erasure = erasures.erase_subject(session, project.id, subject.id)
        assert erasure
    with begin() as session:
        assert erasures.list_unfinished(session) == [erasure.id]
    erasures.sweep(begin, storage, erasure.id)
    erasures.sweep(begin, storage, erasure.id)
    with begin() as session:
        assert erasures.list_unfinished(session) == []


def test_a_later_sweep_deletes_what_a_killed_worker_stored_after_the_first(
    begin: UnitOfWork, storage: Storage, project: Project, job: Job, claim: Callable[..., Claim]
) -> None:
    prefix = attempt_prefix(project.id, job.id, claim(job).epoch)
    with begin() as session:
        erasure = erasures.erase_subject(session, project.id, job.subject_id)
        assert erasure
    erasures.sweep(begin, storage, erasure.id, settle_seconds=60)
    storage.put(prefix, "adapter.safetensors", b"weights", "application/octet-stream")
    with begin() as session:
        assert erasures.list_unfinished(session) == [erasure.id]
    erasures.sweep(begin, storage, erasure.id, settle_seconds=0)
    assert list(storage.keys(prefix)) == []
    with begin() as session:
        assert erasures.list_unfinished(session) == []


def test_another_project_erases_nothing(begin: UnitOfWork, subject: Subject) -> None:
    with begin() as session:
        assert erasures.erase_subject(session, new_id("prj"), subject.id) is None
        assert subjects.get(session, subject.project_id, subject.id) is not None
