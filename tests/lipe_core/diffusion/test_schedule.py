from functools import partial

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st

from lipe_core.diffusion.schedule import NoiseSchedule

SDXL = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [1, 3, 20, 30, 50, 999])
@pytest.mark.parametrize("offset", [0, 1])
def test_grid_is_that_of_diffusers_ddim(spacing, steps, offset):
    theirs = DDIMScheduler(**SDXL, timestep_spacing=spacing, steps_offset=offset)
    theirs.set_timesteps(steps)
    ours = NoiseSchedule(theirs.alphas_cumprod, spacing, offset).timesteps(steps)
    assert ours[0] == 0
    assert ours[1:].tolist() == theirs.timesteps.flip(0).clamp(min=1).tolist()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside diffusers
@pytest.mark.parametrize("steps", [4, 30])
def test_grid_and_levels_are_those_of_diffusers_euler(steps):
    theirs = EulerDiscreteScheduler(**SDXL, timestep_spacing="leading", steps_offset=1)
    theirs.set_timesteps(steps)
    ours = NoiseSchedule.scaled_linear()
    grid = ours.timesteps(steps)
    assert grid[1:].tolist() == theirs.timesteps.flip(0).long().tolist()
    ratios = torch.tensor([ours.sigma(t) / ours.alpha(t) for t in grid[1:].tolist()])
    torch.testing.assert_close(ratios, theirs.sigmas[:-1].flip(0), rtol=1e-4, atol=1e-4)


@given(steps=st.integers(1, 999))
def test_grid_ascends_from_clean(steps):
    grid = NoiseSchedule.scaled_linear().timesteps(steps)
    assert len(grid) == steps + 1
    assert grid[0] == 0
    assert (grid.diff() > 0).all()


@given(steps=st.integers(1, 999), lean=st.floats(0.25, 8))
def test_a_leaning_grid_ascends_from_clean_to_the_noisiest_level(steps, lean):
    grid = NoiseSchedule.scaled_linear().leaning_timesteps(steps, lean)
    assert len(grid) == steps + 1
    assert grid[[0, -1]].tolist() == [0, 999]
    assert (grid.diff() > 0).all()


def test_a_lean_of_one_is_even_and_a_larger_one_shortens_the_steps_at_the_noisy_end():
    schedule = NoiseSchedule.scaled_linear()
    assert schedule.leaning_timesteps(9, 1.0).tolist() == [k * 111 for k in range(10)]
    steps = schedule.leaning_timesteps(20, 2.0).diff()
    assert (steps.diff() <= 0).all()
    assert steps[0] / steps[-1] == pytest.approx(4, rel=0.15)  # the slope falls from 2 to 1 / 2
    # the other way round at the inverse lean
    assert schedule.leaning_timesteps(20, 0.5).diff().tolist() == steps.flip(0).tolist()


@pytest.mark.parametrize("steps", [0, 1000])
def test_an_invalid_number_of_steps_is_refused(steps):
    for grid in (NoiseSchedule.timesteps, partial(NoiseSchedule.leaning_timesteps, lean=2.0)):
        with pytest.raises(ValueError, match="steps must be between"):
            grid(NoiseSchedule.scaled_linear(), steps)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_noise_comes_back_from_a_perfect_prediction(prediction_type):
    schedule = NoiseSchedule.scaled_linear()
    x_0, eps = torch.randn(2, 3, 4, 5, 6).unbind()
    t = torch.tensor([1, 400, 999])
    x_t = schedule.add_noise(x_0, eps, t)
    prediction = schedule.target(x_0, eps, t, prediction_type)
    torch.testing.assert_close(schedule.to_eps(prediction, x_t, t, prediction_type), eps)


def test_velocity_and_noising_equal_diffusers():
    schedule, theirs = NoiseSchedule.scaled_linear(), DDIMScheduler(**SDXL)
    x_0, eps = torch.randn(2, 3, 4, 5, 6).unbind()
    t = torch.tensor([0, 500, 999])
    torch.testing.assert_close(schedule.add_noise(x_0, eps, t), theirs.add_noise(x_0, eps, t))
    torch.testing.assert_close(schedule.velocity(x_0, eps, t), theirs.get_velocity(x_0, eps, t))


def test_snr_falls_with_noise_and_is_the_ratio_of_variances():
    schedule = NoiseSchedule.scaled_linear()
    t = torch.arange(1, 1000)
    snr = schedule.snr(t)
    assert (snr.diff() < 0).all()
    assert snr[499].item() == pytest.approx((schedule.alpha(500) / schedule.sigma(500)) ** 2, rel=1e-4)
