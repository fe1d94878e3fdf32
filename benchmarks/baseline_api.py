"""The baseline of LIPE's API: a FastAPI endpoint that inserts one row and calls Celery's `delay()`.

``uvicorn benchmarks.baseline_api:make_app --factory`` with BASELINE_DATABASE_URL and BASELINE_BROKER_URL.
"""

import os
from uuid import uuid4

from celery import Celery
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import create_engine
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

QUEUE = "baseline"


class Base(DeclarativeBase):
    """Metadata of its own, beside LIPE's tables in the same database."""


class BaselineEdit(Base):
    """The row of one request."""

    __tablename__ = "baseline_edits"

    id: Mapped[str] = mapped_column(primary_key=True)
    body: Mapped[dict[str, object]] = mapped_column(JSONB)


class NewEdit(BaseModel):
    """The required fields of an edit."""

    subject_id: str
    image_id: str
    prompt: str


def make_app() -> FastAPI:
    """The application; it connects to the database and broker of the environment, and creates its table."""
    engine = create_engine(os.environ["BASELINE_DATABASE_URL"], pool_size=10, max_overflow=10)
    Base.metadata.create_all(engine)
    celery = Celery("baseline", broker=os.environ["BASELINE_BROKER_URL"], set_as_current=False)
    celery.conf.update(task_ignore_result=True, task_default_queue=QUEUE)
    app = FastAPI()

    @celery.task(name="baseline.edit")  # type: ignore[untyped-decorator] # Celery has no types
    def edit(identifier: str) -> None:
        raise NotImplementedError("no worker runs here")

    @app.post("/edits", status_code=202)
    def create_edit(body: NewEdit) -> dict[str, str]:
        row = BaselineEdit(id=uuid4().hex, body=body.model_dump())
        with Session(engine, expire_on_commit=False) as session:
            session.add(row)
            session.commit()
        edit.delay(row.id)
        return {"id": row.id, "status": "queued"}

    return app
