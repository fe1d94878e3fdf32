"""Requests over HTTP as fast as they are answered: each connection sends its next one when it has the last answer."""

import http.client
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import quantiles
from urllib.parse import urlsplit
from uuid import uuid4

TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Target:
    """Where the same POST goes again and again; each is to be answered with 202."""

    url: str
    headers: Mapping[str, str]
    body: Mapping[str, object]
    is_keyed: bool = False
    """With a fresh Idempotency-Key each time."""


@dataclass(frozen=True)
class Round:
    """One stretch of load: how long it really took, and the seconds of every answer."""

    seconds: float
    latencies: tuple[float, ...]

    @property
    def per_second(self) -> float:
        """Answers."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: int) -> float:
        """Seconds within which so many of a hundred were answered."""
        return quantiles(self.latencies, n=100, method="inclusive")[percent - 1]


def drive(target: Target, connections: int, seconds: float) -> Round:
    """Load from so many connections at once. Raises AssertionError for any answer but 202."""
    start = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        each = list(pool.map(lambda _: _one_connection(target, start + seconds), range(connections)))
    return Round(time.perf_counter() - start, tuple(latency for latencies in each for latency in latencies))


def _one_connection(target: Target, until: float) -> list[float]:
    address = urlsplit(target.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_SECONDS)
    body = json.dumps(target.body)
    headers = {"Content-Type": "application/json", **target.headers}
    latencies = []
    while (sent := time.perf_counter()) < until:
        keyed = {"Idempotency-Key": uuid4().hex} if target.is_keyed else {}
        connection.request("POST", address.path, body, headers | keyed)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != http.client.ACCEPTED:
            raise AssertionError(f"{target.url} answered {answer.status}: {content[:500]!r}")
        latencies.append(time.perf_counter() - sent)
    connection.close()
    return latencies
