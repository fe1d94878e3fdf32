import numpy as np
import torch
from PIL import Image

from lipe_core import sdxl
from lipe_core.diffusion.ddim import no_progress
from lipe_core.diffusion.schedule import NoiseSchedule
from lipe_core.methods import sdedit
from lipe_core.methods.sdedit import SdeditConfig
from lipe_core.sdxl import BaseModel
from tests.support.editing import MakeRequest, difference

SCHEDULE = NoiseSchedule(NoiseSchedule.scaled_linear().alphas_cumprod.index_fill(0, torch.tensor([0]), 1.0))
DRAW = torch.Generator().manual_seed(0)
X_0, NOISE = torch.randn(2, 4, 8, 8, generator=DRAW), torch.randn(2, 4, 8, 8, generator=DRAW)


def test_a_network_that_knows_the_noise_reconstructs_the_image() -> None:
    x_0 = sdedit.edit_latents(lambda x_t, t: NOISE, SCHEDULE, X_0, NOISE, SCHEDULE.timesteps(10), None, no_progress)
    torch.testing.assert_close(x_0, X_0, rtol=1e-4, atol=1e-4)


def test_outside_the_mask_the_latents_end_as_the_sources() -> None:
    mask = torch.zeros(2, 1, 8, 8)
    mask[..., :4] = 1
    x_0 = sdedit.edit_latents(
        lambda x_t, t: torch.zeros_like(x_t), SCHEDULE, X_0, NOISE, SCHEDULE.timesteps(5), mask, no_progress
    )
    assert torch.equal(x_0[..., 4:], X_0[..., 4:])
    assert not torch.isclose(x_0[..., :4], X_0[..., :4], atol=1e-2).all()


def test_more_strength_leaves_less_of_the_image(deep_model: BaseModel, ask: MakeRequest) -> None:
    (kept,) = sdxl.decode(deep_model, sdxl.encode_image(deep_model, [ask().image]))
    gaps = []
    for strength in (0.02, 0.4, 1.0):
        (edit,) = sdedit.edit(deep_model, ask(), SdeditConfig(steps=25, strength=strength, guidance_scale=1.0))
        gaps.append(difference(edit.image, kept))
        assert edit.evaluations == max(1, round(25 * strength))
    assert gaps[0] < gaps[1] < gaps[2]
    assert gaps[0] < 0.5 * gaps[2]


def test_the_requests_mask_is_the_edits(deep_model: BaseModel, ask: MakeRequest, left_half: Image.Image) -> None:
    (edit,) = sdedit.edit(deep_model, ask(mask=left_half), SdeditConfig(steps=4))
    changed = np.asarray(edit.edit_mask)
    assert changed[:, :16].min() == 255
    assert changed[:, 20:].max() == 0
