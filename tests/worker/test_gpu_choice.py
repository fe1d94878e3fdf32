"""Workers of one machine share its GPUs."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from ledger.settings import Settings
from tests.support.checkout import ROOT
from worker.gpu_choice import VISIBLE, NoFreeGpu, gpu_taken, taken_place, visible_gpus

LISTED = """GPU 0: NVIDIA L4 (UUID: GPU-aaaa-1)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-bbbb-2)
  MIG 3g.40gb     Device  0: (UUID: MIG-cccc-3)
  MIG 3g.40gb     Device  1: (UUID: MIG-dddd-4)
GPU 2: NVIDIA L4 (UUID: GPU-eeee-5)
"""
HOLD = """
import sys
from pathlib import Path
from worker.gpu_choice import NoFreeGpu, taken_place
try:
    with taken_place(Path(sys.argv[1]), ["a", "b"], 1) as gpu:
        print(gpu, flush=True)
        sys.stdin.read()
except NoFreeGpu as error:
    print(error, flush=True)
"""


@pytest.fixture(autouse=True)
def sees_every_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this process sees, the test begins with the variable unset, and it is restored afterwards."""
    monkeypatch.setenv(VISIBLE, "")
    monkeypatch.delenv(VISIBLE)


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose driver lists GPUs, one of which is cut into slices."""
    program = tmp_path / "bin/nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n[ \"$1\" = -L ] && cat <<'END'\n{LISTED}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_every_gpu_gets_a_worker_before_one_gets_a_second(tmp_path: Path) -> None:
    with ExitStack() as stack:
        taken = [stack.enter_context(taken_place(tmp_path, ["a", "b", "c"], 2)) for _ in range(6)]
        assert taken == ["a", "b", "c", "a", "b", "c"]
        with pytest.raises(NoFreeGpu, match="each of the 3 GPUs of this machine has 2 worker"):
            stack.enter_context(taken_place(tmp_path, ["a", "b", "c"], 2))
    with taken_place(tmp_path, ["a", "b", "c"], 2) as gpu:
        assert gpu == "a"


def test_a_killed_worker_leaves_its_gpu_to_the_next(tmp_path: Path) -> None:
    def start() -> tuple[subprocess.Popen[str], str]:
        child = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert child.stdout is not None
        return child, child.stdout.readline().strip()

    workers = [start() for _ in range(3)]
    assert [answer for _, answer in workers[:2]] == ["a", "b"]
    assert workers[2][1].startswith("each of the 2 GPUs of this machine has 1 worker")
    workers[0][0].kill()
    workers[0][0].wait()
    workers.append(start())
    assert workers[3][1] == "a"
    for child, _ in workers:
        child.communicate()


@pytest.mark.usefixtures("driver")
def test_the_driver_lists_the_gpus_and_slices_in_place_of_a_whole_one() -> None:
    assert visible_gpus() == ["GPU-aaaa-1", "MIG-cccc-3", "MIG-dddd-4", "GPU-eeee-5"]


@pytest.mark.usefixtures("driver")
def test_two_workers_see_a_gpu_of_their_own(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = settings.model_copy(update={"workers_per_gpu": 1, "device": "cuda"})
    with gpu_taken(shared):
        assert os.environ[VISIBLE] == "GPU-aaaa-1"
        monkeypatch.delenv(VISIBLE)
        with gpu_taken(shared):
            assert os.environ[VISIBLE] == "MIG-cccc-3"


def test_a_worker_chooses_among_the_gpus_that_it_is_shown(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "2, 5")
    assert visible_gpus() == ["2", "5"]
    with gpu_taken(settings):  # nothing is chosen unless the setting says it
        assert os.environ[VISIBLE] == "2, 5"


def test_a_machine_without_a_gpu_is_an_error_that_says_what_to_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    shared = settings.model_copy(update={"workers_per_gpu": 1, "device": "cuda"})
    with pytest.raises(NoFreeGpu, match="this machine shows no GPU: set it to 0"), gpu_taken(shared):
        pass
    with gpu_taken(shared.model_copy(update={"device": "cpu"})):
        assert VISIBLE not in os.environ
