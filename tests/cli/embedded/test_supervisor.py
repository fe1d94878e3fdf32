"""A supervised program is restarted after it exits; one that keeps exiting is given up."""

import json
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from cli.embedded import supervisor
from cli.embedded.process import StartError
from cli.embedded.supervisor import Supervisor
from tests.support.waiting import eventually

SLEEP = "import time; time.sleep(60)"


def test_a_killed_program_is_restarted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "RESTART_SECONDS", 0.01)
    with _program(SLEEP, tmp_path).running() as program:
        program.wait_until_ready()
        first = program.child
        assert first is not None
        os.kill(first.pid, signal.SIGKILL)
        eventually(lambda: program.child is not first)
        second = program.child
        assert second is not None
        assert second.poll() is None
    assert second.poll() is not None


def test_a_program_that_keeps_exiting_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "RESTART_SECONDS", 0.01)
    with _program("exit('no such luck')", tmp_path).running() as program:
        eventually(lambda: program.failure is not None)
        assert program.failure is not None
        assert "status 1" in program.failure
        assert "no such luck" in (tmp_path / "log").read_text()


def test_a_program_that_exits_before_it_is_ready_is_an_error(tmp_path: Path) -> None:
    program = Supervisor(
        "it", [sys.executable, "-c", "exit('no luck')"], tmp_path, environment={}, is_ready=lambda: False
    )
    with program.running(), pytest.raises(StartError, match="no luck"):
        program.wait_until_ready()


def test_the_programs_own_children_end_with_it(tmp_path: Path) -> None:
    nested = f"""
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", {SLEEP!r}]).pid, flush=True)
time.sleep(60)
"""
    with _program(nested, tmp_path).running() as program:
        program.wait_until_ready()
        eventually(lambda: (tmp_path / "log").read_text().endswith("\n"))
        grandchild = psutil.Process(int(json.loads((tmp_path / "log").read_text())["event"]))
    eventually(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)


def _program(code: str, folder: Path) -> Supervisor:
    folder.joinpath("log").touch()
    return Supervisor("it", [sys.executable, "-c", code], folder, environment={}, is_ready=lambda: True)
