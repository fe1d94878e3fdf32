"""The table of workers that run jobs."""

from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import Moment, Row


class Worker(Row):
    """A process that takes jobs of `kinds` and has `model` loaded. It writes `seen_at` again and again while it lives.

    No project owns it: every project may use every worker.
    """

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(primary_key=True)
    kinds: Mapped[list[str]]  # `states.JobKind`
    model: Mapped[dict[str, Any]]
    seen_at: Mapped[Moment]
