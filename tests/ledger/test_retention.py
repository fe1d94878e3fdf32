"""Retention erases what the settings name and nothing else, and not by default."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from benchmarks.finished_jobs import fill
from ledger import erasures, retention, studies
from ledger.audit import audit
from ledger.database import UnitOfWork, now
from ledger.models import Artefact, Edit, Erasure, Image, Job, Prior, Project, Study, Subject
from ledger.settings import Settings
from ledger.storage import Storage
from ledger.study_items import NewImage, NewItem
from ledger.study_plan import Shape
from tests.support.factories import put_image
from tests.support.rows import make_image, make_subject
from tests.support.sample_project import SampleProject, make_sample_project

AGED = (Job, Edit, Prior, Image)


@pytest.fixture
def sample(begin: UnitOfWork, storage: Storage, project: Project) -> SampleProject:
    """A project with jobs in every state, whose rows are all 10 days old, and with an image that nothing uses."""
    made = make_sample_project(begin, storage, project)
    put_image(begin, storage, project, 7)
    with begin() as session:
        for table in AGED:
            session.execute(update(table).values(created_at=table.created_at - timedelta(days=10)))
        session.execute(update(Job).values(finished_at=Job.finished_at - timedelta(days=10)))
    return made


def kept(settings: Settings, **days: float) -> Settings:
    return settings.model_copy(update={f"retention_{kind}_days": value for kind, value in days.items()})


def erased(begin: UnitOfWork, settings: Settings) -> list[str]:
    with begin() as session:
        old = retention.list_old(session, settings)
    assert retention.erase_old(begin, settings) == len(old)
    with begin() as session:
        assert not set(retention.list_old(session, settings)) & set(old)
    return [one.kind for one in old]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ({}, []),
        ({"edit": 11, "image": 11, "failed_prior": 11}, []),
        ({"edit": 9}, ["edit"]),
        ({"image": 9}, ["image"]),
        ({"failed_prior": 9}, ["prior"]),
    ],
)
def test_only_what_is_old_enough_is_erased(
    begin: UnitOfWork, dispatcher_begin: UnitOfWork, storage: Storage, settings: Settings, sample: SampleProject,
    days: dict[str, float], expected: list[str],
) -> None:  # fmt: skip
    assert erased(dispatcher_begin, kept(settings, **days)) == expected
    with begin() as session:
        assert len(session.scalars(select(Subject)).all()) == 1
        assert session.scalars(select(Prior).where(Prior.ready_at.is_not(None))).all()
        assert session.get(Job, sample.waiting)
        assert bool(session.get(Job, sample.edited)) is (expected != ["edit"])
    assert not audit(begin, storage, patience=timedelta(hours=1), key_lifetime=timedelta(days=1))


def test_a_new_attempt_keeps_an_old_edit(
    begin: UnitOfWork, dispatcher_begin: UnitOfWork, settings: Settings, sample: SampleProject
) -> None:
    with begin() as session:
        session.execute(update(Job).where(Job.id == sample.edited).values(finished_at=now(session)))
    assert erased(dispatcher_begin, kept(settings, edit=9)) == []


def test_an_image_becomes_free_with_its_edit(
    begin: UnitOfWork, dispatcher_begin: UnitOfWork, settings: Settings, sample: SampleProject
) -> None:
    every: Any = kept(settings, edit=9, image=9)
    assert sorted(erased(dispatcher_begin, every)) == ["edit", "image"]
    assert erased(dispatcher_begin, every) == ["image"]


def test_edits_are_erased_in_batches_with_one_record_each(
    begin: UnitOfWork, dispatcher_begin: UnitOfWork, settings: Settings, project: Project,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with begin() as session:
        subject, image = make_subject(session, project.id), make_image(session, project.id)
        fill(session, project.id, subject.id, image.id, 25)
    monkeypatch.setattr(retention, "LIMIT", 10)
    old = kept(settings, edit=1e-9)
    assert retention.erase_old(dispatcher_begin, old) == 10
    assert retention.erase_old(dispatcher_begin, old, seconds=3600.0) == 15
    with begin() as session:
        assert not session.scalars(select(Edit)).all()
        assert not session.scalars(select(Job)).all()
        assert sorted(len(record.prefixes) for record in session.scalars(select(Erasure))) == [5, 10, 10]


def make_study(session: Session, project_id: str, edit_id: str, image_id: str) -> Study:
    """A study that shows a result of an edit and an image."""
    artefact = session.scalars(
        select(Artefact.id).join(Job, Job.id == Artefact.job_id).where(Job.edit_id == edit_id, Artefact.role == "image")
    ).first()
    results = {"a": NewImage(edit_id=edit_id, artefact_id=artefact), "b": NewImage(image_id=image_id)}
    return studies.create(
        session, project_id, "Dogs", [NewItem("a dog", results)], questions=["identity"], shape=Shape(1, 0, 0),
        max_raters=1, exclusion={},
    )  # fmt: skip


def test_a_study_keeps_its_edits_and_images_until_it_is_erased(
    begin: UnitOfWork, dispatcher_begin: UnitOfWork, storage: Storage, settings: Settings, sample: SampleProject,
    project: Project,
) -> None:  # fmt: skip
    with begin() as session:
        edit_id = session.get_one(Job, sample.edited).edit_id
        assert edit_id is not None
        image_id = next(one.id for one in retention.list_old(session, kept(settings, image=9)))
        study_id = make_study(session, project.id, edit_id, image_id).id
    days = {"edit": 9, "image": 9, "study": 9}
    assert erased(dispatcher_begin, kept(settings, **days)) == []
    with begin() as session:
        studies.close(session, project.id, study_id)
    assert erased(dispatcher_begin, kept(settings, **days)) == []  # it was closed just now
    with begin() as session:
        session.execute(update(Study).values(closed_at=Study.closed_at - timedelta(days=10)))
    assert erased(dispatcher_begin, kept(settings, **days)) == ["study"]
    assert sorted(erased(dispatcher_begin, kept(settings, **days))) == ["edit", "image"]
    assert not audit(begin, storage, patience=timedelta(hours=1), key_lifetime=timedelta(days=1))


def test_the_dispatcher_erases_an_item_with_the_subject_that_it_shows(
    begin: UnitOfWork, dispatcher_begin: UnitOfWork, sample: SampleProject, project: Project
) -> None:
    """It erases subjects when a consent has ended, under a role of few rights."""
    with begin() as session:
        job = session.get_one(Job, sample.edited)
        assert job.edit_id is not None
        subject_id = job.subject_id
        image_id = make_image(session, project.id).id
        study_id = make_study(session, project.id, job.edit_id, image_id).id
    with dispatcher_begin() as session:
        erasure = erasures.erase_subject(session, project.id, subject_id)
        assert erasure is not None
        assert {study_id, image_id} <= set(erasure.erased)
    with begin() as session:
        assert session.scalars(select(Study)).all() == []
