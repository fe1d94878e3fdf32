"""Fixtures of the tiny klein."""

from pathlib import Path

import pytest

from lipe_core import base_models
from lipe_core.flux2 import BaseModel
from tests.support.tiny_klein import write_klein


@pytest.fixture(scope="session")
def klein_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A klein for 64-pixel images: tokens of 4 x 4 pixels, 2 double and 3 single blocks."""
    folder = tmp_path_factory.mktemp("klein")
    write_klein(folder)
    return folder


@pytest.fixture(scope="session")
def klein(klein_folder: Path) -> BaseModel:
    """The tiny klein, loaded. Tests that train or patch it must restore it."""
    model = base_models.load(klein_folder)
    assert isinstance(model, BaseModel)
    return model
