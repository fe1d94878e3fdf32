"""Long work loses its priority, and short work keeps it."""

import os
import sys
import threading
import time

import pytest

from api.yielding import Step, yielding


def own_niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="no priorities of threads")
@pytest.mark.parametrize(("last", "lowered"), [(1e9, 3), (0.2, 7)])
def test_work_that_takes_long_loses_its_priority_step_by_step(last: float, lowered: int) -> None:
    before = own_niceness()

    def work() -> int:
        while own_niceness() != min(19, before + lowered):
            sum(range(1000))  # only CPU time counts
        return own_niceness()

    assert yielding(work, steps=[Step(0.1, 3), Step(last, 7)]) == min(19, before + lowered)
    assert own_niceness() == before


@pytest.mark.skipif(sys.platform != "linux", reason="no priorities of threads")
def test_work_that_waits_keeps_its_priority() -> None:
    """As it does on a busy machine: only its own CPU time counts."""

    def work() -> int:
        time.sleep(0.5)
        return own_niceness()

    assert yielding(work, steps=[Step(0.2, 3)]) == own_niceness()


def test_short_work_keeps_its_priority() -> None:
    assert yielding(own_niceness) == own_niceness()


def test_errors_and_arguments_pass() -> None:
    assert yielding(divmod, 7, 2) == (3, 1)
    assert yielding(int, "11", base=2) == 3
    with pytest.raises(ZeroDivisionError):
        yielding(divmod, 7, 0)
