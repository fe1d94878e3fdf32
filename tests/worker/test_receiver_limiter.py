"""No receiver and no project occupies more threads than its limit, and every item is processed."""

import threading
from collections.abc import Callable

import pytest

from worker.receiver_limiter import Receiver, ReceiverLimiter

DEAD, RESPONSIVE = Receiver("project", "dead"), Receiver("project", "responsive")


def started_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_further_items_of_a_receiver_that_hangs_wait_without_a_thread() -> None:
    limiter, answer, started = ReceiverLimiter(2, 9), threading.Event(), threading.Semaphore(0)
    done: list[str] = []

    def act(item: str) -> None:
        started.release()
        assert answer.wait(60)
        done.append(item)

    hanging = [started_thread(lambda item=item: limiter.run(DEAD, item, act)) for item in "ab"]  # type: ignore[misc]
    for _ in hanging:
        assert started.acquire(timeout=60)
    for item in "cdc":  # "c" is notified twice
        limiter.run(DEAD, item, act)  # returns at once
    limiter.run(RESPONSIVE, "x", done.append)
    assert done == ["x"]
    answer.set()
    for thread in hanging:
        thread.join(60)
    assert sorted(done[1:]) == ["a", "b", "c", "d"]
    limiter.run(DEAD, "e", done.append)
    assert done[-1] == "e"


def test_an_item_that_fails_releases_its_thread() -> None:
    limiter, done = ReceiverLimiter(1, 9), list[str]()

    def fail(item: str) -> None:
        limiter.run(DEAD, "later", done.append)
        raise KeyError(item)

    with pytest.raises(KeyError, match="now"):
        limiter.run(DEAD, "now", fail)
    assert done == []
    limiter.run(DEAD, "last", done.append)
    assert done == ["later", "last"]


def test_a_draining_worker_starts_nothing_more() -> None:
    draining, done = threading.Event(), list[str]()
    limiter = ReceiverLimiter(1, 9, draining.is_set)

    def act(item: str) -> None:
        done.append(item)
        draining.set()
        limiter.run(DEAD, "later", done.append)

    limiter.run(DEAD, "now", act)
    assert done == ["now"]


def test_the_receivers_of_one_project_leave_threads_to_others() -> None:
    """Each hangs in one thread: more receivers than the project may have threads, which then take turns."""
    limiter, answer, started = ReceiverLimiter(2, 3), threading.Event(), threading.Semaphore(0)
    done: list[str] = []

    def act(item: str) -> None:
        started.release()
        assert answer.wait(60)
        done.append(item)

    hanging = [
        started_thread(lambda host=host: limiter.run(Receiver("attacker", host), f"{host}1", act))  # type: ignore[misc]
        for host in "abc"
    ]
    for _ in hanging:
        assert started.acquire(timeout=60)
    for item in ("a2", "a3", "d1", "e1"):
        limiter.run(Receiver("attacker", item[0]), item, act)  # returns at once
    limiter.run(Receiver("other", "a"), "x", done.append)
    assert done == ["x"]
    answer.set()
    for thread in hanging:
        thread.join(60)
    assert sorted(done) == ["a1", "a2", "a3", "b1", "c1", "d1", "e1", "x"]


def test_waiting_receivers_of_a_project_take_turns() -> None:
    limiter, done = ReceiverLimiter(1, 1), list[str]()

    def act(item: str) -> None:
        done.append(item)
        if item == "a1":
            for later in ("a2", "a3", "b1", "c1"):
                limiter.run(Receiver("project", later[0]), later, act)

    limiter.run(Receiver("project", "a"), "a1", act)
    assert done == ["a1", "a2", "b1", "c1", "a3"]
    assert not limiter._waiting
    assert not limiter._busy
