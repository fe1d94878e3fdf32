"""Fair turns: no owner holds every slot, owners take turns, and a caller that gives up leaves the queue."""

import asyncio
from collections import Counter

from api.fair_queue import FairQueue


class Users:
    """Requests that wait for a turn and hold it until they are released; `admitted` has their order."""

    def __init__(self, queue: FairQueue) -> None:
        self.queue, self.admitted = queue, list[str]()
        self.releases: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def enter(self, *names: str) -> None:
        for name in names:
            self.releases[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._hold(name))
        await self.settle()

    async def leave(self, name: str) -> None:
        self.releases[name].set()
        await self.tasks[name]
        await self.settle()

    async def cancel(self, name: str) -> None:
        self.tasks[name].cancel()
        await asyncio.wait([self.tasks[name]])
        await self.settle()

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def _hold(self, name: str) -> None:
        async with self.queue.turn(name[0]):
            self.admitted.append(name)
            await self.releases[name].wait()


def test_a_slot_stays_free_for_another_owner() -> None:
    async def scenario() -> None:
        users = Users(FairQueue(2))
        await users.enter("a1", "a2", "a3", "a4", "b1")
        assert users.admitted == ["a1", "b1"]
        await users.leave("b1")
        assert users.admitted == ["a1", "b1"]
        for name in ("a1", "a2", "a3", "a4"):
            await users.leave(name)
        assert users.admitted == ["a1", "b1", "a2", "a3", "a4"]

    asyncio.run(scenario())


def test_owners_that_wait_take_turns() -> None:
    async def scenario() -> None:
        users = Users(FairQueue(2))
        await users.enter("a1", "b1", "a2", "a3", "a4", "b2", "c1")
        for name in ("a1", "b1", "a2", "b2", "c1", "a3", "a4"):
            await users.leave(name)
        assert users.admitted[:5] == ["a1", "b1", "a2", "b2", "c1"]
        assert users.admitted[5:] == ["a3", "a4"]

    asyncio.run(scenario())


def test_an_owner_holds_no_more_than_its_share() -> None:
    async def scenario() -> None:
        users = Users(FairQueue(4, share=1))
        await users.enter("a1", "a2", "b1", "c1")
        assert users.admitted == ["a1", "b1", "c1"]
        for name in ("a1", "a2", "b1", "c1"):
            await users.leave(name)
        assert users.admitted[-1] == "a2"

    asyncio.run(scenario())


def test_a_single_slot_is_shared_too() -> None:
    async def scenario() -> None:
        users = Users(FairQueue(1))
        await users.enter("a1", "a2", "b1")
        await users.leave("a1")
        assert users.admitted == ["a1", "a2"]
        await users.leave("a2")
        assert users.admitted == ["a1", "a2", "b1"]

    asyncio.run(scenario())


def test_a_caller_that_is_cancelled_leaves_no_slot_taken() -> None:
    async def scenario() -> None:
        queue = FairQueue(2)
        users = Users(queue)
        await users.enter("a1", "a2", "b1", "c1")
        await users.cancel("a2")  # waits
        await users.cancel("a1")  # holds a slot
        assert users.admitted == ["a1", "b1", "c1"]
        for name in ("b1", "c1"):
            await users.leave(name)
        await users.enter("d1", "e1")
        assert users.admitted[-2:] == ["d1", "e1"]
        assert queue._held == Counter("de")

    asyncio.run(scenario())
