"""Jobs an hour on a slow storage, with and without prefetching: ``python -m benchmarks.prefetching``.

Two workers in turns do the same queue of edits. Each edit reads an image and a prior, whether or not one before it has
read the same. Figures are medians of the times from end to end, whose ratio is given for each round.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

from benchmarks.job_latency import wait_for
from benchmarks.load import post
from benchmarks.paced_worker import STEP_SECONDS
from benchmarks.service_stack import Stack, run_stack
from benchmarks.slow_worker import EDIT_STEPS, READ_SECONDS


def seconds_per_job(stack: Stack, jobs: int, prefetch_bytes: int) -> float:
    """The median time from the end of a job to the end of the next one, in a full queue."""
    stack = replace(stack, settings=stack.settings.model_copy(update={"prefetch_bytes": prefetch_bytes}))
    with stack.program("worker", sys.executable, "-m", "benchmarks.slow_worker", "edits"):
        wait_for(stack, [post(stack.edit)["id"]])  # until the worker has started
        ends = wait_for(stack, [post(stack.edit)["id"] for _ in range(jobs + 1)])
    return median((later - earlier).total_seconds() for earlier, later in pairwise(ends))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prefetching", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds, each with both workers")
    parser.add_argument("--jobs", type=int, default=12, help="jobs of a round")
    options = parser.parse_args(argv)
    print(f"an edit of {EDIT_STEPS * STEP_SECONDS:g} s; {READ_SECONDS:g} s until the first byte of an object")
    print("| jobs an hour with prefetching | without | ratio |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, run_stack(Path(folder)) as stack:
        size = stack.settings.prefetch_bytes
        for _ in range(options.rounds):
            with_it, without = (seconds_per_job(stack, options.jobs, most) for most in (size, 0))
            print(f"| {3600 / with_it:,.0f} | {3600 / without:,.0f} | {without / with_it:.2f} |", flush=True)


if __name__ == "__main__":
    main()
