"""The heartbeat as a step of Celery's consumer."""

from pathlib import Path
from types import SimpleNamespace

from kombu.asynchronous.timer import Timer

from ledger.settings import Settings
from worker.heartbeat import beat, beating


def test_no_file_is_named_no_file_is_touched(settings: Settings, tmp_path: Path) -> None:
    beat(settings)
    assert not list(tmp_path.iterdir())


def test_a_worker_beats_from_when_it_is_loaded_until_it_is_stopped(settings: Settings, tmp_path: Path) -> None:
    file, timer, loaded = tmp_path / "heartbeat", Timer(), False
    step = beating(settings.model_copy(update={"heartbeat_file": str(file)}), lambda: loaded)(None)
    step.start(SimpleNamespace(timer=timer))
    assert not file.exists()
    loaded = True
    assert len(timer) == 1
    timer.queue[0].entry()
    assert file.exists()
    step.stop(None)
    assert timer.queue[0].entry.canceled
