"""One request, one effect, however often it is sent.

All in the request's own transaction: an advisory lock stands for "in flight", so a process that dies leaves
nothing behind, and the answer is committed with what it reports or not at all.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ForeignKey, bindparam, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from ledger.columns import Moment
from ledger.database import Row, now


class InFlight(Exception):
    """The same key is being worked on at this moment: try again soon."""


class Mismatch(Exception):
    """The key was used before, with another request."""


@dataclass(frozen=True)
class Answer:
    """What was answered, to be sent again."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


class Request(Row):
    """An answered request. `fingerprint` is the SHA-256 over method, path and body."""

    __tablename__ = "idempotent_requests"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    status: Mapped[int]
    body: Mapped[dict[str, Any]]
    headers: Mapped[dict[str, str]]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    created_at: Mapped[Moment]


_RECALL = select(Request).where(Request.project_id == bindparam("of"), Request.key == bindparam("named"))


def recall(session: Session, project_id: str, key: str, fingerprint: bytes) -> Answer | None:
    """The stored answer, or None: then this transaction owns the key until it ends.

    Raises InFlight and Mismatch.
    """
    if not session.scalar(select(func.pg_try_advisory_xact_lock(_lock_number(project_id, key)))):
        raise InFlight(key)
    found = session.scalars(_RECALL, {"of": project_id, "named": key}).first()
    if found is None:
        return None
    if found.expires_at <= now(session):
        session.delete(found)
        session.flush()
        return None
    if found.fingerprint != fingerprint:
        raise Mismatch(key)
    return Answer(found.status, found.body, found.headers)


def remember(
    session: Session, project_id: str, key: str, fingerprint: bytes, answer: Answer, *, hours: float = 24
) -> None:
    """Store the answer in the transaction that `recall` began."""
    session.add(
        Request(
            project_id=project_id,
            key=key,
            fingerprint=fingerprint,
            status=answer.status,
            body=answer.body,
            headers=answer.headers,
            expires_at=func.clock_timestamp() + timedelta(hours=hours),
        )
    )
    session.flush()


def forget_expired(session: Session) -> int:
    """Delete answers that are too old; the number deleted."""
    old = delete(Request).where(Request.expires_at <= func.clock_timestamp()).returning(Request.key)
    return len(session.scalars(old).all())


def _lock_number(project_id: str, key: str) -> int:
    digest = hashlib.sha256(f"{project_id}\0{key}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
