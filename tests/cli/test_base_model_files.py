"""The files of a checkpoint, without torch."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cli.base_model_files import count_parameters, find_faults, weight_files


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint that the test may damage."""
    return Path(shutil.copytree(checkpoint, tmp_path / "model"))


def test_the_parameters_are_counted_by_the_header(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(2, 3), "b": torch.zeros(5, dtype=torch.bfloat16)}, file, metadata={"format": "pt"})
    assert count_parameters(file) == 11


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[:-1], id="interrupted"),
        pytest.param(lambda content: content[:20], id="header interrupted"),
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: b"version https://git-lfs.github.com/spec/v1\n", id="pointer of Git LFS"),
        pytest.param(lambda content: b"\x02\0\0\0\0\0\0\0[]", id="another JSON document"),
        pytest.param(lambda content: content + b"\0", id="too long"),
    ],
)
def test_a_damaged_file_is_named(damage: Callable[[bytes], bytes], copy: Path) -> None:
    (file,) = (copy / "unet").glob("*.safetensors")
    file.write_bytes(damage(file.read_bytes()))
    (fault,) = find_faults(str(copy))
    assert fault == f"the base model {copy} has an incomplete file unet/{file.name}"


def test_every_missing_file_is_named(copy: Path) -> None:
    assert list(find_faults(str(copy))) == []
    for name in ("vae/config.json", "scheduler/scheduler_config.json", "tokenizer_2/tokenizer.json"):
        (copy / name).unlink()
    missing = [fault.removeprefix(f"the base model {copy} has no ") for fault in find_faults(str(copy))]
    assert missing == ["vae/config.json", "scheduler/scheduler_config.json", "vocabulary in tokenizer_2"]


def test_weights_in_two_precisions_count_once(copy: Path) -> None:
    files = weight_files(copy)
    for file in files:
        shutil.copy(file, file.with_suffix(".fp16.safetensors"))
    assert weight_files(copy) == files
    for file in files:
        file.unlink()
    assert weight_files(copy) == [file.with_suffix(".fp16.safetensors") for file in files]
