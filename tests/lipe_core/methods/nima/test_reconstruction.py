"""The background returns and the subject stays, with a nearest-pixel decoder and an encoder that nearly undoes it."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from lipe_core import sdxl
from lipe_core.methods.nima import edit as nima
from lipe_core.methods.nima.reconstruction import reconstruct_background
from lipe_core.pixels import to_pixels
from lipe_core.sdxl import BaseModel
from lipe_core.shapes import Latents, Pixels
from menagerie.draw import mask
from menagerie.experiment import edit_request, image_of
from menagerie.models import CHECKPOINT
from menagerie.subjects import fresh
from tests.support.nima_requests import CONFIG, request

SIDE = 4


def decode(latents: Latents) -> Pixels:
    """Each latent is 2 x 2 pixels: its first three channels are the upper row, its last three the lower one."""
    above, below = latents.chunk(2, dim=1)
    rows = torch.stack([above, below], dim=3).flatten(2, 3)
    return F.interpolate(rows, scale_factor=(1.0, 2.0), mode="nearest")


def encode(pixels: Pixels) -> Latents:
    """The mean of each latent's pixels, with a tenth lost and a little of the neighbour's added."""
    rows = F.avg_pool2d(pixels, (1, 2))
    latents = torch.cat([rows[:, :, 0::2], rows[:, :, 1::2]], dim=1)
    return 0.9 * latents + 0.05 * latents.roll(1, dims=3)


def test_pixels_outside_the_silhouette_return_and_the_rest_stays() -> None:
    x_0 = torch.randn(2, 6, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    source = torch.zeros(2, 3, 2 * SIDE, 2 * SIDE)
    silhouettes = torch.zeros(2, 1, 2 * SIDE, 2 * SIDE)
    silhouettes[:, :, 2:5, 2:6] = 1  # its lower edge runs through a row of latents
    goal = torch.where(silhouettes > 0, decode(x_0), source)
    restored = reconstruct_background(encode, decode, x_0, goal, steps=8)

    before, after = decode(x_0), decode(restored)
    returned = (silhouettes == 0).expand_as(after)
    assert after[returned].abs().max() < 1e-4
    assert before[returned].abs().mean() > 0.5
    kept = (silhouettes > 0).expand_as(after)
    assert torch.allclose(after[kept], before[kept], atol=1e-4)
    assert not restored.requires_grad


def test_rows_are_independent() -> None:
    x_0 = torch.randn(2, 6, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    goal = torch.randn(2, 3, 2 * SIDE, 2 * SIDE, generator=torch.Generator().manual_seed(2))
    both = reconstruct_background(encode, decode, x_0, goal, steps=3)
    alone = reconstruct_background(encode, decode, x_0[1:], goal[1:], steps=3)
    assert torch.equal(both[1:], alone)


def test_the_work_can_be_stopped() -> None:
    calls: list[int] = []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyError

    with pytest.raises(KeyError):
        reconstruct_background(encode, decode, torch.zeros(1, 6, 2, 2), torch.zeros(1, 3, 4, 4), steps=5, on_step=stop)
    assert len(calls) == 2


def test_the_miniatures_autoencoder_restores_the_background_in_three_steps() -> None:
    model, (drawn,) = sdxl.load(CHECKPOINT), fresh(1, seed=3)
    edited = drawn.edits[0].truth
    source, generated = to_pixels([image_of(drawn.test), image_of(edited)]).split(1)
    changed = torch.from_numpy(mask(drawn.test, 128) | mask(edited, 128)).expand_as(source)
    blurred = F.interpolate(F.avg_pool2d(source, 4), scale_factor=4.0, mode="bilinear")
    x_0 = sdxl.encode_pixels(model, torch.where(changed, generated, blurred)).detach()
    goal = torch.where(changed, generated, source)
    encode, decode = partial(sdxl.encode_pixels, model), partial(sdxl.decode_pixels, model)
    before, after = (
        (decode(reconstruct_background(encode, decode, x_0, goal, steps=steps)) - goal).square() for steps in (0, 3)
    )
    assert after[~changed].mean() < 0.5 * before[~changed].mean()
    assert after[changed].mean() < before[changed].mean()


def test_reconstruction_brings_the_background_nearer_to_the_source() -> None:
    model, (drawn,) = sdxl.load(CHECKPOINT), fresh(1, seed=3)  # it needs a trained autoencoder
    silhouette = mask(drawn.test, 128)
    masked = replace(edit_request(drawn), mask=Image.fromarray(silhouette))

    def error(reconstruction_steps: int) -> float:
        (edit, *_) = nima.edit(
            model, masked, replace(CONFIG, mask_mode="source", margin=0.0, reconstruction_steps=reconstruction_steps)
        )
        difference = np.asarray(edit.uncomposited, float) - np.asarray(masked.image, float)
        return float((difference[~silhouette] ** 2).mean())

    assert error(3) < 0.5 * error(0)


def test_reconstruction_can_be_stopped(model: BaseModel) -> None:
    calls: list[int] = []

    def stop(step: int, steps: int) -> None:
        calls.append(step)
        if len(calls) == steps + 2:
            raise KeyError("stopped")

    with pytest.raises(KeyError, match="stopped"):
        nima.edit(model, request(), replace(CONFIG, reconstruction_steps=5), on_step=stop)
    assert calls == [*range(1, 13), 12, 12]
