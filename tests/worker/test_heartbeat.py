"""The heartbeat as a step of Celery's consumer."""

from pathlib import Path
from types import SimpleNamespace

from kombu.asynchronous.timer import Timer

from ledger.settings import Settings
from worker.heartbeat import heartbeat_step, touch_heartbeat


def test_without_a_file_name_no_file_is_touched(settings: Settings, tmp_path: Path) -> None:
    touch_heartbeat(settings)
    assert not list(tmp_path.iterdir())


def test_the_file_is_touched_once_the_worker_is_loaded_and_until_it_stops(settings: Settings, tmp_path: Path) -> None:
    file, timer, loaded = tmp_path / "heartbeat", Timer(), False
    step = heartbeat_step(settings.model_copy(update={"heartbeat_file": str(file)}), lambda: loaded)(None)
    step.start(SimpleNamespace(timer=timer))
    assert not file.exists()
    loaded = True
    assert len(timer) == 1
    timer.queue[0].entry()
    assert file.exists()
    step.stop(None)
    assert timer.queue[0].entry.canceled
