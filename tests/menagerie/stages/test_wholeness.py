"""Pairs seen through the base model, and a few steps of training."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lipe_core import sdxl
from lipe_core.sdxl import BaseModel
from menagerie.models import CHECKPOINT
from menagerie.stages.loop import Settings
from menagerie.stages.wholeness import augment, make_pairs, train_wholeness
from menagerie.wholeness import load_wholeness


@pytest.fixture(scope="module")
def model() -> BaseModel:
    torch.set_num_threads(1)
    return sdxl.load(CHECKPOINT)


def test_pairs_are_seen_through_the_model_and_follow_from_the_seed(model: BaseModel) -> None:
    pairs, again = make_pairs(model, 7, 8), make_pairs(model, 7, 8)
    assert np.array_equal(pairs.images, again.images)
    assert pairs.images.shape == pairs.truths.shape == (8, 128, 128, 3)
    assert 4 <= pairs.is_damaged().sum() <= 6  # four drawings, and images that the model generates again
    errors = np.abs(pairs.images.astype(int) - pairs.truths).mean(axis=(1, 2, 3))
    assert errors.min() > 0.5  # the decoder's blur is in every pair
    assert errors.max() < 40


def test_augmented_images_keep_their_damaged_places() -> None:
    rng = np.random.default_rng(1)
    images, truths, damaged = torch.zeros(2, 3, 128, 128), torch.ones(2, 3, 128, 128), torch.zeros(2, 16, 16)
    images[:, :, 8:16, 112:120] = 1
    damaged[:, 1, 14] = 1
    for _ in range(8):
        moved, true, places = augment(images, truths, damaged, rng)
        left, right = moved[0, 0, 10:14, 10:14].mean(), moved[0, 0, 10:14, 114:118].mean()
        assert (left > right) == bool(places[0, 1, 1])
        assert torch.equal(true, truths)


def test_a_few_steps_write_weights_and_their_accuracy(model: BaseModel, tmp_path: Path) -> None:
    settings = Settings(out=tmp_path, minutes=60, steps=3, batch=4, warmup=2, images=8)
    made = train_wholeness(model, settings, tmp_path / "wholeness.safetensors", held_out=8)
    loaded = load_wholeness(tmp_path / "wholeness.safetensors")
    assert loaded.held_out == made.held_out
    assert set(loaded.held_out) == {"all", "whole", "damaged"}
    assert (tmp_path / "wholeness.safetensors").stat().st_size < 1_000_000
