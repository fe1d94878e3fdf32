"""Fixtures of the tiny checkpoint."""

from pathlib import Path

import pytest
import torch

from lipe_core import sdxl
from tests.support.tiny_checkpoint import write_checkpoint

torch.set_num_threads(1)  # more threads only slow down networks of this size


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint for 64-pixel images with 4 x 32 x 32 latents and cross-attention at 32 x 32 and 16 x 16."""
    folder = tmp_path_factory.mktemp("tiny_checkpoint")
    write_checkpoint(folder)
    return folder


@pytest.fixture(scope="session")
def model(tiny_checkpoint: Path) -> sdxl.BaseModel:
    """The tiny checkpoint, loaded. Tests that train or patch it must restore it."""
    return sdxl.load(tiny_checkpoint)
