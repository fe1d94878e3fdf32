"""The threads that OpenMP keeps for the main thread of a worker would slow down the thread of its jobs."""

import os
import subprocess
import sys

import pytest

from worker.short_thread import in_short_thread

PROGRAM = """
import os, time, torch
from worker.short_thread import in_short_thread

def compute():
    return float(torch.ones(3, 1_000_000).exp().sum())

def threads():
    return len(os.listdir("/proc/self/task"))

before = threads()
in_short_thread(compute)
until = time.monotonic() + 60
while threads() > before and time.monotonic() < until:  # they end a little later than their owner
    time.sleep(0.01)
after = threads()
compute()
print(after <= before, threads() > after)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux counts the threads of a process")
def test_work_in_a_short_thread_leaves_no_thread_of_openmp() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "3"}
    printed = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert printed.split() == ["True", "True"], "in a thread that stays, they stay"


def test_errors_reach_the_caller() -> None:
    def fail() -> None:
        raise ValueError("no such model")

    with pytest.raises(ValueError, match="no such model"):
        in_short_thread(fail)
