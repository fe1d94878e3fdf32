"""The GPU of a worker, if several workers share the GPUs of one machine: one that few enough others use.

The workers of a machine share LIPE_DATA_DIR, where each place on a GPU is a file. A worker locks one, and the lock ends
with its process, however that ends. Nothing here imports torch: the choice must be made before CUDA starts.
"""

import fcntl
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ledger.settings import Settings

VISIBLE = "CUDA_VISIBLE_DEVICES"
LISTED = re.compile(r"^(\s*)\S.*UUID: ((?:GPU|MIG)-[\w/-]+)\)", re.MULTILINE)


class NoFreeGpu(ValueError):
    """There is no GPU that the worker may use; the message says why."""


@contextmanager
def gpu_taken(settings: Settings) -> Iterator[None]:
    """Context manager that shows one free GPU to CUDA, for this process and its children, with workers_per_gpu.

    Raises NoFreeGpu.
    """
    if not settings.workers_per_gpu or settings.device == "cpu":
        yield
        return
    gpus = visible_gpus()
    folder = settings.data_dir / "gpus"
    folder.mkdir(parents=True, exist_ok=True)
    with taken_place(folder, gpus, settings.workers_per_gpu) as gpu:
        os.environ[VISIBLE] = gpu
        yield


def visible_gpus() -> list[str]:
    """The GPUs of this machine that CUDA_VISIBLE_DEVICES shows, by their names for it; MIG slices in place of a GPU.

    Raises NoFreeGpu if there is none.
    """
    if VISIBLE in os.environ:
        gpus = [gpu.strip() for gpu in os.environ[VISIBLE].split(",") if gpu.strip()]
    else:
        gpus = _listed_gpus()
    if not gpus:
        raise NoFreeGpu("LIPE_WORKERS_PER_GPU is set, and this machine shows no GPU: set it to 0, or see docs/gpus.md")
    return gpus


def _listed_gpus() -> list[str]:
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True)  # noqa: S607
    except (OSError, subprocess.CalledProcessError):
        return []
    names: list[str] = []
    for indent, name in LISTED.findall(listed.stdout):
        if indent and names and names[-1].startswith("GPU"):
            names.pop()  # a GPU that is cut into slices takes no work itself
        names.append(name)
    return names


@contextmanager
def taken_place(folder: Path, gpus: Sequence[str], most: int) -> Iterator[str]:
    """Context manager that holds a place on one of the GPUs: every GPU gets a worker before one gets a second.

    Raises NoFreeGpu if each GPU has `most` workers.
    """
    for place in range(most):
        for gpu in gpus:
            file = os.open(folder / f"{gpu.replace('/', '-')}.{place}", os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                continue
            try:
                yield gpu
            finally:
                os.close(file)
            return
    raise NoFreeGpu(
        f"each of the {len(gpus)} GPUs of this machine has {most} worker(s) already: start fewer workers, "
        "or raise LIPE_WORKERS_PER_GPU if the memory of a GPU holds more"
    )
