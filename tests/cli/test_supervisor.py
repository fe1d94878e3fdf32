"""A supervised program comes back after a death, and a program that cannot live is given up with its log."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cli.embedded import supervisor
from cli.embedded.process import StartError
from cli.embedded.supervisor import Supervisor

SLEEP = "import time; time.sleep(60)"


def test_a_killed_program_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "RESTART_SECONDS", 0.01)
    with _program(SLEEP, tmp_path).caring() as program:
        first = program.child
        os.kill(first.pid, signal.SIGKILL)
        _wait_until(lambda: program.child is not first)
        second = program.child
        assert second.poll() is None
    assert second.poll() is not None


def test_a_program_that_always_dies_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "RESTART_SECONDS", 0.01)
    with _program("exit('no such luck')", tmp_path).caring() as program:
        _wait_until(lambda: program.failure is not None)
        assert "status 1" in program.failure
        assert "no such luck" in (tmp_path / "log").read_text()


def test_a_program_that_never_gets_ready_is_an_error(tmp_path: Path) -> None:
    program = Supervisor(
        "it", [sys.executable, "-c", "exit('no luck')"], tmp_path, environment={}, is_ready=lambda: False
    )
    with pytest.raises(StartError, match="no luck"), program.caring():
        pass


def test_what_the_program_started_ends_with_it(tmp_path: Path) -> None:
    nested = f"""
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", {SLEEP!r}]).pid, flush=True)
time.sleep(60)
"""
    with _program(nested, tmp_path).caring():
        _wait_until(lambda: (tmp_path / "log").read_text().endswith("\n"))
        grandchild = psutil.Process(int((tmp_path / "log").read_text()))
    _wait_until(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)


def _program(code: str, folder: Path) -> Supervisor:
    folder.joinpath("log").touch()
    return Supervisor("it", [sys.executable, "-c", code], folder, environment={}, is_ready=lambda: True)


def _wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise subprocess.TimeoutExpired("condition", seconds)
        time.sleep(0.01)
