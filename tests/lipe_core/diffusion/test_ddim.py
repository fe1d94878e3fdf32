import pytest
import torch

from lipe_core.diffusion.ddim import ddim_step, invert, sample, unit_noise
from lipe_core.diffusion.schedule import NoiseSchedule

SCHEDULE = NoiseSchedule.scaled_linear()
MEAN = torch.linspace(-1, 1, 2 * 4 * 6).reshape(1, 2, 4, 6)


def perfect_network(prediction_type):
    """The exact denoiser if MEAN is the only image: linear in x_t, and eps is constant on a trajectory."""

    def denoise(x_t, t):
        eps = (x_t - SCHEDULE.alpha(t) * MEAN) / SCHEDULE.sigma(t)
        rows = torch.full((len(x_t),), t)
        prediction = SCHEDULE.target(MEAN.expand_as(x_t), eps, rows, prediction_type)
        return SCHEDULE.to_eps(prediction, x_t, rows, prediction_type)

    return denoise


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("steps", [1, 7, 30])
def test_round_trip_is_exact_on_a_linear_model(prediction_type, steps):
    denoise, x_0 = perfect_network(prediction_type), torch.randn(3, 2, 4, 6)
    timesteps = SCHEDULE.timesteps(steps)
    trajectory = invert(denoise, SCHEDULE, x_0, timesteps)
    torch.testing.assert_close(trajectory.x_0, x_0, rtol=0, atol=0)
    back = sample(denoise, SCHEDULE, trajectory.x_T, timesteps)
    torch.testing.assert_close(back, x_0, rtol=1e-4, atol=1e-3)


def test_shorter_steps_bring_the_round_trip_of_a_curved_model_nearer():
    def curved(x_t, t):
        return torch.tanh(x_t) * SCHEDULE.sigma(t)

    def error(steps):
        timesteps = SCHEDULE.timesteps(steps)
        x_T = invert(curved, SCHEDULE, x_0, timesteps).x_T
        return (sample(curved, SCHEDULE, x_T, timesteps) - x_0).abs().max()

    x_0 = torch.randn(1, 2, 4, 6)
    assert error(10) > 0.05
    assert error(320) < 0.2 * error(10)


def test_a_step_back_inverts_a_step():
    x_t, eps = torch.randn(2, 1, 2, 3, 3).unbind()
    there = ddim_step(SCHEDULE, x_t, eps, 400, 700)
    torch.testing.assert_close(ddim_step(SCHEDULE, there, eps, 700, 400), x_t)


def test_step_to_the_same_level_stays():
    x_t, eps = torch.randn(2, 1, 2, 3, 3).unbind()
    torch.testing.assert_close(ddim_step(SCHEDULE, x_t, eps, 400, 400), x_t)


def test_trajectory_is_indexed_by_timestep():
    timesteps = SCHEDULE.timesteps(5)
    trajectory = invert(perfect_network("epsilon"), SCHEDULE, MEAN, timesteps)
    for i, t in enumerate(timesteps.tolist()):
        assert trajectory.at(t) is not None
        torch.testing.assert_close(trajectory.at(t), trajectory.latents[i], rtol=0, atol=0)


def test_the_clean_part_of_a_trajectory_keeps_its_levels():
    trajectory = invert(perfect_network("epsilon"), SCHEDULE, torch.randn(1, 2, 4, 6), SCHEDULE.timesteps(5))
    part = trajectory.until(2)
    assert part.timesteps.tolist() == trajectory.timesteps[:3].tolist()
    assert torch.equal(part.latents, trajectory.latents[:3])
    assert torch.equal(part.x_T, trajectory.latents[2])
    assert torch.equal(trajectory.until(5).latents, trajectory.latents)
    assert torch.equal(trajectory.until(0).x_T, trajectory.x_0)


def test_a_sample_in_two_parts_of_the_grid_equals_one_sample():
    denoise, x_T, timesteps = perfect_network("epsilon"), torch.randn(1, 2, 4, 6), SCHEDULE.timesteps(5)
    between = sample(denoise, SCHEDULE, x_T, timesteps[2:])
    whole = sample(denoise, SCHEDULE, x_T, timesteps)
    assert torch.equal(sample(denoise, SCHEDULE, between, timesteps[:3]), whole)


def test_progress_counts_the_steps_and_can_stop_the_work():
    seen = []

    def stop(step, steps):
        seen.append((step, steps))
        if step == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        invert(perfect_network("epsilon"), SCHEDULE, MEAN, SCHEDULE.timesteps(5), on_step=stop)
    assert seen == [(1, 5), (2, 5)]


def test_noise_of_a_row_depends_on_its_seed_only():
    batch = unit_noise([3, 1, 4], (2, 5, 6))
    for row, seed in zip(batch, [3, 1, 4], strict=True):
        torch.testing.assert_close(row[None], unit_noise([seed], (2, 5, 6)), rtol=0, atol=0)
    assert not torch.equal(batch[0], batch[1])
