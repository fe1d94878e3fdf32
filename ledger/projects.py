"""Projects: the owners of everything else. Made by the CLI."""

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session

from ledger.columns import Id, Moment
from ledger.database import Row, new_id
from ledger.webhook_secrets import new_secret


class Project(Row):
    """One tenant. `webhook_secrets` (newest first) sign what goes to a request's own `webhook_url`."""

    __tablename__ = "projects"

    id: Mapped[Id]
    name: Mapped[str]
    webhook_secrets: Mapped[list[str]]
    created_at: Mapped[Moment]


def create(session: Session, name: str) -> Project:
    """A new project with a webhook secret of its own."""
    project = Project(id=new_id("prj"), name=name, webhook_secrets=[new_secret()])
    session.add(project)
    session.flush()
    return project


def get(session: Session, project_id: str) -> Project | None:
    """The project, if there is one."""
    return session.get(Project, project_id)


def by_name(session: Session, name: str) -> Project | None:
    """The oldest project of that name."""
    query = select(Project).where(Project.name == name).order_by(Project.created_at).limit(1)
    return session.scalars(query).first()


def everything(session: Session) -> list[Project]:
    """All projects, oldest first. For the operator's CLI only."""
    return list(session.scalars(select(Project).order_by(Project.created_at)))
