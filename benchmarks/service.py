"""The service's own speed, models left out: ``python -m benchmarks.service``.

Edits accepted a second beside a bare endpoint, the way to an idle worker, what a job costs beside its engine, and what
lists and claims take over a long history. Needs nothing running; ``--database-url`` and ``--broker-url`` put an empty
Postgres and a Redis of your own in the place of the embedded ones. Writes table.md and table.json.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import history, job_latency, submissions
from benchmarks.history import History
from benchmarks.job_latency import Working
from benchmarks.load import Round
from benchmarks.measure import ratios
from benchmarks.service_stack import stack
from benchmarks.submissions import BARE, Submissions


@dataclass(frozen=True)
class Measured:
    """All parts of one run."""

    submissions: Submissions
    working: Working
    history: History

    def as_markdown(self) -> str:
        return "\n".join(
            [*_submissions(self.submissions.rounds), "", *_working(self.working), "", *_history(self.history)]
        )

    def figures(self) -> dict[str, Any]:
        """In seconds."""
        rounds = {name: [one.figures() for one in each] for name, each in self.submissions.rounds.items()}
        return {"submissions": rounds, "working": asdict(self.working), "history": dict(self.history.seconds)}


def _submissions(rounds: Mapping[str, Sequence[Round]]) -> list[str]:
    lines = ["**Edits accepted** (medians of the rounds; 0.6 of the bare endpoint's is wanted)", ""]
    lines += ["| | a second | p50, ms | p99, ms | a second, of the bare endpoint's |", "|---|---|---|---|---|"]
    bare = [one.per_second for one in rounds[BARE]]
    for name, each in rounds.items():
        rate, p50, p99 = (median(values) for values in zip(*(one.figures().values() for one in each), strict=True))
        share = ratios([one.per_second for one in each], bare)
        lines.append(f"| {name} | {rate:.0f} | {p50 * 1e3:.1f} | {p99 * 1e3:.1f} | {share} |")
    return lines


def _working(working: Working) -> list[str]:
    claim, beside = sorted(job_latency.to_claim), sorted(job_latency.beside_engine)
    return [
        "**A worker** (medians, lowest and highest)",
        "",
        "| | ms | wanted |",
        "|---|---|---|",
        f"| from request to claim, worker idle | {_spread(claim)} | below 50 (Redis), 250 (embedded) |",
        f"| a job beside its engine's steps, queue full | {_spread(beside)} | below 100 |",
    ]


def _history(history: History) -> list[str]:
    few, many = history.seconds
    lines = [f"| ms over so many finished jobs | {few:,} | {many:,} | ratio |", "|---|---|---|---|"]
    for name, before in history.seconds[few].items():
        after = history.seconds[many][name]
        lines.append(f"| {name} | {before * 1e3:.2f} | {after * 1e3:.2f} | {after / before:.2f} |")
    return lines


def _spread(seconds: Sequence[float]) -> str:
    return f"{median(seconds) * 1e3:.0f} ({seconds[0] * 1e3:.0f} to {seconds[-1] * 1e3:.0f})"


def measure(options: argparse.Namespace) -> Measured:
    """In this order: the long history comes last, when nothing else is timed any more."""
    with (
        tempfile.TemporaryDirectory() as folder,
        stack(Path(folder), options.database_url, options.broker_url) as running,
    ):
        return Measured(
            submissions.measure(
                running, rounds=options.rounds, seconds=options.seconds, connections=options.connections
            ),
            job_latency.measure(running, idle=options.jobs, queued=options.jobs),
            history.measure(running, counts=(options.few, options.many), repeats=options.repeats),
        )


def write(measured: Measured, out: Path, facts: str) -> str:
    """Write table.md and table.json; returns the tables."""
    out.mkdir(parents=True, exist_ok=True)
    text = f"{measured.as_markdown()}\n\n{facts}\n"
    (out / "table.md").write_text(text)
    (out / "table.json").write_text(json.dumps(measured.figures(), indent=2) + "\n")
    return text


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    cores = len(os.sched_getaffinity(0))
    facts = f"{cores} cores for all: servers, API, load. {options.connections} connections, {options.rounds} rounds of "
    facts += f"{options.seconds:g} s in turns; {options.jobs} jobs; load when it began: {os.getloadavg()[0]:.1f}."
    print(write(measure(options), options.out, facts))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of a round")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=20, help="one by one for the claim, and then as many at once")
    parser.add_argument("--few", type=int, default=1_000, help="finished jobs of the short history")
    parser.add_argument("--many", type=int, default=100_000, help="and of the long one")
    parser.add_argument("--repeats", type=int, default=100, help="of each query")
    parser.add_argument("--database-url", help="an empty Postgres; without it, an embedded one")
    parser.add_argument("--broker-url", help="a Redis; without it, an embedded Valkey")
    parser.add_argument("--out", type=Path, default=Path("out/service"))
    options = parser.parse_args(argv)
    if options.few >= options.many:
        parser.error("--few must be less than --many")
    return options


if __name__ == "__main__":
    main()
