"""Running programs touch their heartbeat file; a worker that lost the broker does not."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen
from time import sleep

import pytest

from cli.embedded import valkey
from ledger.settings import Settings
from tests.support.waiting import eventually
from worker.heartbeat import INTERVAL_SECONDS

Program = Callable[..., Popen[bytes]]


@pytest.fixture
def heartbeat(tmp_path: Path) -> Path:
    """The heartbeat file."""
    return tmp_path / "heartbeat"


@pytest.fixture
def settings(settings: Settings, heartbeat: Path) -> Settings:
    """Settings with a heartbeat file."""
    return settings.model_copy(update={"heartbeat_file": str(heartbeat)})


@pytest.mark.parametrize(
    "arguments",
    [
        ("dispatcher",),
        ("worker", "--queues", "webhooks"),
        pytest.param(("worker", "--queues", "edits"), marks=pytest.mark.slow),
    ],
)
def test_a_running_program_touches_the_file_repeatedly(
    program: Program, heartbeat: Path, arguments: tuple[str, ...]
) -> None:
    program(*arguments)
    _wait_for_touch(heartbeat)
    _wait_for_touch(heartbeat)


class TestLostBroker:
    """A worker with a broker of its own."""

    @pytest.fixture
    def broker(self, tmp_path: Path) -> Iterator[ExitStack]:
        """A broker that runs until the stack is closed."""
        with ExitStack() as stack:
            self.url = stack.enter_context(valkey.serve(tmp_path / "broker"))
            yield stack

    @pytest.fixture
    def settings(self, settings: Settings, broker: ExitStack) -> Settings:
        """Settings with that broker."""
        return settings.model_copy(update={"broker_url": self.url})

    @pytest.mark.slow
    def test_a_worker_that_lost_its_broker_does_not_touch_the_file(
        self, program: Program, broker: ExitStack, heartbeat: Path
    ) -> None:
        worker = program("worker", "--queues", "webhooks")
        _wait_for_touch(heartbeat)
        broker.close()
        eventually(lambda: _is_silent(heartbeat))  # the worker needs a moment to detect the loss
        sleep(2 * INTERVAL_SECONDS)
        assert worker.poll() is None
        assert not heartbeat.exists()


def _wait_for_touch(file: Path) -> None:
    """Delete the file and wait until it is back."""
    file.unlink(missing_ok=True)
    eventually(file.exists, seconds=300)  # a loaded machine needs long to import torch


def _is_silent(file: Path) -> bool:
    """Whether the file, deleted, stays away for longer than the interval."""
    file.unlink(missing_ok=True)
    sleep(1.5 * INTERVAL_SECONDS)
    return not file.exists()
