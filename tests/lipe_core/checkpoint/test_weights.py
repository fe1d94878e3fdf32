"""A weight file's header tells whether the file is complete, and how many parameters it has."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lipe_core.checkpoint.weights import STEMS, count_parameters, read_shapes
from lipe_core.errors import InvalidModel
from tests.support.layouts import UNET, sharded


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        pytest.param(lambda content: content[:-1], r"is damaged \(its end is missing\)", id="interrupted"),
        pytest.param(lambda content: content[:20], "is damaged", id="header interrupted"),
        pytest.param(lambda content: b"", "is damaged", id="empty"),
        pytest.param(lambda content: b"\x02\0\0\0\0\0\0\0[]", "is damaged", id="another JSON document"),
        pytest.param(lambda content: content + b"\0", "is damaged .*longer than its header", id="too long"),
        pytest.param(
            lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            r"is damaged \(it is a pointer of Git LFS, which `git lfs pull` replaces",
            id="pointer of Git LFS",
        ),
    ],
)
def test_a_damaged_file_is_refused(damage: Callable[[bytes], bytes], fault: str, folder: Path) -> None:
    file = folder / UNET
    file.write_bytes(damage(file.read_bytes()))
    for read in (lambda: read_shapes(file), lambda: count_parameters(folder)):
        with pytest.raises(InvalidModel, match=f"the file {file} {fault}"):
            read()


def test_the_parameters_of_all_loaded_files_are_counted_once(folder: Path) -> None:
    files = [file for component in STEMS for file in (folder / component).glob("*.safetensors")]
    expected = sum(tensor.numel() for file in files for tensor in load_file(file).values())
    assert count_parameters(folder) == expected
    shutil.copy(folder / UNET, folder / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    save_file({"lora": torch.zeros(7)}, folder / "unet" / "lora.safetensors")
    assert count_parameters(folder) == expected
    sharded(UNET, torch.bfloat16)(folder)
    assert count_parameters(folder) == expected
