"""The metrics of the programs in this package: the workers of jobs, the worker of webhooks, and the dispatcher."""

from collections.abc import Callable, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ledger.metrics import LONG_SECONDS, SHORT_SECONDS, ProgramMetrics

GpuMemory = Callable[[], Mapping[str, int]]


class WorkerMetrics(ProgramMetrics):
    """Of a worker that runs jobs."""

    def __init__(self) -> None:
        super().__init__("worker")
        self.queue_seconds = self.histogram(
            "lipe_job_queue_seconds", "From the queue to a worker's claim.", ("kind",), LONG_SECONDS
        )
        self.stage_seconds = self.histogram(
            "lipe_job_stage_seconds", "Stages of attempts.", ("kind", "stage"), LONG_SECONDS
        )
        self.lease_renewal = self.histogram(
            "lipe_lease_renewal_seconds", "Renewals of a lease in the database.", (), SHORT_SECONDS
        )
        self.renewals_failed = self.counter(
            "lipe_lease_renewals_failed", "Renewals that the database did not answer.", ()
        )
        self.prior_cache = self.counter(
            "lipe_prior_cache", "Priors that an edit needed: in memory (hit) or fetched (miss).", ("result",)
        )
        self.input_cache = self.counter(
            "lipe_input_cache",
            "Objects that a job needed: fetched before (hit) or by itself (miss).",
            ("result",),
        )

    def count_input(self, is_hit: bool) -> None:
        """Count an object that a job needed."""
        self.input_cache.labels("hit" if is_hit else "miss").inc()

    def count_prior(self, is_hit: bool) -> None:
        """Count a prior that an edit needed."""
        self.prior_cache.labels("hit" if is_hit else "miss").inc()

    def count_renewal(self, seconds: float | None) -> None:
        """Count a renewal of a lease; None: the database did not answer."""
        if seconds is None:
            self.renewals_failed.inc()
        else:
            self.lease_renewal.observe(seconds)

    def count_attempt(self, kind: str, stages: Mapping[str, float]) -> None:
        """Count the stages of an attempt that is over."""
        for stage, seconds in stages.items():
            self.stage_seconds.labels(kind, stage).observe(seconds)

    def show_gpu(self, memory: GpuMemory) -> None:
        """Serve the GPU's memory; `memory` returns bytes by use, and nothing on the CPU."""
        self.registry.register(_GpuCollector(memory))


class WebhookMetrics(ProgramMetrics):
    """Of a worker of webhooks."""

    def __init__(self) -> None:
        super().__init__("webhooks")
        self.attempts = self.counter("lipe_webhook_attempts", "Attempts at deliveries.", ("outcome",))
        self.attempt_seconds = self.histogram(
            "lipe_webhook_attempt_seconds", "Time until the receiver's answer.", (), SHORT_SECONDS
        )


class DispatcherMetrics(ProgramMetrics):
    """Of a dispatcher."""

    def __init__(self) -> None:
        super().__init__("dispatcher")
        self.chore_seconds = self.histogram(
            "lipe_chore_seconds", "Runs of the dispatcher's tasks.", ("chore",), SHORT_SECONDS
        )
        self.chores_failed = self.counter("lipe_chores_failed", "Runs that failed.", ("chore",))


class _GpuCollector(Collector):
    def __init__(self, memory: GpuMemory) -> None:
        self.memory = memory

    def collect(self) -> list[Metric]:
        """The memory of this process on its GPU."""
        family = GaugeMetricFamily("lipe_gpu_memory_bytes", "Memory of the worker's GPU by use.", labels=["use"])
        for use, size in self.memory().items():
            family.add_metric([use], size)
        return [family]

    def describe(self) -> list[Metric]:
        """Nothing, so that the GPU is not asked before the process forks."""
        return []
