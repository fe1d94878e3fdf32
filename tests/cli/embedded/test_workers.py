"""The number of workers of `lipe up`."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.embedded import workers
from cli.embedded.process import running
from cli.embedded.workers import Workers, choose_workers, stop_other_workers
from tests.support.waiting import eventually


def test_without_a_gpu_there_are_two_and_a_choice_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(workers, "GPU_FILES", (tmp_path / "gpu",))
    assert choose_workers(Workers.AUTO, {}) is Workers.TWO
    assert choose_workers(Workers.ONE, {}) is Workers.ONE
    (tmp_path / "gpu").touch()
    assert choose_workers(Workers.AUTO, {"LIPE_DEVICE": "cpu"}) is Workers.TWO


@pytest.mark.parametrize(
    ("answer", "expected"), [("one\n", Workers.ONE), ("two\n", Workers.TWO), ("", Workers.ONE), ("auto", Workers.ONE)]
)
def test_with_a_gpu_the_plan_decides_and_one_is_safe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str, expected: Workers
) -> None:
    (tmp_path / "gpu").touch()
    asked: list[list[str]] = []

    def plan(command: list[str], **options: Any) -> Any:
        asked.append(command)
        return SimpleNamespace(stdout=answer)

    monkeypatch.setattr(workers, "GPU_FILES", (tmp_path / "gpu",))
    monkeypatch.setattr(subprocess, "run", plan)
    assert choose_workers(Workers.AUTO, {"LIPE_DEVICE": "auto"}) is expected
    assert asked == [[sys.executable, "-m", "cli.doctor.workers"]]


def test_a_worker_that_a_crash_left_and_that_is_not_started_again_is_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with running(command, tmp_path / "first", is_ready=lambda: True) as child:
        left = tmp_path / "data" / "prior-worker"
        left.mkdir(parents=True)
        (left / "process.json").write_text((tmp_path / "first" / "process.json").read_text())
        stop_other_workers(Workers.TWO, tmp_path / "data")
        assert child.poll() is None
        stop_other_workers(Workers.ONE, tmp_path / "data")
        eventually(lambda: child.poll() is not None)
