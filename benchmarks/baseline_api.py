"""What LIPE's API is measured beside: a FastAPI endpoint that writes one row and calls Celery's `delay()`, no more.

``uvicorn benchmarks.baseline_api:make_app --factory`` with BARE_DATABASE_URL and BARE_BROKER_URL.
"""

import os
from uuid import uuid4

from celery import Celery
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import create_engine
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

QUEUE = "bare"


class Base(DeclarativeBase):
    """Tables of their own, in the same database."""


class Order(Base):
    """The one row."""

    __tablename__ = "bare_orders"

    id: Mapped[str] = mapped_column(primary_key=True)
    body: Mapped[dict[str, object]] = mapped_column(JSONB)


class NewOrder(BaseModel):
    """What an edit must have."""

    subject_id: str
    image_id: str
    prompt: str


def make_app() -> FastAPI:
    """Over the environment's database and broker; makes its table."""
    engine = create_engine(os.environ["BARE_DATABASE_URL"], pool_size=10, max_overflow=10)
    Base.metadata.create_all(engine)
    celery = Celery("bare", broker=os.environ["BARE_BROKER_URL"], set_as_current=False)
    celery.conf.update(task_ignore_result=True, task_default_queue=QUEUE)
    app = FastAPI()

    @celery.task(name="bare.edit")
    def edit(identifier: str) -> None:
        raise NotImplementedError("no worker runs here")

    @app.post("/orders", status_code=202)
    def order(asked: NewOrder) -> dict[str, str]:
        row = Order(id=uuid4().hex, body=asked.model_dump())
        with Session(engine, expire_on_commit=False) as session:
            session.add(row)
            session.commit()
        edit.delay(row.id)
        return {"id": row.id, "status": "queued"}

    return app
