"""Two transactions that meet: one stays open in the test, and a request in a thread waits for it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from ledger.database import UnitOfWork
from tests.support.waiting import eventually

BLOCKED = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


def is_blocked(begin: UnitOfWork) -> bool:
    """Whether a transaction waits for another one."""
    with begin() as session:
        return bool(session.scalar(BLOCKED))


def answer_after(begin: UnitOfWork, first: Callable[[Session], object], request: Callable[[], Any]) -> Any:
    """The answer to a request that is sent while the transaction `first` is open, and that waits for it."""

    with ThreadPoolExecutor(1) as pool:
        with begin() as session:
            first(session)
            answer = pool.submit(request)
            eventually(lambda: is_blocked(begin))
        return answer.result()
