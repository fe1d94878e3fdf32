"""A queue for few slots that many projects share: none can occupy all of them, and those that wait take turns."""

from asyncio import wrap_future
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from threading import Lock


class FairQueue:
    """`async with queue.turn(owner):` holds one of `slots`.

    An owner holds at most `share` of them: by default all but one, which stays free for the others. The owners that
    wait take turns, each with the request that has waited longest. It works across event loops.
    """

    def __init__(self, slots: int, share: int | None = None) -> None:
        self._free, self._share = slots, max(slots - 1, 1) if share is None else share
        self._held: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[Future[None]]] = OrderedDict()
        self._lock = Lock()

    @asynccontextmanager
    async def turn(self, owner: str) -> AsyncIterator[None]:
        """Context manager that waits for a slot and holds it. A caller that is cancelled while it waits leaves."""
        ticket: Future[None] = Future()
        with self._lock:
            self._waiting.setdefault(owner, deque()).append(ticket)
            self._admit()
        try:
            await wrap_future(ticket)
            yield
        finally:
            with self._lock:
                if not ticket.cancel():  # it was admitted
                    self._free += 1
                    self._held -= Counter({owner: 1})
                self._admit()

    def _admit(self) -> None:
        """Give a free slot to the first owner in turn that may have one more.

        One is enough: each entrance and each exit makes room for one at most.
        """
        for owner, waiting in list(self._waiting.items()):
            while self._free and waiting and self._held[owner] < self._share:
                ticket = waiting.popleft()
                if ticket.set_running_or_notify_cancel():
                    self._free -= 1
                    self._held[owner] += 1
                    self._waiting.move_to_end(owner)
                    ticket.set_result(None)
                    return
            if not waiting:
                del self._waiting[owner]
