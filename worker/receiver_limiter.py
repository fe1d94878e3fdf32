"""Fair shares of few threads: slow receivers of one project delay neither its other receivers nor other projects."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import NamedTuple


class Receiver(NamedTuple):
    """Where an item goes: its `group`, such as a project, and the place within the group, such as a host and port."""

    group: Hashable
    place: Hashable


class ReceiverLimiter:
    """Runs at most `max_threads` actions at once for each receiver, and at most `max_group_threads` for each group.

    Further items wait in a queue without a thread. A thread that becomes free takes an item of the same group; its
    receivers take turns. The queue is in memory only: after a crash the dispatcher notifies again. While `draining`, no
    new action starts.
    """

    def __init__(self, max_threads: int, max_group_threads: int, draining: Callable[[], bool] = lambda: False) -> None:
        self.max_threads, self.max_group_threads, self.draining = max_threads, max_group_threads, draining
        self._busy: Counter[Receiver] = Counter()
        self._busy_groups: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, OrderedDict[Receiver, OrderedDict[str, None]]] = {}
        self._lock = Lock()

    def run(self, receiver: Receiver, item: str, act: Callable[[str], None]) -> None:
        """Call `act` on the item, or on another that waits in its group, until no item of the group may start.

        Returns at once if receiver or group have all their threads: one of these takes the item later.
        """
        with self._lock:
            group = self._waiting.setdefault(receiver.group, OrderedDict())
            group.setdefault(receiver, OrderedDict())[item] = None
        while (following := self._next(receiver.group)) is not None:
            chosen, waiting = following
            try:
                act(waiting)
            finally:
                with self._lock:
                    self._busy[chosen] -= 1
                    self._busy_groups[chosen.group] -= 1

    def _next(self, group: Hashable) -> tuple[Receiver, str] | None:
        """The item that has waited longest of the first receiver in turn that has a thread left; it is busy then."""
        with self._lock:
            receivers = self._waiting.get(group, OrderedDict())
            if self.draining() or self._busy_groups[group] >= self.max_group_threads:
                return None
            receiver = next((one for one in receivers if self._busy[one] < self.max_threads), None)
            if receiver is None:
                self._forget(group)
                return None
            items = receivers[receiver]
            item, _ = items.popitem(last=False)
            receivers.move_to_end(receiver)
            if not items:
                del receivers[receiver]
            self._busy[receiver] += 1
            self._busy_groups[group] += 1
            return receiver, item

    def _forget(self, group: Hashable) -> None:
        """Drop the counts and queues that are empty, as the names of projects and hosts are not bounded."""
        if not self._waiting.get(group):
            self._waiting.pop(group, None)
        self._busy += Counter()
        self._busy_groups += Counter()
