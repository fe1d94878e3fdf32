"""One statement writes rows of several tables."""

from sqlalchemy import func, select

from ledger import bulk_insert, outbox
from ledger.database import UnitOfWork
from ledger.models import OutboxEntry, Prior, Project, Subject, new_id


def test_the_row_has_the_defaults_of_the_database(begin: UnitOfWork, project: Project, subject: Subject) -> None:
    prior = Prior(id=new_id("pri"), project_id=project.id, subject_id=subject.id, manifest={"base": ["ä", None, 1.5]})
    with begin() as session:
        written = bulk_insert.write(session, prior, outbox.entry("lipe.prior", prior.id))
        assert (written.created_at is None, written.adapter_key) == (False, None)
        known = written.created_at
    with begin() as session:
        found = session.get_one(Prior, prior.id)
        assert (found.created_at, found.manifest, found.ready_at) == (known, {"base": ["ä", None, 1.5]}, None)
        assert session.scalars(select(OutboxEntry.identifier)).all() == [prior.id]


def test_the_written_row_belongs_to_the_session(begin: UnitOfWork, project: Project, subject: Subject) -> None:
    with begin() as session:
        prior = bulk_insert.write(session, Prior(id=new_id("pri"), project_id=project.id, subject_id=subject.id))
        prior.adapter_key = "a key"
    with begin() as session:
        assert session.get_one(Prior, prior.id).adapter_key == "a key"
        assert session.scalar(select(func.count()).select_from(Prior)) == 1
