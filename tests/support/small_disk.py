"""A disk that is soon full: a small file system in memory. Only root may mount one, so other users skip the test."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a file system of `size`, such as "1m", while the block runs."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=1777", "small-disk", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets the tests mount no file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Write a file until the disk is full; deleting it frees the space."""
    file = folder / "filler"
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY)
    for size in (2**20, 2**12, 1):
        with suppress(OSError):
            while os.write(descriptor, b"\0" * size):
                pass
    os.close(descriptor)
    return file
