"""The metrics that every program counts in its memory. Each program has its own registry; Prometheus adds them up."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from ledger.outcomes import AttemptEnded, AttemptLost, Ended, Outcome
from ledger.version import VERSION

SHORT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Buckets of what should take milliseconds: a statement, a request, a renewal."""
LONG_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14_400.0)
"""Buckets of what may take hours: a queue, a stage, a job."""


class ProgramMetrics:
    """The metrics of one program. `registry` has them all, with the metrics of the process."""

    def __init__(self, program: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Gauge(
            "lipe_build", "Always 1; the labels say which program of which version this is.", ["program", "version"],
            registry=self.registry,
        ).labels(program, VERSION).set(1)  # fmt: skip
        self.pool_wait = self.histogram(
            "lipe_database_pool_wait_seconds", "Wait for a connection of the program's pool.", (), SHORT_SECONDS
        )
        self.jobs_finished = self.counter(
            "lipe_jobs_finished", "Jobs that this program ended.", ("kind", "outcome", "code")
        )
        self.job_seconds = self.histogram(
            "lipe_job_seconds", "From the creation of a job to its end.", ("kind", "outcome"), LONG_SECONDS
        )
        self.gpu_seconds = self.counter("lipe_gpu_seconds", "Time of attempts that held a worker.", ("kind",))
        self.attempts_lost = self.counter("lipe_attempts_lost", "Attempts whose lease ended.", ("kind",))

    def observe(self, outcome: Outcome) -> None:
        """Count what a transaction has done; the observer of a unit of work."""
        match outcome:
            case Ended(kind, state, code, seconds):
                self.jobs_finished.labels(kind, state, code).inc()
                self.job_seconds.labels(kind, state).observe(seconds)
            case AttemptEnded(kind, seconds):
                self.gpu_seconds.labels(kind).inc(seconds)
            case AttemptLost(kind):
                self.attempts_lost.labels(kind).inc()

    def counter(self, name: str, description: str, labels: tuple[str, ...]) -> Counter:
        """A counter of this program."""
        return Counter(name, description, labels, registry=self.registry)

    def gauge(self, name: str, description: str, labels: tuple[str, ...] = ()) -> Gauge:
        """A gauge of this program."""
        return Gauge(name, description, labels, registry=self.registry)

    def histogram(self, name: str, description: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
        """A histogram of this program, in seconds."""
        return Histogram(name, description, labels, registry=self.registry, buckets=buckets)
