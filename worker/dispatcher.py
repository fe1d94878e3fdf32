"""Ring for what waits, bring back what a dead worker held, sweep what was erased or left: one loop of small chores.

Each chore is one or two indexed queries. Several dispatchers may run at once: a row is taken with SKIP LOCKED, and
a doorbell rung twice costs nothing. An outage of the database, the broker or the storage costs time only: each
chore is tried again at its next turn.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ledger import deliveries, erasures, idempotency, orphans, outbox, reaper, uploads
from ledger.database import UNAVAILABLE, UnitOfWork, make_engine, unit_of_work
from ledger.notify import Notifier, make_notifier
from ledger.settings import Settings
from ledger.states import JOB_KINDS
from ledger.storage import Storage, StorageError
from worker.heartbeat import beat

TICK_SECONDS = 0.25
BACKOFF_SECONDS = 5.0

log = logging.getLogger(__name__)


class BrokerAway(Exception):
    """The broker takes no messages; the outbox keeps them."""


@dataclass
class Chore:
    """What to do every `seconds`; `due` is by the monotonic clock."""

    name: str
    seconds: float
    run: Callable[[], object]
    due: float = 0.0


def serve() -> None:
    """Dispatch until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings, stop = Settings(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    begin = unit_of_work(make_engine(settings.database_url, pool_size=1))
    work = chores(settings, begin, make_notifier(settings), Storage(settings))
    log.info("dispatcher ready")
    while not stop.wait(TICK_SECONDS):
        beat(settings)
        for chore in work:
            run_if_due(chore)


def chores(settings: Settings, begin: UnitOfWork, ring: Notifier, storage: Storage) -> list[Chore]:
    """All that a dispatcher does. Doorbells come last: they ring for what the others found."""

    def rescue_jobs() -> None:
        with begin() as session:
            if lost := reaper.reap(session, max_attempts=settings.max_attempts):
                log.warning("reaped %d jobs whose workers stopped answering", lost)
            if late := reaper.expire(session, deadline_seconds=settings.queue_deadline_seconds):
                log.warning("%d jobs expired in the queue", late)
            for kind in JOB_KINDS:
                reaper.notify_stranded(
                    session, kind, seconds=settings.stranded_seconds, max_running=settings.max_running_jobs
                )

    def ring_webhooks() -> None:
        with begin() as session:
            deliveries.notify_due(session, seconds=settings.stranded_seconds)

    def forget() -> None:
        with begin() as session:
            idempotency.forget_expired(session)

    def sweep() -> None:
        with begin() as session:
            left = erasures.list_unfinished(session)
        for erasure_id in left:
            erasures.sweep(begin, storage, erasure_id, settle_seconds=settings.lease_seconds)

    def forget_uploads() -> None:
        uploads.sweep(begin, storage)

    orphan_sweep = orphans.OrphanSweep(begin, storage)

    def sweep_orphans() -> None:
        if swept := orphan_sweep.next_page():
            log.warning("deleted %d objects that no row knows", swept)

    def publish() -> None:
        answers: list[bool] = []

        def noted(task: str, identifier: str) -> bool:
            answers.append(ring(task, identifier))
            return answers[-1]

        outbox.publish(begin, noted)
        if not all(answers):
            raise BrokerAway("doorbells wait in the outbox")

    return [
        Chore("rescue", 1.0, rescue_jobs),
        Chore("webhooks", 0.5, ring_webhooks),
        Chore("forget", 60.0, forget),
        Chore("sweep", 10.0, sweep),
        Chore("uploads", 10.0, forget_uploads),
        Chore("orphans", 60.0, sweep_orphans),
        Chore("doorbells", 0.0, publish),
    ]


def run_if_due(chore: Chore) -> None:
    """Run the chore at its time; after an outage, wait a little."""
    if time.monotonic() < chore.due:
        return
    wait = chore.seconds
    try:
        chore.run()
    except (*UNAVAILABLE, StorageError, BrokerAway) as error:
        log.warning("%s: %s", chore.name, error)
        wait = BACKOFF_SECONDS
    except Exception:
        log.exception("%s", chore.name)
        wait = BACKOFF_SECONDS
    chore.due = time.monotonic() + wait
