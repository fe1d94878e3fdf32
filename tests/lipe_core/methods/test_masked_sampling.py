import torch

from lipe_core.diffusion.ddim import no_progress
from lipe_core.diffusion.schedule import NoiseSchedule
from lipe_core.methods.masked_sampling import sample_inside

SCHEDULE = NoiseSchedule(NoiseSchedule.scaled_linear().alphas_cumprod.index_fill(0, torch.tensor([0]), 1.0))
DRAW = torch.Generator().manual_seed(0)
X_0, NOISE = torch.randn(2, 4, 8, 8, generator=DRAW), torch.randn(2, 4, 8, 8, generator=DRAW)


def test_a_network_that_knows_the_noise_reconstructs_the_image() -> None:
    x_0 = sample_inside(lambda x_t, t: NOISE, SCHEDULE, X_0, NOISE, SCHEDULE.timesteps(10), None, no_progress)
    torch.testing.assert_close(x_0, X_0, rtol=1e-4, atol=1e-4)


def test_outside_the_mask_the_latents_end_as_the_sources() -> None:
    mask = torch.zeros(2, 1, 8, 8)
    mask[..., :4] = 1
    x_0 = sample_inside(
        lambda x_t, t: torch.zeros_like(x_t), SCHEDULE, X_0, NOISE, SCHEDULE.timesteps(5), mask, no_progress
    )
    assert torch.equal(x_0[..., 4:], X_0[..., 4:])
    assert not torch.isclose(x_0[..., :4], X_0[..., :4], atol=1e-2).all()
