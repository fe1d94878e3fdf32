"""The outbox: messages to the workers, written in the transaction of the work that they are about.

After the commit the program calls `publish_one`. If the broker is unavailable the entry stays, and the dispatcher's
`publish` sends it later. A message that is sent twice does no harm: the second claim finds nothing to do.
"""

from collections.abc import Callable

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from ledger.compiled_statement import CompiledStatement, SessionOrConnection
from ledger.database import Autocommit, UnitOfWork
from ledger.models import OutboxEntry

_REMOVE = CompiledStatement(delete(OutboxEntry).where(OutboxEntry.identifier == bindparam("of")))


def entry(topic: str, identifier: str) -> OutboxEntry:
    """A message about `identifier` to the workers of `topic`; the caller writes it."""
    return OutboxEntry(topic=topic, identifier=identifier)


def add(session: Session, topic: str, identifier: str) -> None:
    """Write a message about `identifier` to the workers of `topic`."""
    session.add(entry(topic, identifier))


def remove(on: SessionOrConnection, identifier: str) -> None:
    """Delete the entry after its message was sent."""
    _REMOVE(on, of=identifier)


def publish_one(connect: Autocommit, notify: Callable[[str, str], bool], topic: str, identifier: str) -> None:
    """Send the message of an entry that was just committed, and delete the entry if the broker took the message."""
    if notify(topic, identifier):
        with connect() as connection:
            remove(connection, identifier)


def due(session: Session, limit: int = 100) -> list[OutboxEntry]:
    """Lock and return the oldest entries; skips those that another dispatcher has locked."""
    oldest = select(OutboxEntry).order_by(OutboxEntry.id).limit(limit)
    return list(session.scalars(oldest.with_for_update(skip_locked=True)))


def mark_published(session: Session, entries: list[OutboxEntry]) -> None:
    """Delete entries whose messages were sent."""
    session.execute(delete(OutboxEntry).where(OutboxEntry.id.in_([entry.id for entry in entries])))


def publish(begin: UnitOfWork, notify: Callable[[str, str], bool], *, limit: int = 100) -> int:
    """Send the messages of the oldest entries and delete these; return their number.

    Stops at the first failure: the broker is then unavailable for all of them.
    """
    with begin() as session:
        sent = []
        for entry in due(session, limit):
            if not notify(entry.topic, entry.identifier):
                break
            sent.append(entry)
        mark_published(session, sent)
        return len(sent)
