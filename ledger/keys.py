"""API keys: `lipe_<id>_<secret><checksum>`.

The prefix lets secret scanners find a leaked key, the checksum refuses a mistyped one without a query, and the
database holds an HMAC only: who reads the table cannot call the API.
"""

import hashlib
import hmac
import secrets
from datetime import datetime
from typing import NamedTuple
from zlib import crc32

from sqlalchemy import bindparam, func, or_, select, update
from sqlalchemy.orm import Mapped, Session

from ledger.columns import Id, Moment, ProjectId
from ledger.compiled_statement import CompiledStatement, Where
from ledger.database import Row

ID_BYTES = 8
SECRET_BYTES = 32
CHECKSUM_DIGITS = 8
SCOPES = ("read", "write")


class Key(Row):
    """One API key. Two live keys at once allow rotation without a gap."""

    __tablename__ = "keys"

    id: Mapped[Id]
    project_id: Mapped[ProjectId]
    name: Mapped[str]
    digest: Mapped[bytes]
    scopes: Mapped[list[str]]
    created_at: Mapped[Moment]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Owner(NamedTuple):
    """A live key, as far as it is needed to let its holder in."""

    id: str
    project_id: str
    scopes: list[str]
    digest: bytes


def create(
    session: Session,
    pepper: str,
    project_id: str,
    name: str,
    *,
    scopes: tuple[str, ...] = SCOPES,
    expires_at: datetime | None = None,
) -> tuple[Key, str]:
    """The new row and the key itself, which nothing can show again."""
    identifier, secret = secrets.token_hex(ID_BYTES), secrets.token_hex(SECRET_BYTES)
    key = Key(
        id=identifier,
        project_id=project_id,
        name=name,
        digest=_digest(pepper, secret),
        scopes=list(scopes),
        expires_at=expires_at,
    )
    session.add(key)
    session.flush()
    return key, f"lipe_{identifier}_{secret}{_checksum(identifier, secret)}"


_LIVE = CompiledStatement(
    select(Key.id, Key.project_id, Key.scopes, Key.digest).where(
        Key.id == bindparam("of"), Key.revoked_at.is_(None), or_(Key.expires_at.is_(None), Key.expires_at > func.now())
    )
)


def authenticate(where: Where, pepper: str, token: str) -> Owner | None:
    """The live key that `token` is, or None."""
    parsed = _parse(token)
    if parsed is None:
        return None
    identifier, secret = parsed
    found = [Owner(*row) for row in _LIVE(where, of=identifier)]
    # The digest is computed and compared in any case: the answer's time tells nothing about which ids exist.
    matches = hmac.compare_digest(_digest(pepper, secret), found[0].digest if found else b"\0" * 32)
    return found[0] if matches else None


def revoke(session: Session, project_id: str, key_id: str) -> bool:
    """End a key at once; False if the project has no such live key."""
    mine = (Key.project_id == project_id, Key.id == key_id, Key.revoked_at.is_(None))
    return bool(
        session.scalars(update(Key).where(*mine).values(revoked_at=func.clock_timestamp()).returning(Key.id)).first()
    )


def of_project(session: Session, project_id: str) -> list[Key]:
    """The project's keys, oldest first, without the secrets (nobody has them)."""
    return list(session.scalars(select(Key).where(Key.project_id == project_id).order_by(Key.created_at)))


def _parse(token: str) -> tuple[str, str] | None:
    prefix, _, rest = token.partition("_")
    identifier, _, tail = rest.partition("_")
    secret, checksum = tail[:-CHECKSUM_DIGITS], tail[-CHECKSUM_DIGITS:]
    if prefix != "lipe" or not token.isascii() or checksum != _checksum(identifier, secret):
        return None
    return identifier, secret


def _checksum(identifier: str, secret: str) -> str:
    return f"{crc32(f'{identifier}_{secret}'.encode()):0{CHECKSUM_DIGITS}x}"


def _digest(pepper: str, secret: str) -> bytes:
    return hmac.digest(pepper.encode(), secret.encode(), hashlib.sha256)
