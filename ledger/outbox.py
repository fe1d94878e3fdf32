"""Doorbells that are still to be rung, written in the transaction of the work they announce.

Submit: commit, then `announce` the entry just written. If the broker is away the entry stays, and the
dispatcher's `publish` rings later. An entry rung twice costs nothing: the claim refuses the second.
"""

from collections.abc import Callable

from sqlalchemy import BigInteger, Identity, bindparam, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from ledger.columns import Moment
from ledger.compiled_statement import CompiledStatement, Where
from ledger.database import Autocommit, Row, UnitOfWork


class Entry(Row):
    """`topic` is the task's name, `identifier` the job's or delivery's id."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    topic: Mapped[str]
    identifier: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[Moment]


_RUNG = CompiledStatement(delete(Entry).where(Entry.identifier == bindparam("of")))
_KEPT = CompiledStatement(update(Entry).where(Entry.identifier == bindparam("of")).values(topic=Entry.topic))


def entry(topic: str, identifier: str) -> Entry:
    """An announcement of `identifier` to the workers of `topic`, still to be written."""
    return Entry(topic=topic, identifier=identifier)


def add(session: Session, topic: str, identifier: str) -> None:
    """Announce `identifier` to the workers of `topic` after this transaction."""
    session.add(entry(topic, identifier))


def rung(where: Where, identifier: str) -> None:
    """Forget the entry of which the caller has rung."""
    _RUNG(where, of=identifier)


def kept(where: Where, identifier: str) -> None:
    """Leave the entry, if it is still there, to the dispatcher.

    Writes it again: a commit that waits for the disk takes all commits before it to the disk, and an entry that is
    gone was taken away by one. So whoever commits this or `rung` knows that the entry's transaction is safe, too.
    """
    _KEPT(where, of=identifier)


def announce(look: Autocommit, ring: Callable[[str, str], bool], topic: str, identifier: str) -> None:
    """Ring for the entry that was just committed; afterwards it is on the disk. `look` commits by the statement."""
    settle = rung if ring(topic, identifier) else kept
    with look() as connection:
        settle(connection, identifier)


def due(session: Session, limit: int = 100) -> list[Entry]:
    """The oldest entries, locked; those that another dispatcher holds are passed over."""
    return list(session.scalars(select(Entry).order_by(Entry.id).limit(limit).with_for_update(skip_locked=True)))


def mark_published(session: Session, entries: list[Entry]) -> None:
    """Forget entries that were rung."""
    session.execute(delete(Entry).where(Entry.id.in_([entry.id for entry in entries])))


def publish(begin: UnitOfWork, ring: Callable[[str, str], bool], *, limit: int = 100) -> int:
    """Ring for what waits; the number rung. Stops at the first failure: the broker is away for all of them."""
    with begin() as session:
        done = []
        for entry in due(session, limit):
            if not ring(entry.topic, entry.identifier):
                break
            done.append(entry)
        mark_published(session, done)
        return len(done)
