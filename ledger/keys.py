"""API keys: `lipe_<id>_<secret><checksum>`.

The prefix lets secret scanners find a leaked key, and the checksum refuses a mistyped one without a query. The database
stores only an HMAC, so reading the table does not give access to the API.

A key has one scope, which includes those before it: `read`, `write`, `admin`, `operator`. The first three are about the
key's project. `operator` also sees what belongs to no project; only `lipe keys` creates such a key, never the API.
"""

import hashlib
import hmac
import secrets
from datetime import datetime
from typing import Literal, NamedTuple, get_args
from zlib import crc32

from sqlalchemy import bindparam, func, literal, select, text, update
from sqlalchemy.orm import Session

from ledger.compiled_statement import CompiledStatement, SessionOrConnection
from ledger.models import ApiKey
from ledger.pages import Page, Window, newest

ID_BYTES = 8
SECRET_BYTES = 32
CHECKSUM_DIGITS = 8
ProjectScope = Literal["read", "write", "admin"]
Scope = Literal["read", "write", "admin", "operator"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
USE_PRECISION = text("interval '1 minute'")
"""Uses within this time of the recorded one are not recorded: otherwise each request would write a row."""


class Owner(NamedTuple):
    """The fields of a key that authentication needs. `is_recent`: its last use is recorded."""

    id: str
    project_id: str
    scopes: list[str]
    digest: bytes
    expires_at: datetime | None
    is_expired: bool
    is_revoked: bool
    is_recent: bool


def scopes_of(scope: Scope) -> list[Scope]:
    """The scope and those that it includes."""
    return list(SCOPES[: SCOPES.index(scope) + 1])


def widest_scope(key: ApiKey) -> Scope:
    """The scope that the key was created with."""
    return [scope for scope in SCOPES if scope in key.scopes][-1]


def create(
    session: Session,
    pepper: str,
    project_id: str,
    name: str,
    *,
    scope: Scope,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Create a key; return its row and the key itself, which cannot be recovered later."""
    identifier, secret = secrets.token_hex(ID_BYTES), secrets.token_hex(SECRET_BYTES)
    key = ApiKey(
        id=identifier,
        project_id=project_id,
        name=name,
        digest=_digest(pepper, secret),
        scopes=[*scopes_of(scope)],
        expires_at=expires_at,
    )
    session.add(key)
    session.flush()
    return key, f"lipe_{identifier}_{secret}{_checksum(identifier, secret)}"


_BY_ID = CompiledStatement(
    select(
        ApiKey.id,
        ApiKey.project_id,
        ApiKey.scopes,
        ApiKey.digest,
        ApiKey.expires_at,
        func.coalesce(ApiKey.expires_at <= func.now(), literal(False)),
        ApiKey.revoked_at.is_not(None),
        func.coalesce(ApiKey.last_used_at > func.now() - USE_PRECISION, literal(False)),
    ).where(ApiKey.id == bindparam("key_id"))
)
_RECORD_USE = CompiledStatement(
    update(ApiKey).where(ApiKey.id == bindparam("key_id")).values(last_used_at=func.clock_timestamp())
)


def authenticate(on: SessionOrConnection, pepper: str, token: str) -> Owner | None:
    """Return the live key that `token` spells, or None. The use is recorded, to the minute."""
    key = _owner(on, pepper, token)
    if key is None or key.is_expired or key.is_revoked:
        return None
    if not key.is_recent:
        _RECORD_USE(on, key_id=key.id)
    return key


def reason_of_refusal(on: SessionOrConnection, pepper: str, token: str) -> str:
    """The reason why `authenticate` returned None: an expired or revoked key is named only to its holder."""
    key = _owner(on, pepper, token)
    if key is None:
        return "the API key is wrong"
    if key.is_revoked:
        return "the API key is revoked"
    return f"the API key has expired (at {key.expires_at:%Y-%m-%d %H:%M} UTC)"


def _owner(on: SessionOrConnection, pepper: str, token: str) -> Owner | None:
    parsed = _parse(token)
    if parsed is None:
        return None
    identifier, secret = parsed
    found = [Owner(*row) for row in _BY_ID(on, key_id=identifier)]
    # The digest is always computed and compared, so that timing does not reveal which ids exist.
    matches = hmac.compare_digest(_digest(pepper, secret), found[0].digest if found else b"\0" * 32)
    return found[0] if matches else None


def revoke(session: Session, project_id: str, key_id: str) -> bool:
    """Revoke a key immediately; False if the project has no such live key."""
    mine = (ApiKey.project_id == project_id, ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
    revocation = update(ApiKey).where(*mine).values(revoked_at=func.clock_timestamp())
    return session.scalars(revocation.returning(ApiKey.id)).first() is not None


def get(session: Session, project_id: str, key_id: str) -> ApiKey | None:
    """One key of the project, live or not, or None."""
    return session.scalars(select(ApiKey).where(ApiKey.project_id == project_id, ApiKey.id == key_id)).first()


def of_project(session: Session, project_id: str) -> list[ApiKey]:
    """The project's keys, oldest first, with those that expired or were revoked. The secrets are not stored."""
    return list(session.scalars(select(ApiKey).where(ApiKey.project_id == project_id).order_by(ApiKey.created_at)))


def listing(session: Session, project_id: str, window: Window) -> Page[ApiKey]:
    """One page of the project's keys, newest first."""
    return newest(session, select(ApiKey).where(ApiKey.project_id == project_id), ApiKey, window)


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
