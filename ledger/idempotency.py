"""Idempotency keys: a request that is sent several times has one effect.

Everything happens in the request's own transaction. An advisory lock marks a key as in flight, so a process that dies
leaves no lock behind. The stored answer is committed together with the rows that it reports.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from psycopg.errors import UniqueViolation
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Insert,
    Interval,
    String,
    Table,
    and_,
    any_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    literal_column,
    select,
)
from sqlalchemy import cast as cast_to
from sqlalchemy.orm import Session

from ledger.compiled_statement import CompiledStatement
from ledger.models import IdempotentRequest


class InFlight(Exception):
    """Another request with this key is in progress: try again soon."""


class Mismatch(Exception):
    """The key was used before with another request."""


@dataclass(frozen=True)
class Answer:
    """An answer that can be sent again."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


ERASED = "erased"
REPORTED = IdempotentRequest.body[literal_column("'id'")].astext
"""The id of the row that an answer reports, as the index has it: not as a parameter, which no generic plan matches."""


def _remember() -> Insert:
    row: dict[str, Any] = {
        "project_id": bindparam("project"),
        "key": bindparam("request_key"),
        "fingerprint": bindparam("request_fingerprint"),
        "status": bindparam("answer_status"),
        "body": bindparam("answer_body"),
        "headers": bindparam("answer_headers"),
        "expires_at": func.clock_timestamp() + bindparam("lifetime", type_=Interval),
    }
    return insert(cast(Table, IdempotentRequest.__table__)).values(row)


_MINE = (
    IdempotentRequest.project_id == bindparam("project"),
    IdempotentRequest.key == bindparam("request_key"),
)
_LOCK_AND_RECALL = CompiledStatement(
    select(
        func.pg_try_advisory_xact_lock(bindparam("lock_number", type_=BigInteger)),
        IdempotentRequest.fingerprint, IdempotentRequest.status, IdempotentRequest.body, IdempotentRequest.headers,
        IdempotentRequest.expires_at <= func.clock_timestamp(),
    ).select_from(select(literal(1)).subquery()).outerjoin(IdempotentRequest, and_(*_MINE))
)  # fmt: skip
_FORGET = CompiledStatement(delete(IdempotentRequest).where(*_MINE))
_REMEMBER = CompiledStatement(_remember())


def recall(session: Session, project_id: str, key: str, fingerprint: bytes) -> Answer | None:
    """Return the stored answer, or None: then this transaction holds the key until it ends.

    Raises InFlight and Mismatch.
    """
    number = _lock_number(project_id, key)
    ((is_locked, known, status, body, headers, is_expired),) = _LOCK_AND_RECALL(
        session, lock_number=number, project=project_id, request_key=key
    )
    if not is_locked:
        raise InFlight(key)
    if known is None:
        return None
    if is_expired:
        _FORGET(session, project=project_id, request_key=key)
        return None
    if known != fingerprint:
        raise Mismatch(key)
    return Answer(status, body, headers)


def remember(
    session: Session, project_id: str, key: str, fingerprint: bytes, answer: Answer, *, hours: float = 24
) -> None:
    """Store the answer in the transaction that `recall` began.

    Raises InFlight if another transaction stored an answer after `recall` had read the table.
    """
    session.flush()
    try:
        _REMEMBER(
            session,
            project=project_id,
            request_key=key,
            request_fingerprint=fingerprint,
            answer_status=answer.status,
            answer_body=answer.body,
            answer_headers=answer.headers,
            lifetime=timedelta(hours=hours),
        )
    except UniqueViolation as error:
        raise InFlight(key) from error


def forget_expired(session: Session) -> int:
    """Delete the expired answers; return their number."""
    # The time of the statement is a constant for the planner, so that the index is used.
    expired = delete(IdempotentRequest).where(IdempotentRequest.expires_at <= func.statement_timestamp())
    return len(session.scalars(expired.returning(IdempotentRequest.key)).all())


def forget(session: Session, project_id: str, ids: Sequence[str]) -> None:
    """Delete the answers that report these rows. The same requests with the same keys then have an effect again.

    An answer about a row that stays is kept, also if it names one of these: see `redact`.
    """
    mine = (IdempotentRequest.project_id == project_id, any_(literal(list(ids), ARRAY(String))) == REPORTED)
    session.execute(delete(IdempotentRequest).where(*mine))


def redact(session: Session, project_id: str, ids: Sequence[str]) -> None:
    """Let answers about rows that stay say "erased" instead of these ids. It reads all answers of the project."""
    mine = IdempotentRequest.project_id == project_id
    for answer in session.scalars(select(IdempotentRequest).where(mine, names_one_of(ids)).with_for_update()):
        text = json.dumps(answer.body)
        for erased in ids:
            text = text.replace(f'"{erased}"', f'"{ERASED}"')
        answer.body = json.loads(text)


def names_one_of(ids: Sequence[str]) -> ColumnElement[bool]:
    """Whether the answer of a row names one of these rows anywhere."""
    return cast_to(IdempotentRequest.body, String).like(any_(literal([f'%"{one}"%' for one in ids], ARRAY(String))))


def _lock_number(project_id: str, key: str) -> int:
    digest = hashlib.sha256(f"{project_id}\0{key}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
