"""Turns: one receiver keeps no more threads than its share, and everything gets its turn."""

import threading
from collections.abc import Callable

import pytest

from worker.receiver_limiter import ReceiverLimiter


def begun(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_receiver_that_hangs_keeps_its_share_and_the_rest_waits_without_a_thread() -> None:
    turns, answer, at_it = ReceiverLimiter(2), threading.Event(), threading.Semaphore(0)
    done: list[str] = []

    def act(item: str) -> None:
        at_it.release()
        assert answer.wait(60)
        done.append(item)

    hanging = [begun(lambda item=item: turns.take("dead", item, act)) for item in "ab"]  # type: ignore[misc]
    for _ in hanging:
        assert at_it.acquire(timeout=60)
    for item in "cdc":  # one of them rung twice
        turns.take("dead", item, act)  # comes back at once
    turns.take("well", "x", done.append)
    assert done == ["x"]
    answer.set()
    for thread in hanging:
        thread.join(60)
    assert sorted(done[1:]) == ["a", "b", "c", "d"]
    turns.take("dead", "e", done.append)
    assert done[-1] == "e"


def test_what_fails_gives_its_turn_back() -> None:
    turns, done = ReceiverLimiter(1), list[str]()

    def fail(item: str) -> None:
        turns.take("receiver", "later", done.append)
        raise KeyError(item)

    with pytest.raises(KeyError, match="now"):
        turns.take("receiver", "now", fail)
    assert done == []
    turns.take("receiver", "last", done.append)
    assert done == ["later", "last"]


def test_who_is_told_to_stop_begins_nothing_more() -> None:
    stopping, done = threading.Event(), list[str]()
    turns = ReceiverLimiter(1, stopping.is_set)

    def act(item: str) -> None:
        done.append(item)
        stopping.set()
        turns.take("receiver", "later", done.append)

    turns.take("receiver", "now", act)
    assert done == ["now"]
