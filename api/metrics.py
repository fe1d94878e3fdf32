"""The metrics of an API process: its requests and event streams, and those of the whole service."""

from collections.abc import Callable

from ledger.database import UnitOfWork
from ledger.metrics import SHORT_SECONDS, ProgramMetrics
from ledger.service_metrics import ServiceCollector

OTHER_METHOD = "other"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ApiMetrics(ProgramMetrics):
    """Of one API process."""

    def __init__(self) -> None:
        super().__init__("api")
        self.event_streams = self.gauge("lipe_event_streams", "Streams of events that are open.")
        self.request_seconds = self.histogram(
            "lipe_http_request_seconds", "From a request to its answered end, without event streams.",
            ("method", "route", "status"), SHORT_SECONDS,
        )  # fmt: skip

    def watch(self, begin: UnitOfWork, open_streams: Callable[[], int]) -> None:
        """Serve the metrics of the whole service, and the number of open streams."""
        self.event_streams.set_function(open_streams)
        self.registry.register(ServiceCollector(begin))

    def count_request(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count a request. A path without a route has none of its own: paths are of the callers' choice."""
        known = method if method in METHODS else OTHER_METHOD
        self.request_seconds.labels(known, route or "none", str(status)).observe(seconds)
