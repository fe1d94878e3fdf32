"""The workers of `lipe up`: one for trainings and edits together, or one for each.

Each worker keeps a base model of its own in memory. On a GPU that does not hold two of them beside a training, one
worker takes the jobs of both kinds in turn.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.embedded.process import stop_orphan

Programs = Mapping[str, tuple[str, ...]]
GPU_FILES = (Path("/dev/nvidiactl"), Path("/dev/dxg"), Path("/dev/kfd"))
"""Of NVIDIA's driver on Linux and on WSL, and of AMD's. Without any of them, `lipe up` does not import torch."""


class Workers(StrEnum):
    """How many workers `lipe up` starts for trainings and edits. `AUTO` decides by the memory of the GPU."""

    AUTO = "auto"
    ONE = "one"
    TWO = "two"


WorkersOption = Annotated[
    Workers,
    typer.Option(
        envvar="LIPE_UP_WORKERS",
        help="One worker for trainings and edits, which then wait for each other, or two, each with a base model in "
        "memory. auto: two, unless the GPU is too small for them.",
    ),
]
"""The option `--workers` of `lipe up`."""

PROGRAMS: Mapping[Workers, Programs] = {
    Workers.ONE: {"worker": ("worker", "--queues", "priors,edits")},
    Workers.TWO: {
        "prior-worker": ("worker", "--queues", "priors"),
        "edit-worker": ("worker", "--queues", "edits"),
    },
}
"""The `lipe` command of each program, by its name."""


def choose_workers(workers: Workers, environment: Mapping[str, str]) -> Workers:
    """The number of workers: the one that was asked for, or what `lipe doctor` plans for the GPU; two without one."""
    if workers is not Workers.AUTO:
        return workers
    settings = {**os.environ, **environment}
    if settings.get("LIPE_DEVICE") == "cpu" or not any(file.exists() for file in GPU_FILES):
        return Workers.TWO
    # A process of its own: a CUDA context in this one would occupy the GPU's memory as long as the service runs.
    plan = [sys.executable, "-m", "cli.doctor.workers"]
    answer = subprocess.run(plan, env=settings, capture_output=True, text=True, check=False)  # noqa: S603
    found = answer.stdout.strip()
    return Workers(found) if found in PROGRAMS else Workers.ONE


def stop_other_workers(chosen: Workers, data_dir: Path) -> None:
    """Stop workers that a crashed `lipe up` left behind and that this one does not start. Raises FolderInUse."""
    for workers, programs in PROGRAMS.items():
        for name in programs if workers is not chosen else ():
            if (data_dir / name).exists():
                stop_orphan(data_dir / name)
