"""The background comes back, the subject stays. A decoder of nearest pixels, and an encoder that nearly undoes it."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from lipe_core import sdxl
from lipe_core.methods.nima.reconstruction import reconstruct_background
from lipe_core.pixels import to_pixels
from lipe_core.shapes import Latents, Pixels
from menagerie.draw import mask
from menagerie.experiment import image_of
from menagerie.models import CHECKPOINT
from menagerie.subjects import fresh

SIDE = 4


def decode(latents: Latents) -> Pixels:
    """Each latent is 2 x 2 pixels: its first three channels above, its last three below."""
    above, below = latents.chunk(2, dim=1)
    rows = torch.stack([above, below], dim=3).flatten(2, 3)
    return F.interpolate(rows, scale_factor=(1.0, 2.0), mode="nearest")


def encode(pixels: Pixels) -> Latents:
    """Each latent's own pixels' mean, a tenth of it lost, and a little of its neighbour's in it."""
    rows = F.avg_pool2d(pixels, (1, 2))
    latents = torch.cat([rows[:, :, 0::2], rows[:, :, 1::2]], dim=1)
    return 0.9 * latents + 0.05 * latents.roll(1, dims=3)


def test_what_lies_outside_the_silhouette_returns_and_the_rest_stays() -> None:
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


def test_rows_do_not_see_each_other() -> None:
    x_0 = torch.randn(2, 6, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    goal = torch.randn(2, 3, 2 * SIDE, 2 * SIDE, generator=torch.Generator().manual_seed(2))
    both = reconstruct_background(encode, decode, x_0, goal, steps=3)
    alone = reconstruct_background(encode, decode, x_0[1:], goal[1:], steps=3)
    assert torch.equal(both[1:], alone)


def test_the_work_can_be_stopped() -> None:
    seen: list[int] = []

    def stop() -> None:
        seen.append(1)
        if len(seen) == 2:
            raise KeyError

    with pytest.raises(KeyError):
        reconstruct_background(encode, decode, torch.zeros(1, 6, 2, 2), torch.zeros(1, 3, 4, 4), steps=5, on_step=stop)
    assert len(seen) == 2


def test_the_miniatures_autoencoder_brings_the_background_back_in_three_steps() -> None:
    model, (drawn,) = sdxl.load(CHECKPOINT), fresh(1, seed=3)
    edited = drawn.edits[0].truth
    source, painted = to_pixels([image_of(drawn.test), image_of(edited)]).split(1)
    changed = torch.from_numpy(mask(drawn.test, 128) | mask(edited, 128)).expand_as(source)
    blurred = F.interpolate(F.avg_pool2d(source, 4), scale_factor=4.0, mode="bilinear")
    x_0 = sdxl.encode_pixels(model, torch.where(changed, painted, blurred)).detach()
    goal = torch.where(changed, painted, source)
    encode, decode = partial(sdxl.encode_pixels, model), partial(sdxl.decode_pixels, model)
    before, after = (
        (decode(reconstruct_background(encode, decode, x_0, goal, steps=steps)) - goal).square() for steps in (0, 3)
    )
    assert after[~changed].mean() < 0.5 * before[~changed].mean()
    assert after[changed].mean() < before[changed].mean()
