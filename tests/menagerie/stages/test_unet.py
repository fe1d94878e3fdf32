"""Noise levels and timesteps of the UNet's training."""

import numpy as np
import torch

from menagerie.stages.unet import NoiseTable, spread_timesteps


def test_no_noise_level_has_a_small_weight() -> None:
    weights = NoiseTable(torch.tensor([0.99, 0.5, 0.004])).weight(torch.arange(3))
    torch.testing.assert_close(weights, torch.tensor([0.2, 0.5, 0.2]))
    t = spread_timesteps(4000, 1000, np.random.default_rng(0))
    assert int(t.min()) < 10
    assert int(t.max()) > 990
    assert abs(float((t >= 900).float().mean()) - (0.25 + 0.75 * 0.1)) < 0.03


def test_every_second_image_of_the_noisiest_levels_is_replaced_by_noise() -> None:
    table = NoiseTable(torch.linspace(1.0, 0.0, 102)[1:-1])
    x_0, noise = (torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    t = torch.tensor([99, 10, 95, 89, 90, 91])
    x_t, v_t = table.mix_or_pure_noise(x_0, noise, t)
    a = table.alphas_cumprod[t].view(-1, 1, 1, 1)
    torch.testing.assert_close(a.sqrt() * x_t - (1 - a).sqrt() * v_t, x_0)
    replaced = [bool(torch.equal(one, other)) for one, other in zip(x_t, noise, strict=True)]
    assert replaced == [False, False, True, False, False, True]
    for one, other in zip(table.mix(x_0, noise, t), (x_t, v_t), strict=True):
        torch.testing.assert_close(one[[0, 1, 3, 4]], other[[0, 1, 3, 4]])
