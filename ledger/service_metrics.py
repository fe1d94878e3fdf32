"""Metrics of the whole service, read from the database at each scrape. Every program that serves them has the same.

Queries of Prometheus therefore take their maximum, not their sum.
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.orm import Session

from ledger import queue_metrics, workers
from ledger.database import UNAVAILABLE, UnitOfWork


class ServiceCollector(Collector):
    """Reads the metrics. While the database does not answer, `lipe_database_up` is 0 and the others are missing."""

    def __init__(self, begin: UnitOfWork) -> None:
        self.begin = begin

    def collect(self) -> Iterator[Metric]:
        """All families with their values."""
        up = GaugeMetricFamily("lipe_database_up", "Whether the database answered this scrape.")
        families = []
        try:
            with self.begin() as session:
                families = [*_queues(session), *_workers(session), *_projects(session), *_postgres(session)]
            up.add_metric([], 1)
        except UNAVAILABLE:
            up.add_metric([], 0)
        yield up
        yield from families

    def describe(self) -> list[Metric]:
        """Nothing, so that no query runs at the start of a program."""
        return []


def _queues(session: Session) -> Iterator[Metric]:
    depth = GaugeMetricFamily("lipe_jobs", "Unfinished jobs.", labels=["kind", "state"])
    age = GaugeMetricFamily("lipe_jobs_oldest_seconds", "Age of the oldest unfinished job.", labels=["kind", "state"])
    for queue in queue_metrics.queues(session):
        depth.add_metric([queue.kind, queue.state], queue.depth)
        age.add_metric([queue.kind, queue.state], queue.oldest_seconds)
    unserved = GaugeMetricFamily(
        "lipe_jobs_unserved", "Queued jobs that no live worker can do.", labels=["kind", "base_model"]
    )
    for row in queue_metrics.unserved(session):
        unserved.add_metric([row.kind, row.base_model], row.depth)
    outbox = queue_metrics.outbox(session)
    yield unserved
    yield depth
    yield age
    for name, description, value in (
        ("lipe_expired_leases", "Running jobs whose lease has expired.", queue_metrics.expired_leases(session)),
        (
            "lipe_undelivered_webhooks",
            "Deliveries that are still pending.",
            queue_metrics.undelivered_webhooks(session),
        ),
        ("lipe_outbox_entries", "Notifications that are not published.", outbox.depth),
        ("lipe_outbox_oldest_seconds", "Age of the oldest of them.", outbox.oldest_seconds),
    ):
        yield GaugeMetricFamily(name, description, value=value)


def _workers(session: Session) -> Iterator[Metric]:
    listed = workers.listing(session)
    counts = {(worker.pool, state): 0 for worker in listed for state in workers.WorkerState}
    for worker in listed:
        counts[worker.pool, worker.state] += 1
    family = GaugeMetricFamily("lipe_workers", "Workers by kinds of jobs and state.", labels=["pool", "state"])
    for (pool, state), count in counts.items():
        family.add_metric([pool, state], count)
    yield family


def _projects(session: Session) -> Iterator[Metric]:
    jobs = GaugeMetricFamily(
        "lipe_project_jobs", "Unfinished jobs of the projects with most.", labels=["project", "name", "state"]
    )
    for row in queue_metrics.projects(session):
        jobs.add_metric([row.project_id, row.name, row.state], row.depth)
    used = GaugeMetricFamily(
        "lipe_project_gpu_seconds_today", "GPU seconds of the UTC day of the projects with most.",
        labels=["project", "name"],
    )  # fmt: skip
    for usage in queue_metrics.gpu_seconds_today(session):
        used.add_metric([usage.project_id, usage.name], usage.seconds)
    yield jobs
    yield used


def _postgres(session: Session) -> Iterator[Metric]:
    server = queue_metrics.postgres(session)
    yield GaugeMetricFamily("lipe_postgres_connections", "Connections to the database.", value=server.connections)
    yield GaugeMetricFamily("lipe_postgres_max_connections", "The server's limit.", value=server.max_connections)
    yield GaugeMetricFamily("lipe_postgres_database_bytes", "Size of the database.", value=server.bytes)
    yield CounterMetricFamily("lipe_postgres_transactions", "Committed transactions.", value=server.commits)
    yield CounterMetricFamily("lipe_postgres_rollbacks", "Rolled back transactions.", value=server.rollbacks)
    yield CounterMetricFamily("lipe_postgres_deadlocks", "Deadlocks.", value=server.deadlocks)
    dead = GaugeMetricFamily("lipe_postgres_dead_rows", "Rows that vacuum will remove.", labels=["table"])
    updates = CounterMetricFamily("lipe_postgres_updates", "Updated rows.", labels=["table"])
    hot = CounterMetricFamily("lipe_postgres_hot_updates", "Rows updated in place.", labels=["table"])
    for table in queue_metrics.tables(session):
        dead.add_metric([table.name], table.dead_rows)
        updates.add_metric([table.name], table.updates)
        hot.add_metric([table.name], table.hot_updates)
    yield from (dead, updates, hot)
