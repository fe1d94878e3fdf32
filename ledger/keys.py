"""API keys: `lipe_<id>_<secret><checksum>`.

The prefix lets secret scanners find a leaked key, and the checksum refuses a mistyped one without a query. The database
stores only an HMAC, so reading the table does not give access to the API.
"""

import hashlib
import hmac
import secrets
from datetime import datetime
from typing import NamedTuple
from zlib import crc32

from sqlalchemy import bindparam, func, or_, select, update
from sqlalchemy.orm import Session

from ledger.compiled_statement import CompiledStatement, SessionOrConnection
from ledger.models import ApiKey

ID_BYTES = 8
SECRET_BYTES = 32
CHECKSUM_DIGITS = 8
SCOPES = ("read", "write")


class Owner(NamedTuple):
    """The fields of a live key that authentication needs."""

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
) -> tuple[ApiKey, str]:
    """Create a key; return its row and the key itself, which cannot be recovered later."""
    identifier, secret = secrets.token_hex(ID_BYTES), secrets.token_hex(SECRET_BYTES)
    key = ApiKey(
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
    select(ApiKey.id, ApiKey.project_id, ApiKey.scopes, ApiKey.digest).where(
        ApiKey.id == bindparam("key_id"),
        ApiKey.revoked_at.is_(None),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()),
    )
)


def authenticate(on: SessionOrConnection, pepper: str, token: str) -> Owner | None:
    """Return the live key that `token` spells, or None."""
    parsed = _parse(token)
    if parsed is None:
        return None
    identifier, secret = parsed
    found = [Owner(*row) for row in _LIVE(on, key_id=identifier)]
    # The digest is always computed and compared, so that timing does not reveal which ids exist.
    matches = hmac.compare_digest(_digest(pepper, secret), found[0].digest if found else b"\0" * 32)
    return found[0] if matches else None


def revoke(session: Session, project_id: str, key_id: str) -> bool:
    """Revoke a key immediately; False if the project has no such live key."""
    mine = (ApiKey.project_id == project_id, ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
    revocation = update(ApiKey).where(*mine).values(revoked_at=func.clock_timestamp())
    return session.scalars(revocation.returning(ApiKey.id)).first() is not None


def of_project(session: Session, project_id: str) -> list[ApiKey]:
    """The project's keys, oldest first. The secrets are not stored."""
    return list(session.scalars(select(ApiKey).where(ApiKey.project_id == project_id).order_by(ApiKey.created_at)))


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
