"""The tables of workers that run jobs, and of their base models."""

from typing import Any

from sqlalchemy import BigInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import Moment, Row


class Worker(Row):
    """A process that takes jobs of `kinds` and has `model` loaded. It writes `seen_at` again and again while it lives.

    `gpu` is the name of its GPU, None for a worker on the CPU. `adapters` are the SHA-256 of those in its memory.
    No project owns a worker: every project may use every worker.
    """

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(primary_key=True)
    kinds: Mapped[list[str]]  # `states.JobKind`
    model: Mapped[dict[str, Any]]
    host: Mapped[str] = mapped_column(server_default=text("''"))
    version: Mapped[str] = mapped_column(server_default=text("''"))
    gpu: Mapped[str | None]
    gpu_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    adapters: Mapped[list[str]] = mapped_column(server_default=text("'[]'"))
    is_draining: Mapped[bool] = mapped_column(server_default=text("false"))
    seen_at: Mapped[Moment]


class KnownModel(Row):
    """A base model that a worker has loaded, now or before: the fingerprint of its weights, and how it is called."""

    __tablename__ = "base_models"

    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    family: Mapped[str]
    created_at: Mapped[Moment]
