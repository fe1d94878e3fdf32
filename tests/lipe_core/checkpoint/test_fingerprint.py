"""The fingerprint covers the weight files that are loaded, and each file is hashed once."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lipe_core.checkpoint import fingerprint as module
from lipe_core.checkpoint.fingerprint import fingerprint
from tests.support.layouts import UNET


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are hashed, in their order."""
    names: list[str] = []
    real: Callable[[Path], str] = module._sha256

    def record(file: Path) -> str:
        names.append(file.parent.name)
        return real(file)

    monkeypatch.setattr(module, "_sha256", record)
    return names


def test_files_that_are_not_loaded_do_not_change_it(folder: Path) -> None:
    before = fingerprint(folder)
    shutil.copy(folder / UNET, folder / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    save_file({"lora": torch.zeros(1)}, folder / "unet" / "lora.safetensors")
    assert fingerprint(folder) == before


@pytest.mark.parametrize("part", ["text_encoder/model", "text_encoder_2/model", UNET[:-12], "vae/" + UNET[5:-12]])
def test_each_file_that_is_loaded_changes_it(part: str, folder: Path) -> None:
    before = fingerprint(folder)
    with (folder / f"{part}.safetensors").open("ab") as weights:
        weights.write(b"x")
    assert fingerprint(folder) != before


def test_a_file_is_hashed_once_until_its_size_or_time_changes(folder: Path, tmp_path: Path, hashed: list[str]) -> None:
    cache = tmp_path / "data" / "hashes"
    before = fingerprint(folder, cache)
    assert fingerprint(folder, cache) == before == fingerprint(folder)
    assert hashed == ["text_encoder", "text_encoder_2", "unet", "vae"] * 2  # the last call has no cache
    hashed.clear()
    status = (folder / UNET).stat()
    os.utime(folder / UNET, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert fingerprint(folder, cache) == before
    assert hashed == ["unet"]
    hashed.clear()
    with (folder / UNET).open("ab") as weights:
        weights.write(b"x")
    os.utime(folder / UNET, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert fingerprint(folder, cache) != before
    assert hashed == ["unet"]


@pytest.mark.parametrize("damage", [b"", b"f" * 63 + b"\xff", b"x" * 64])
def test_a_damaged_entry_of_the_cache_is_replaced(folder: Path, tmp_path: Path, damage: bytes) -> None:
    cache = tmp_path / "hashes"
    before = fingerprint(folder, cache)
    for entry in cache.iterdir():
        entry.write_bytes(damage)
    assert fingerprint(folder, cache) == before
    assert {len(entry.read_text()) for entry in cache.iterdir()} == {64}
