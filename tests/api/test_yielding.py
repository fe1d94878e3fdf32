"""Long work loses its priority, and short work keeps it."""

import os
import sys
import threading

import pytest

from api.yielding import NICENESS, yielding

AMPLE_SECONDS = 600.0  # more than a loaded machine needs; no test waits for it


def own_niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="no priorities of threads")
def test_work_that_takes_long_loses_its_priority() -> None:
    before, lowered = own_niceness(), threading.Event()

    def work() -> int:
        while own_niceness() == before:
            lowered.wait(0.01)
        return own_niceness()

    assert yielding(work, seconds=0.0) == min(19, before + NICENESS)
    assert own_niceness() == before


def test_short_work_keeps_its_priority() -> None:
    assert yielding(own_niceness, seconds=AMPLE_SECONDS) == own_niceness()


def test_errors_and_arguments_pass() -> None:
    assert yielding(divmod, 7, 2) == (3, 1)
    assert yielding(int, "11", base=2) == 3
    with pytest.raises(ZeroDivisionError):
        yielding(divmod, 7, 0)
