"""What a variant costs: seconds, and memory at its peak. Each variant runs in a process of its own.

Seconds are the wall's; a CPU works with all its cores, as it does for a user, and should have nothing else to do.
Memory is the allocator's on a GPU, and on a CPU what is resident.
"""

import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from ctypes import CDLL
from pathlib import Path
from typing import Any

import torch

_MB = 2**20
_RESET_PEAK = "5"  # proc(5), clear_refs: the peak resident size becomes the present one


class Meter:
    """The clock and the memory gauge of one device."""

    def __init__(self, device: str) -> None:
        self.is_cuda = torch.device(device).type == "cuda"

    def seconds(self) -> float:
        """The clock, what the device still has to do included."""
        if self.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    def start_peak(self) -> float:
        """Begin a new peak; returns the MB held now: weights and whatever else stays."""
        gc.collect()
        if self.is_cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            return torch.cuda.memory_allocated() / _MB
        CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
        return _status("VmRSS")

    def peak(self) -> float:
        """MB at the peak since it was begun; without a beginning, since the process was."""
        return torch.cuda.max_memory_allocated() / _MB if self.is_cuda else _status("VmHWM")


def _status(name: str) -> float:
    """A size of this process in MB; unlike getrusage's, VmHWM does not know what the parent once held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def measured(module: str, *arguments: str) -> dict[str, Any]:
    """Run `python -m module arguments --json FILE` alone; returns what it wrote into the file."""
    with tempfile.TemporaryDirectory() as folder:
        file, log = Path(folder) / "result.json", Path(folder) / "log"
        command = [sys.executable, "-m", module, *arguments, "--json", str(file)]
        with log.open("w") as said:
            done = subprocess.run(command, stdout=said, stderr=said, check=False)  # noqa: S603
        if done.returncode or not file.exists():
            raise SystemExit(f"{' '.join(command[2:])} failed:\n{log.read_text()[-2000:]}")
        result: dict[str, Any] = json.loads(file.read_text())
        return result


def ratios(above: Sequence[float], below: Sequence[float]) -> str:
    """The median ratio of interleaved repeats, and the lowest and highest one."""
    each = sorted(a / b for a, b in zip(above, below, strict=True))
    return f"{each[len(each) // 2]:.2f} ({each[0]:.2f} to {each[-1]:.2f})"
