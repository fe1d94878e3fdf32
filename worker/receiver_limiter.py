"""A limit on the threads that send webhooks to one receiver, so that a slow receiver does not occupy all of them."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock


class ReceiverLimiter:
    """Runs at most `max_threads` actions at once for each receiver. Further items wait in a queue without a thread.

    The queue is in memory only: after a crash the dispatcher notifies again. While `draining`, no new action starts.
    """

    def __init__(self, max_threads: int, draining: Callable[[], bool] = lambda: False) -> None:
        self.max_threads, self.draining = max_threads, draining
        self._busy: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, OrderedDict[str, None]] = {}
        self._lock = Lock()

    def run(self, receiver: Hashable, item: str, act: Callable[[str], None]) -> None:
        """Call `act` on the item, then on the items that wait for the receiver.

        Returns at once if the receiver has all its threads: one of these takes the item later.
        """
        with self._lock:
            self._waiting.setdefault(receiver, OrderedDict())[item] = None
            if self._busy[receiver] >= self.max_threads:
                return
            self._busy[receiver] += 1
        try:
            while (following := self._next(receiver)) is not None:
                act(following)
        except BaseException:
            with self._lock:
                self._release(receiver)
            raise

    def _next(self, receiver: Hashable) -> str | None:
        """The item that has waited longest; None, with this thread released, if no item waits."""
        with self._lock:
            waiting = self._waiting.get(receiver)
            if waiting and not self.draining():
                return waiting.popitem(last=False)[0]
            self._release(receiver)
            return None

    def _release(self, receiver: Hashable) -> None:
        self._busy[receiver] -= 1
        if not self._busy[receiver]:
            del self._busy[receiver]
        if not self._waiting.get(receiver):
            self._waiting.pop(receiver, None)
