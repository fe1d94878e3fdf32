"""Measure what an attack of one project costs another: ``python -m benchmarks.neighbours``.

A quiet project uploads small images, submits edits, reads events and gets webhooks: alone, and while another project
attacks in each way of `benchmarks.attacks`. Both are measured in turns for each attack, so that other load on the
machine affects both. The bound is a p95 that at most doubles. Writes table.md and table.json.
"""

import argparse
import io
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median, quantiles

import httpx
from PIL import Image

from benchmarks.attacks import ATTACKS, Attacker, from_another_process
from benchmarks.service_stack import Stack, run_stack
from cli.embedded.up import lipe_command

BOUND = 2.0
PATIENCE_SECONDS = 120.0
Seconds = Mapping[str, tuple[float, ...]]
"""The seconds of each request, by the operation."""


@dataclass(frozen=True)
class Pair:
    """The times alone and under one attack."""

    alone: Seconds
    attacked: Seconds

    def ratio(self, operation: str) -> float:
        """The p95 under attack, relative to that alone."""
        return p95(self.attacked[operation]) / p95(self.alone[operation])

    def __add__(self, other: "Pair") -> "Pair":
        """The times of both."""
        return Pair(_together(self.alone, other.alone), _together(self.attacked, other.attacked))


def _together(first: Seconds, second: Seconds) -> Seconds:
    return {name: first.get(name, ()) + times for name, times in second.items()}


@dataclass
class Inbox:
    """Receives webhooks; `arrivals` has the time of each by its job's id."""

    url: str = ""
    arrivals: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Serve while the block runs."""
        arrivals = self.arrivals

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                arrivals[body["data"]["job_id"]] = time.perf_counter()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Write no log."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}/"
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            yield
            server.shutdown()


@dataclass(frozen=True)
class Neighbour:
    """The quiet project."""

    client: httpx.Client
    edit: Mapping[str, str]
    inbox: Inbox

    def upload(self) -> None:
        """Send an image of 64 x 64 pixels."""
        content = io.BytesIO()
        Image.new("RGB", (64, 64)).save(content, "PNG")
        self.client.post("/v1/images", content=content.getvalue()).raise_for_status()

    def submit(self) -> str:
        """Submit an edit; returns its job's id."""
        body = {**self.edit, "webhook_url": self.inbox.url}
        return str(self.client.post("/v1/edits", json=body).raise_for_status().json()["id"])

    def read_event(self, job: str) -> None:
        """Open the job's stream until its first event."""
        with self.client.stream("GET", f"/v1/jobs/{job}/events") as answer:
            next(line for line in answer.raise_for_status().iter_lines() if line.startswith("id:"))

    def get_webhook(self, job: str) -> None:
        """Cancel the job and wait for the webhook. Raises TimeoutError."""
        deadline = time.perf_counter() + PATIENCE_SECONDS
        self.client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
        while job not in self.inbox.arrivals:
            if time.perf_counter() > deadline:
                raise TimeoutError(f"no webhook of {job} in {PATIENCE_SECONDS:.0f} s")
            time.sleep(0.002)

    def seconds(self, duration: float) -> Seconds:
        """The times of all operations in turns, for about `duration` seconds."""
        found: dict[str, list[float]] = {"upload": [], "submission": [], "first event": [], "webhook": []}

        def timed(name: str, act: Callable[[], object]) -> object:
            start = time.perf_counter()
            result = act()
            found[name].append(time.perf_counter() - start)
            return result

        end = time.perf_counter() + duration
        while time.perf_counter() < end or len(found["webhook"]) < 2:
            timed("upload", self.upload)
            job = str(timed("submission", self.submit))
            timed("first event", partial(self.read_event, job))
            timed("webhook", partial(self.get_webhook, job))
        return {name: tuple(each) for name, each in found.items()}


def p95(seconds: tuple[float, ...]) -> float:
    """The percentile 95."""
    return quantiles(seconds, n=100, method="inclusive")[94]


def measure(
    stack: Stack, attacks: list[str], *, rounds: int, seconds: float, rest: float, lead: float
) -> dict[str, Pair]:
    """The times of the attacks that are named, over `rounds` of `seconds` alone and as many under attack.

    Each has gone on for `lead` seconds when the measurement begins, and `rest` seconds pass after it, until its
    requests have ended.
    """
    url = stack.edit.url.removesuffix("/v1/edits")
    other = stack.add_project("attacker")
    attacker = Attacker(url, other.headers, other.body)
    inbox, pairs = Inbox(), dict.fromkeys(attacks, Pair({}, {}))
    with (
        inbox.open(),
        stack.program("webhooks", *lipe_command("worker", "--queues", "webhooks")),
        httpx.Client(base_url=url, headers=stack.edit.headers, timeout=PATIENCE_SECONDS, trust_env=False) as client,
    ):
        neighbour = Neighbour(client, stack.edit.body, inbox)
        neighbour.seconds(min(seconds, 3.0))  # the first requests are slower
        for name in attacks * rounds:
            alone = neighbour.seconds(seconds)
            with from_another_process(name, attacker):
                time.sleep(lead)
                pairs[name] += Pair(alone, neighbour.seconds(seconds))
            time.sleep(rest)
    return pairs


def as_markdown(pairs: Mapping[str, Pair]) -> str:
    """One row for each attack and operation."""
    lines = [
        "| attack | operation | alone: p50, p95, ms | attacked: p50, p95, ms | p95 relative |",
        "|---|---|---|---|---|",
    ]
    for name, pair in pairs.items():
        for operation in pair.alone:
            ratio = pair.ratio(operation)
            figures = f"{_figures(pair.alone[operation])} | {_figures(pair.attacked[operation])}"
            lines.append(f"| {name} | {operation} | {figures} | {ratio:.1f}{' (missed)' if ratio > BOUND else ''} |")
    return "\n".join(lines)


def _figures(seconds: tuple[float, ...]) -> str:
    return f"{median(seconds) * 1e3:.0f}, {p95(seconds) * 1e3:.0f}"


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    limits = {"allow_private_urls": True} | ({"rate_per_key": options.rate} if options.rate else {})
    times = {name: getattr(options, name) for name in ("rounds", "seconds", "rest", "lead")}
    with tempfile.TemporaryDirectory() as folder, run_stack(Path(folder), limits=limits) as stack:
        pairs = measure(stack, options.attacks or list(ATTACKS), **times)
    facts = (
        f"{cores} cores for servers, API, neighbour and, at a lower priority, the attacker; load average before: "
        f"{load:.1f}."
    )
    text = f"{as_markdown(pairs)}\n\n{facts}\n"
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "table.md").write_text(text)
    figures = {name: {"alone": pair.alone, "attacked": pair.attacked} for name, pair in pairs.items()}
    (options.out / "table.json").write_text(json.dumps(figures) + "\n")
    print(text)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.neighbours", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of each measurement")
    parser.add_argument("--rounds", type=int, default=1, help="how often each attack is measured")
    parser.add_argument(
        "--rest", type=float, default=25.0, help="pause after each attack, until its requests have ended"
    )
    parser.add_argument("--lead", type=float, default=12.0, help="seconds of an attack before its measurement")
    parser.add_argument("--rate", type=float, help="LIPE_RATE_PER_KEY (default: the service's)")
    parser.add_argument("--attacks", nargs="*", choices=list(ATTACKS), help="only these (default: all)")
    parser.add_argument("--out", type=Path, default=Path("out/neighbours"), help="output folder")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
