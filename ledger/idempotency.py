"""One request, one effect, however often it is sent.

All in the request's own transaction: an advisory lock stands for "in flight", so a process that dies leaves
nothing behind, and the answer is committed with what it reports or not at all.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from psycopg.errors import UniqueViolation
from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Insert,
    Interval,
    Table,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from ledger.columns import Moment
from ledger.compiled_statement import CompiledStatement
from ledger.database import Row


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


def _remember() -> Insert:
    row: dict[str, Any] = {
        "project_id": bindparam("of"),
        "key": bindparam("named"),
        "fingerprint": bindparam("print"),
        "status": bindparam("code"),
        "body": bindparam("told"),
        "headers": bindparam("fields"),
        "expires_at": func.clock_timestamp() + bindparam("lifetime", type_=Interval),
    }
    return insert(cast(Table, Request.__table__)).values(row)


_MINE = (Request.project_id == bindparam("of"), Request.key == bindparam("named"))
_LOCK_AND_RECALL = CompiledStatement(
    select(
        func.pg_try_advisory_xact_lock(bindparam("number", type_=BigInteger)),
        Request.fingerprint, Request.status, Request.body, Request.headers,
        Request.expires_at <= func.clock_timestamp(),
    ).select_from(select(literal(1)).subquery()).outerjoin(Request, and_(*_MINE))
)  # fmt: skip
_FORGET = CompiledStatement(delete(Request).where(*_MINE))
_REMEMBER = CompiledStatement(_remember())


def recall(session: Session, project_id: str, key: str, fingerprint: bytes) -> Answer | None:
    """The stored answer, or None: then this transaction owns the key until it ends.

    Raises InFlight and Mismatch.
    """
    number = _lock_number(project_id, key)
    ((is_mine, known, status, body, headers, is_over),) = _LOCK_AND_RECALL(
        session, number=number, of=project_id, named=key
    )
    if not is_mine:
        raise InFlight(key)
    if known is None:
        return None
    if is_over:
        _FORGET(session, of=project_id, named=key)
        return None
    if known != fingerprint:
        raise Mismatch(key)
    return Answer(status, body, headers)


def remember(
    session: Session, project_id: str, key: str, fingerprint: bytes, answer: Answer, *, hours: float = 24
) -> None:
    """Store the answer in the transaction that `recall` began.

    Raises InFlight where another one stored its own between `recall`'s look at the table and its lock.
    """
    session.flush()
    try:
        _REMEMBER(
            session,
            of=project_id,
            named=key,
            print=fingerprint,
            code=answer.status,
            told=answer.body,
            fields=answer.headers,
            lifetime=timedelta(hours=hours),
        )
    except UniqueViolation as error:
        raise InFlight(key) from error


def forget_expired(session: Session) -> int:
    """Delete answers that are too old; the number deleted."""
    old = delete(Request).where(Request.expires_at <= func.clock_timestamp()).returning(Request.key)
    return len(session.scalars(old).all())


def _lock_number(project_id: str, key: str) -> int:
    digest = hashlib.sha256(f"{project_id}\0{key}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
