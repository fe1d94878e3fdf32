"""The dispatcher: small periodic tasks, each in a thread of its own, so that a long one does not delay the others.

It publishes the outbox, requeues jobs of workers that died, ends consents, and deletes objects of erased rows and
orphans. Each task is one or two indexed queries. Several dispatchers may run at once: they lock rows with SKIP LOCKED,
and a second notification has no effect. After an outage of the database, the broker or the storage, each task is
retried later.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ledger import (
    consent_ends,
    deliveries,
    erasures,
    idempotency,
    known_periods,
    orphans,
    outbox,
    reaper,
    retention,
    uploads,
    workers,
)
from ledger.database import UNAVAILABLE, UnitOfWork, make_engine, unit_of_work
from ledger.metrics_server import serve_metrics
from ledger.notify import Notifier, make_notifier
from ledger.service_metrics import ServiceCollector
from ledger.settings import Settings
from ledger.storage import Storage, StorageError
from worker.heartbeat import touch_heartbeat
from worker.metrics import DispatcherMetrics

HEARTBEAT_SECONDS = 1.0
CONNECTIONS = 4
GRACE_SECONDS = 10.0
"""A task that runs when the dispatcher ends has so much time. Later it is rolled back."""
RETRY_SECONDS = 5.0
RETENTION_SECONDS = 50.0
"""Of each minute: a large service erases all the time."""
LEASES = 5
"""A lease that ends later than in so many leases is older than a change of the clock."""

log = logging.getLogger(__name__)


class BrokerUnavailable(Exception):
    """The broker accepts no messages; the outbox keeps them."""


@dataclass(frozen=True)
class PeriodicTask:
    """A function to run every `seconds`."""

    name: str
    seconds: float
    run: Callable[[], object]


def serve() -> None:
    """Dispatch until SIGTERM or SIGINT."""
    settings, stop = Settings(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    metrics = DispatcherMetrics()
    engine = make_engine(settings.database_url, pool_size=CONNECTIONS, on_wait=metrics.pool_wait.observe)
    begin = unit_of_work(engine, metrics.observe)
    metrics.registry.register(ServiceCollector(begin))
    serve_metrics(settings, metrics.registry)
    tasks = periodic_tasks(settings, begin, make_notifier(settings), Storage(settings))
    threads = [
        threading.Thread(target=repeat, args=(task, stop, metrics), name=task.name, daemon=True) for task in tasks
    ]
    for thread in threads:
        thread.start()
    log.info("dispatcher ready")
    while not stop.wait(HEARTBEAT_SECONDS):
        touch_heartbeat(settings)
    deadline = time.monotonic() + GRACE_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def periodic_tasks(settings: Settings, begin: UnitOfWork, notify: Notifier, storage: Storage) -> list[PeriodicTask]:
    """All tasks of a dispatcher."""

    def reap_jobs() -> None:
        with begin() as session:
            ahead = LEASES * settings.lease_seconds
            if lost := reaper.reap(session, max_attempts=settings.max_attempts, max_lease_seconds=ahead):
                log.warning("reaped %d jobs whose workers stopped answering", lost)
            if late := reaper.expire(session, deadline_seconds=settings.queue_deadline_seconds):
                log.warning("%d jobs expired in the queue", late)

    def notify_deliveries() -> None:
        with begin() as session:
            deliveries.notify_due(session, seconds=settings.stranded_seconds)

    def forget_idempotency_keys() -> None:
        with begin() as session:
            idempotency.forget_expired(session)

    def finish_erasures() -> None:
        with begin() as session:
            unfinished = erasures.list_unfinished(session)
        for erasure_id in unfinished:
            erasures.sweep(begin, storage, erasure_id, settle_seconds=settings.lease_seconds)

    settling = consent_ends.Settling(begin, storage, settings.consent_end_erases, settings.lease_seconds)

    def end_consents() -> None:
        if over := consent_ends.expire(begin):
            log.info("%d consents have ended by their date", over)
        settling.next_round()

    def delete_expired_uploads() -> None:
        uploads.sweep(begin, storage)

    orphan_sweep = orphans.OrphanSweep(begin, storage)

    def extend_known_period() -> None:
        with begin() as session:
            known_periods.extend(session)

    def delete_orphans() -> None:
        if settings.delete_orphans and (deleted := orphan_sweep.next_page()):
            log.warning("deleted %d objects that no row references", deleted)

    def forget_workers() -> None:
        with begin() as session:
            workers.forget_lost(session)

    def erase_old() -> None:
        if erased := retention.erase_old(begin, settings, seconds=RETENTION_SECONDS):
            log.info("the retention erased %d edits, priors and images", erased)

    def publish_outbox() -> None:
        answers: list[bool] = []

        def notify_and_record(task: str, identifier: str) -> bool:
            answers.append(notify(task, identifier))
            return answers[-1]

        outbox.publish(begin, notify_and_record)
        if not all(answers):
            raise BrokerUnavailable("notifications wait in the outbox")

    return [
        PeriodicTask("reaper", 1.0, reap_jobs),
        PeriodicTask("webhooks", 0.5, notify_deliveries),
        PeriodicTask("idempotency keys", 60.0, forget_idempotency_keys),
        PeriodicTask("erasures", 10.0, finish_erasures),
        PeriodicTask("consents", 1.0, end_consents),
        PeriodicTask("uploads", 10.0, delete_expired_uploads),
        PeriodicTask("known time", known_periods.TICK_SECONDS, extend_known_period),
        PeriodicTask("orphans", 60.0, delete_orphans),
        PeriodicTask("retention", 60.0, erase_old),
        PeriodicTask("workers", 15.0, forget_workers),
        PeriodicTask("outbox", 0.25, publish_outbox),
    ]


def repeat(task: PeriodicTask, stop: threading.Event, metrics: DispatcherMetrics) -> None:
    """Run the task again and again, until `stop` is set."""
    while not stop.wait(run_once(task, metrics)):
        pass


def run_once(task: PeriodicTask, metrics: DispatcherMetrics) -> float:
    """Run and count the task; return the seconds until it is due again, which are RETRY_SECONDS after an error."""
    try:
        with metrics.chores_failed.labels(task.name).count_exceptions(), metrics.chore_seconds.labels(task.name).time():
            task.run()
    except (*UNAVAILABLE, StorageError, BrokerUnavailable) as error:
        log.warning("%s: %s", task.name, error)
        return RETRY_SECONDS
    except Exception:
        log.exception("%s", task.name)
        return RETRY_SECONDS
    return task.seconds
