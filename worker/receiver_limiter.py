"""Turns at the receivers of webhooks: however much one of them is to be sent, it keeps a few threads, never all."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock


class ReceiverLimiter:
    """At most `at_once` threads for one receiver. What comes for it meanwhile waits here, and holds no thread.

    Nothing is lost with this memory: the dispatcher rings again. `stopping`: nothing new is begun.
    """

    def __init__(self, at_once: int, stopping: Callable[[], bool] = lambda: False) -> None:
        self.at_once, self.stopping = at_once, stopping
        self._busy: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, OrderedDict[str, None]] = {}
        self._lock = Lock()

    def take(self, receiver: Hashable, item: str, act: Callable[[str], None]) -> None:
        """`act` on the item, then on what waits for the receiver; or leave the item to the threads that do so."""
        with self._lock:
            self._waiting.setdefault(receiver, OrderedDict())[item] = None
            if self._busy[receiver] >= self.at_once:
                return
            self._busy[receiver] += 1
        try:
            while (following := self._next(receiver)) is not None:
                act(following)
        except BaseException:
            with self._lock:
                self._leave(receiver)
            raise

    def _next(self, receiver: Hashable) -> str | None:
        """The oldest that waits; None, and this thread has left, where there is none."""
        with self._lock:
            waiting = self._waiting.get(receiver)
            if waiting and not self.stopping():
                return waiting.popitem(last=False)[0]
            self._leave(receiver)
            return None

    def _leave(self, receiver: Hashable) -> None:
        self._busy[receiver] -= 1
        if not self._busy[receiver]:
            del self._busy[receiver]
        if not self._waiting.get(receiver):
            self._waiting.pop(receiver, None)
