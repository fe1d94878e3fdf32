"""Measure seconds and peak memory of a variant. Each variant runs in a process of its own.

Seconds are wall-clock time. A CPU uses all its cores, as for a user, and should have no other load. Memory is that of
the allocator on a GPU, and the resident set on a CPU.
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
_RESET_PEAK = "5"  # proc(5), clear_refs: set the peak resident size to the current size


class ResourceMonitor:
    """The clock and the memory use of one device."""

    def __init__(self, device: str) -> None:
        self.is_cuda = torch.device(device).type == "cuda"

    def clock(self) -> float:
        """The time in seconds, after all work that is queued on the device."""
        if self.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    def reset_peak(self) -> float:
        """Start a new measurement of the peak. Returns the MB in use now, such as the weights."""
        gc.collect()
        if self.is_cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            return torch.cuda.memory_allocated() / _MB
        CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
        return _status("VmRSS")

    def peak_mb(self) -> float:
        """MB at the peak since `reset_peak`, or since the start of the process."""
        return torch.cuda.max_memory_allocated() / _MB if self.is_cuda else _status("VmHWM")


def _status(name: str) -> float:
    """A size of this process in MB. Unlike getrusage, VmHWM does not include the memory of the parent process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def run_measured(module: str, *arguments: str) -> dict[str, Any]:
    """Run `python -m module arguments --json FILE`; returns the content of the file."""
    with tempfile.TemporaryDirectory() as folder:
        file, log = Path(folder) / "result.json", Path(folder) / "log"
        command = [sys.executable, "-m", module, *arguments, "--json", str(file)]
        with log.open("w") as output:
            process = subprocess.run(command, stdout=output, stderr=output, check=False)  # noqa: S603
        if process.returncode or not file.exists():
            raise SystemExit(f"{' '.join(command[2:])} failed:\n{log.read_text()[-2000:]}")
        result: dict[str, Any] = json.loads(file.read_text())
        return result


def ratios(above: Sequence[float], below: Sequence[float]) -> str:
    """The median, lowest and highest ratio of repeats that were measured in turns."""
    each = sorted(a / b for a, b in zip(above, below, strict=True))
    return f"{each[len(each) // 2]:.2f} ({each[0]:.2f} to {each[-1]:.2f})"
