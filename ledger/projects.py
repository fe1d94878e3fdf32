"""Projects: the tenants, which own all other rows. The CLI creates them."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import Project, new_id
from ledger.webhook_secrets import new_secret


@dataclass(frozen=True)
class ResultDefaults:
    """The kind of results, "archival" or "published", and whether published ones have a visible label."""

    result_kind: str
    visible_label: bool


def create(session: Session, name: str) -> Project:
    """Create a project with a webhook secret of its own."""
    project = Project(id=new_id("prj"), name=name, webhook_secrets=[new_secret()])
    session.add(project)
    session.flush()
    return project


def get(session: Session, project_id: str) -> Project | None:
    """The project, or None."""
    return session.get(Project, project_id)


def result_defaults(session: Session, project_id: str) -> ResultDefaults:
    """The defaults of the project's edits. The database role of the workers may read no more of it."""
    query = select(Project.result_kind, Project.visible_label).where(Project.id == project_id)
    return ResultDefaults(*session.execute(query).one())


def listing(session: Session) -> list[Project]:
    """All projects, oldest first."""
    return list(session.scalars(select(Project).order_by(Project.created_at)))


def by_name(session: Session, name: str) -> Project | None:
    """The oldest project of that name, or None."""
    query = select(Project).where(Project.name == name).order_by(Project.created_at).limit(1)
    return session.scalars(query).first()
