"""Programs that are at work touch their heartbeat file; a worker without its broker does not."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen
from time import monotonic, sleep

import pytest

from cli.embedded import valkey
from ledger.settings import Settings
from worker.heartbeat import SECONDS

Program = Callable[..., Popen[bytes]]
PATIENCE = 180.0  # seconds; a busy machine takes its time to import torch


@pytest.fixture
def heartbeat(tmp_path: Path) -> Path:
    """The file."""
    return tmp_path / "heartbeat"


@pytest.fixture
def settings(settings: Settings, heartbeat: Path) -> Settings:
    """With a heartbeat."""
    return settings.model_copy(update={"heartbeat_file": str(heartbeat)})


@pytest.mark.parametrize(
    "arguments", [("dispatcher",), ("worker", "--queues", "webhooks"), ("worker", "--queues", "edits")]
)
def test_a_program_at_work_beats_again_and_again(program: Program, heartbeat: Path, arguments: tuple[str, ...]) -> None:
    program(*arguments)
    assert _beats(heartbeat)
    assert _beats(heartbeat)


class TestLostBroker:
    """A worker with a broker of its own."""

    @pytest.fixture
    def broker(self, tmp_path: Path) -> Iterator[ExitStack]:
        """Runs until it is closed."""
        with ExitStack() as stack:
            self.url = stack.enter_context(valkey.serve(tmp_path / "broker"))
            yield stack

    @pytest.fixture
    def settings(self, settings: Settings, broker: ExitStack) -> Settings:
        """With that broker."""
        return settings.model_copy(update={"broker_url": self.url})

    def test_a_worker_that_lost_its_broker_does_not_beat(
        self, program: Program, broker: ExitStack, heartbeat: Path
    ) -> None:
        worker = program("worker", "--queues", "webhooks")
        assert _beats(heartbeat)
        broker.close()
        sleep(1.0)  # to notice it
        heartbeat.unlink()
        sleep(2 * SECONDS)
        assert worker.poll() is None
        assert not heartbeat.exists()


def _beats(file: Path) -> bool:
    """Whether the file is touched while we look."""
    file.unlink(missing_ok=True)
    deadline = monotonic() + PATIENCE
    while not file.exists() and monotonic() < deadline:
        sleep(0.1)
    return file.exists()
