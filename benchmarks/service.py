"""Measure the speed of the service without its models: ``python -m benchmarks.service``.

The benchmark compares accepted edits per second with a baseline endpoint. It measures the time until an idle worker
claims a job, and the overhead of a job beside the steps of its edit. It measures queries over a long history, too. It
starts all servers; ``--database-url`` and ``--broker-url`` replace the embedded ones by an empty Postgres and a Redis
of your own. It writes table.md and table.json.
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
from benchmarks.job_latency import JobLatency
from benchmarks.load import Round
from benchmarks.measure import ratios
from benchmarks.service_stack import run_stack
from benchmarks.submissions import BASELINE, Submissions


@dataclass(frozen=True)
class Results:
    """The results of all parts."""

    submissions: Submissions
    job_latency: JobLatency
    history: History

    def as_markdown(self) -> str:
        """The tables of all parts."""
        return "\n".join(
            [*_submissions(self.submissions.rounds), "", *_job_latency(self.job_latency), "", *_history(self.history)]
        )

    def figures(self) -> dict[str, Any]:
        """All figures, in seconds."""
        rounds = {name: [one.figures() for one in each] for name, each in self.submissions.rounds.items()}
        return {"submissions": rounds, "job_latency": asdict(self.job_latency), "history": dict(self.history.seconds)}


def _submissions(rounds: Mapping[str, Sequence[Round]]) -> list[str]:
    lines = ["**Accepted edits** (medians of the rounds; target: 0.6 of the baseline)", ""]
    lines += ["| | per second | p50, ms | p99, ms | per second, relative to the baseline |", "|---|---|---|---|---|"]
    baseline = [one.per_second for one in rounds[BASELINE]]
    for name, each in rounds.items():
        rate, p50, p99 = (median(values) for values in zip(*(one.figures().values() for one in each), strict=True))
        share = ratios([one.per_second for one in each], baseline)
        lines.append(f"| {name} | {rate:.0f} | {p50 * 1e3:.1f} | {p99 * 1e3:.1f} | {share} |")
    return lines


def _job_latency(latency: JobLatency) -> list[str]:
    return [
        "**Jobs** (median, lowest and highest)",
        "",
        "| | ms | target |",
        "|---|---|---|",
        f"| from request to claim, worker idle | {_spread(latency.to_claim)} | below 50 (Redis), 250 (embedded) |",
        f"| overhead of a job, queue full | {_spread(latency.overhead)} | below 100 |",
    ]


def _history(history: History) -> list[str]:
    few, many = history.seconds
    lines = [f"| ms, by finished jobs | {few:,} | {many:,} | ratio |", "|---|---|---|---|"]
    for name, before in history.seconds[few].items():
        after = history.seconds[many][name]
        lines.append(f"| {name} | {before * 1e3:.2f} | {after * 1e3:.2f} | {after / before:.2f} |")
    return lines


def _spread(seconds: Sequence[float]) -> str:
    return f"{median(seconds) * 1e3:.0f} ({min(seconds) * 1e3:.0f} to {max(seconds) * 1e3:.0f})"


def measure(options: argparse.Namespace) -> Results:
    """Run all parts. The long history is last, because it would slow down the others."""
    with (
        tempfile.TemporaryDirectory() as folder,
        run_stack(Path(folder), options.database_url, options.broker_url) as stack,
    ):
        return Results(
            submissions.measure(stack, rounds=options.rounds, seconds=options.seconds, connections=options.connections),
            job_latency.measure(stack, idle=options.jobs, queued=options.jobs),
            history.measure(stack, counts=(options.few, options.many), repeats=options.repeats),
        )


def write(results: Results, out: Path, facts: str) -> str:
    """Write table.md and table.json; returns the tables."""
    out.mkdir(parents=True, exist_ok=True)
    text = f"{results.as_markdown()}\n\n{facts}\n"
    (out / "table.md").write_text(text)
    (out / "table.json").write_text(json.dumps(results.figures(), indent=2) + "\n")
    return text


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    cores = len(os.sched_getaffinity(0))
    facts = f"{cores} cores for servers, APIs and load. {options.connections} connections, {options.rounds} rounds of "
    facts += f"{options.seconds:g} s in turns; {options.jobs} jobs; load average before: {os.getloadavg()[0]:.1f}."
    print(write(measure(options), options.out, facts))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of load per target")
    parser.add_argument("--seconds", type=float, default=5.0, help="duration of a round")
    parser.add_argument("--connections", type=int, default=16, help="concurrent connections")
    parser.add_argument("--jobs", type=int, default=20, help="jobs to submit one by one, and then at once")
    parser.add_argument("--few", type=int, default=1_000, help="finished jobs of the short history")
    parser.add_argument("--many", type=int, default=100_000, help="finished jobs of the long history")
    parser.add_argument("--repeats", type=int, default=100, help="repeats of each operation")
    parser.add_argument("--database-url", help="an empty Postgres (default: an embedded one)")
    parser.add_argument("--broker-url", help="a Redis (default: an embedded Valkey)")
    parser.add_argument("--out", type=Path, default=Path("out/service"), help="output folder")
    options = parser.parse_args(argv)
    if options.few >= options.many:
        parser.error("--few must be less than --many")
    return options


if __name__ == "__main__":
    main()
