"""Doorbells that are still to be rung, written in the transaction of the work they announce.

Submit: commit, then `publish` for the entry just written. If the broker is away the entry stays, and the
dispatcher's `publish` rings later. An entry rung twice costs nothing: the claim refuses the second.
"""

from collections.abc import Callable

from sqlalchemy import BigInteger, Identity, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from ledger.columns import Moment
from ledger.database import Row, UnitOfWork


class Entry(Row):
    """`topic` is the task's name, `identifier` the job's or delivery's id."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    topic: Mapped[str]
    identifier: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[Moment]


def add(session: Session, topic: str, identifier: str) -> None:
    """Announce `identifier` to the workers of `topic` after this transaction."""
    session.add(Entry(topic=topic, identifier=identifier))


def due(session: Session, limit: int = 100, *, identifier: str | None = None) -> list[Entry]:
    """The oldest entries (of one identifier), locked; those that another dispatcher holds are passed over."""
    query = select(Entry).order_by(Entry.id).limit(limit).with_for_update(skip_locked=True)
    return list(session.scalars(query if identifier is None else query.where(Entry.identifier == identifier)))


def mark_published(session: Session, entries: list[Entry]) -> None:
    """Forget entries that were rung."""
    session.execute(delete(Entry).where(Entry.id.in_([entry.id for entry in entries])))


def publish(
    begin: UnitOfWork, ring: Callable[[str, str], bool], *, limit: int = 100, identifier: str | None = None
) -> int:
    """Ring for what waits; the number rung. Stops at the first failure: the broker is away for all of them."""
    with begin() as session:
        rung = []
        for entry in due(session, limit, identifier=identifier):
            if not ring(entry.topic, entry.identifier):
                break
            rung.append(entry)
        mark_published(session, rung)
        return len(rung)
