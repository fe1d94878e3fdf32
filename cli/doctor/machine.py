"""The checks of this machine: Python, packages, device, memory and disk."""

import importlib
import platform
import re
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from cli.doctor.base_model import base_model_of, weight_bytes
from cli.doctor.finding import Finding, failed, fine, one_line, unchecked
from cli.doctor.partial_settings import PartialSettings

DISTRIBUTION = "lipe-server"
GIB = 1 << 30
MIN_FREE_DISK = GIB
"""Postgres keeps up to 1 GB of its log before a checkpoint (its default `max_wal_size`), and stops on a full disk."""
BFLOAT16_BYTES, FLOAT32_BYTES = 2, 4  # the worker's precision: bfloat16 on CUDA, float32 on a CPU
INSTALL = "run `make setup`, or install the package with the extras that this machine needs"


def check_python(partial: PartialSettings) -> Finding:
    """Whether the interpreter is new enough."""
    needed = metadata.metadata(DISTRIBUTION)["Requires-Python"]
    oldest = tuple(map(int, re.findall(r"\d+", needed)))
    if sys.version_info[: len(oldest)] < oldest:
        return failed("python", f"this is Python {platform.python_version()}: install {needed}, then {INSTALL}")
    return fine("python", f"{platform.python_version()} ({needed} is needed)")


def check_packages(partial: PartialSettings) -> Finding:
    """Whether the packages of API and workers are installed, in any version."""
    needed = [
        text for text in metadata.requires(DISTRIBUTION) or [] if not re.search(r"extra ==", text) or _serves(text)
    ]
    names = sorted({re.split(r"[^\w.-]", text)[0] for text in needed})
    missing = [name for name in names if not _is_installed(name)]
    if missing:
        return failed("packages", f"not installed: {', '.join(missing)}: {INSTALL}")
    return fine("packages", f"all {len(names)} of API and workers are installed")


def _serves(requirement: str) -> bool:
    return bool(re.search(r"extra == .(api|worker)\b", requirement))


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def check_device(partial: PartialSettings) -> Finding:
    """Whether torch can use the device of the settings."""
    torch = _torch()
    if isinstance(torch, Exception):
        return failed("device", f"torch cannot be imported ({one_line(torch)}): {INSTALL}")
    wanted, has_gpu = partial.settings.device, torch.cuda.is_available()
    default = "cuda" if has_gpu else "cpu"
    try:
        kind = torch.device(default if wanted == "auto" else wanted).type
    except RuntimeError:
        return failed("device", f"LIPE_DEVICE={wanted} is no device: set it to auto, cpu or cuda")
    if kind == "cuda" and not has_gpu:
        reason = (
            "finds no usable GPU: check its driver" if torch.version.cuda else "is a build without CUDA: install one"
        )
        return failed("device", f"LIPE_DEVICE={wanted}, but torch {torch.__version__} {reason}, or set LIPE_DEVICE=cpu")
    if kind == "cuda":
        name = torch.cuda.get_device_name()
        if not torch.cuda.is_bf16_supported(including_emulation=False):
            text = "without bfloat16: networks run in float16 and the VAE in float32; Ampere and newer are faster"
            return fine("device", f"torch {torch.__version__}, {name}, {text}")
        return fine("device", f"torch {torch.__version__}, {name}")
    return fine(
        "device", f"torch {torch.__version__}, {kind}: enough for the miniature, an SDXL checkpoint needs a GPU"
    )


def check_memory(partial: PartialSettings) -> Finding:
    """Whether the free memory of the device holds the base model's weights once."""
    torch = _torch()
    if isinstance(torch, Exception):
        return unchecked("memory", "torch cannot be imported")
    on_gpu = torch.cuda.is_available() and partial.settings.device != "cpu"
    bytes_each = BFLOAT16_BYTES if on_gpu else FLOAT32_BYTES
    needed = weight_bytes(base_model_of(partial), bytes_each, partial.settings.base_model_bits)
    free = torch.cuda.mem_get_info()[0] if on_gpu else _free_main_memory()
    kind = "GPU memory" if on_gpu else "memory"
    if needed is None:
        return unchecked("memory", f"{_gib(free)} of {kind} are free; the base model's size is not known")
    need = f"the base model's weights take {_gib(needed)} in each worker"
    if free < needed:
        advice = "stop other programs, or running workers if there are any, or use a larger device"
        return failed("memory", f"{_gib(free)} of {kind} are free, but {need}: {advice}")
    return fine("memory", f"{_gib(free)} of {kind} are free; {need}, and its jobs take more")


def check_disk(partial: PartialSettings) -> Finding:
    """Whether the data folder's disk has space and can be written."""
    data = partial.settings.data_dir.absolute()
    folder = next(place for place in (data, *data.parents) if place.is_dir())
    free = shutil.disk_usage(folder).free
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return failed("disk", f"cannot write to {folder} ({error.strerror}): set LIPE_DATA_DIR to another folder")
    if free < MIN_FREE_DISK:
        return failed(
            "disk", f"only {_gib(free)} are free in {folder}: free some, or set LIPE_DATA_DIR to another disk"
        )
    return fine("disk", f"{_gib(free)} are free in {folder}")


def _torch() -> Any:
    """The module, or the exception of its import: it is missing in some images, and its libraries may be broken."""
    try:
        return importlib.import_module("torch")
    except (ImportError, OSError) as error:
        return error


def _free_main_memory() -> int:
    """Free bytes of main memory, within the limit of this container if it has one."""
    import psutil

    free = int(psutil.virtual_memory().available)
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (group / "memory.max").read_text().strip(), (group / "memory.current").read_text()
    except OSError:
        return free
    return free if limit == "max" else min(free, int(limit) - int(used))


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"
