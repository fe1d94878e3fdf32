"""One receiver occupies no more threads than its limit, and every item is processed."""

import threading
from collections.abc import Callable

import pytest

from worker.receiver_limiter import ReceiverLimiter


def started_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_further_items_of_a_receiver_that_hangs_wait_without_a_thread() -> None:
    limiter, answer, started = ReceiverLimiter(2), threading.Event(), threading.Semaphore(0)
    done: list[str] = []

    def act(item: str) -> None:
        started.release()
        assert answer.wait(60)
        done.append(item)

    hanging = [started_thread(lambda item=item: limiter.run("dead", item, act)) for item in "ab"]  # type: ignore[misc]
    for _ in hanging:
        assert started.acquire(timeout=60)
    for item in "cdc":  # "c" is notified twice
        limiter.run("dead", item, act)  # returns at once
    limiter.run("responsive", "x", done.append)
    assert done == ["x"]
    answer.set()
    for thread in hanging:
        thread.join(60)
    assert sorted(done[1:]) == ["a", "b", "c", "d"]
    limiter.run("dead", "e", done.append)
    assert done[-1] == "e"


def test_an_item_that_fails_releases_its_thread() -> None:
    limiter, done = ReceiverLimiter(1), list[str]()

    def fail(item: str) -> None:
        limiter.run("receiver", "later", done.append)
        raise KeyError(item)

    with pytest.raises(KeyError, match="now"):
        limiter.run("receiver", "now", fail)
    assert done == []
    limiter.run("receiver", "last", done.append)
    assert done == ["later", "last"]


def test_a_draining_worker_starts_nothing_more() -> None:
    draining, done = threading.Event(), list[str]()
    limiter = ReceiverLimiter(1, draining.is_set)

    def act(item: str) -> None:
        done.append(item)
        draining.set()
        limiter.run("receiver", "later", done.append)

    limiter.run("receiver", "now", act)
    assert done == ["now"]
