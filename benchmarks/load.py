"""HTTP load: each connection sends its next request as soon as it has the previous response."""

import http.client
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Target:
    """A POST request to repeat. The expected status is 202."""

    url: str
    headers: Mapping[str, str]
    body: Mapping[str, str]
    is_keyed: bool = False
    """Whether each request has a new Idempotency-Key."""


@dataclass(frozen=True)
class Round:
    """One round of load: its real duration, and the seconds of each response."""

    seconds: float
    latencies: tuple[float, ...]

    @property
    def per_second(self) -> float:
        """Responses per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: int) -> float:
        """The percentile of the latencies, in seconds."""
        return quantiles(self.latencies, n=100, method="inclusive")[percent - 1]

    def figures(self) -> dict[str, float]:
        """Responses per second, and the percentiles 50 and 99 of the latency in seconds."""
        return {"per_second": self.per_second, "p50": self.percentile(50), "p99": self.percentile(99)}


def run_load(target: Target, connections: int, seconds: float) -> Round:
    """Send requests over `connections` connections at once. Raises AssertionError for any status but 202."""
    start = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        each = list(pool.map(lambda _: _one_connection(target, start + seconds), range(connections)))
    return Round(time.perf_counter() - start, tuple(latency for latencies in each for latency in latencies))


def post(target: Target) -> dict[str, Any]:
    """Send one request; returns the response's body. Raises AssertionError for any status but 202."""
    with closing(_connect(target)) as connection:
        body: dict[str, Any] = json.loads(_send(connection, target))
        return body


def _one_connection(target: Target, until: float) -> list[float]:
    latencies = []
    with closing(_connect(target)) as connection:
        while (sent := time.perf_counter()) < until:
            _send(connection, target)
            latencies.append(time.perf_counter() - sent)
    return latencies


def _connect(target: Target) -> http.client.HTTPConnection:
    address = urlsplit(target.url)
    return http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_SECONDS)


def _send(connection: http.client.HTTPConnection, target: Target) -> bytes:
    keyed = {"Idempotency-Key": uuid4().hex} if target.is_keyed else {}
    headers = {"Content-Type": "application/json", **target.headers, **keyed}
    connection.request("POST", urlsplit(target.url).path, json.dumps(target.body), headers)
    response = connection.getresponse()
    content = response.read()
    if response.status != http.client.ACCEPTED:
        raise AssertionError(f"{target.url} answered {response.status}: {content[:500]!r}")
    return content
