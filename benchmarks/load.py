"""Requests over HTTP as fast as they are answered: each connection sends its next one when it has the last answer."""

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

    def figures(self) -> dict[str, float]:
        """What is worth keeping."""
        return {"per_second": self.per_second, "p50": self.percentile(50), "p99": self.percentile(99)}


def drive(target: Target, connections: int, seconds: float) -> Round:
    """Load from so many connections at once. Raises AssertionError for any answer but 202."""
    start = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        each = list(pool.map(lambda _: _one_connection(target, start + seconds), range(connections)))
    return Round(time.perf_counter() - start, tuple(latency for latencies in each for latency in latencies))


def post(target: Target) -> dict[str, Any]:
    """One request; the answer's body. Raises AssertionError for any answer but 202."""
    with closing(_connected(target)) as connection:
        body: dict[str, Any] = json.loads(_posted(connection, target))
        return body


def _one_connection(target: Target, until: float) -> list[float]:
    latencies = []
    with closing(_connected(target)) as connection:
        while (sent := time.perf_counter()) < until:
            _posted(connection, target)
            latencies.append(time.perf_counter() - sent)
    return latencies


def _connected(target: Target) -> http.client.HTTPConnection:
    address = urlsplit(target.url)
    return http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_SECONDS)


def _posted(connection: http.client.HTTPConnection, target: Target) -> bytes:
    keyed = {"Idempotency-Key": uuid4().hex} if target.is_keyed else {}
    headers = {"Content-Type": "application/json", **target.headers, **keyed}
    connection.request("POST", urlsplit(target.url).path, json.dumps(target.body), headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != http.client.ACCEPTED:
        raise AssertionError(f"{target.url} answered {answer.status}: {content[:500]!r}")
    return content
