"""Requests, settings and silhouettes for the tests of NIMA on a random network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lipe_core.diffusion.ddim import Trajectory
from lipe_core.masks.localization import SubjectFinder
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.nima.source import Source
from lipe_core.methods.request import EditRequest
from lipe_core.shapes import PixelMask, Pixels
from lipe_core.subject import Subject
from tests.support.editing import SOURCE, TARGET

SUBJECT = Subject("sks", "dog")
CONFIG = NimaConfig(steps=5)  # two of the five steps are not shared
PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


def request(
    *targets: str, image: Image.Image = PHOTO, seeds: tuple[int, ...] = (0,), mask: Image.Image | None = None
) -> EditRequest:
    """A request with these target prompts."""
    return EditRequest(image, SOURCE, targets or (TARGET,), SUBJECT, seeds, mask)


def half_mask() -> Image.Image:
    """The left half may change."""
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 32, 64))
    return mask


def box(rows: slice, columns: slice, side: int = 64) -> PixelMask:
    """A silhouette of one row: a rectangle."""
    silhouette = torch.zeros(1, 1, side, side)
    silhouette[..., rows, columns] = 1
    return silhouette


def find_in_turn(monkeypatch: pytest.MonkeyPatch, *silhouettes: PixelMask) -> list[list[str]]:
    """Replace the subject finder by one that returns these silhouettes in turn. Returns the captions of its calls."""
    calls: list[list[str]] = []

    def silhouette(finder: Any, images: Pixels, x_0: Any, captions: Sequence[str]) -> PixelMask:
        calls.append(list(captions))
        return silhouettes[len(calls) - 1].expand(len(images), -1, -1, -1).clone()

    monkeypatch.setattr(SubjectFinder, "silhouette", silhouette)
    return calls


def source_of(silhouette: PixelMask, latent_side: int = 32, channels: int = 4) -> Source:
    """A source of random latents, the same at each of three levels, with this silhouette."""
    draw = torch.Generator().manual_seed(0)
    x_0 = torch.randn(len(silhouette), channels, latent_side, latent_side, generator=draw)
    return Source(Trajectory(torch.tensor([0, 500, 999]), torch.stack([x_0] * 3)), silhouette, evaluations=0)
