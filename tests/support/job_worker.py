"""A thread that stands in for a worker: it runs the first job that is queued."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import select

from ledger.database import UnitOfWork
from ledger.models import Job
from tests.support.waiting import eventually


@contextmanager
def job_worker(begin: UnitOfWork, run: Callable[[Job], None], kind: str = "edit") -> Iterator[None]:
    """Run the first queued job of the kind with `run`, in a thread that ends with the block."""

    def queued() -> Job | None:
        with begin() as session:
            return session.scalars(select(Job).where(Job.kind == kind, Job.state == "queued")).first()

    def work() -> None:
        eventually(lambda: queued() is not None)
        job = queued()
        assert job
        run(job)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()
