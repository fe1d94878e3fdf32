"""Inversion of a flow whose velocity is known: normal data, for which it is linear in x_t and curved in time."""

import pytest
import torch
from torch import Tensor

from lipe_core.diffusion.ddim import invert, sample
from lipe_core.diffusion.flow import FlowSchedule
from lipe_core.diffusion.flow_inversion import invert_flow
from tests.support.round_trips import round_trip

SCHEDULE, DEVIATION, TOKENS = FlowSchedule(), 0.6, 4096


def exact_network(x_t: Tensor, t: int) -> Tensor:
    """The eps of the exact velocity (s - (1 - s) d^2) / (s^2 + (1 - s)^2 d^2) x_t for data of deviation d."""
    alpha, sigma = SCHEDULE.alpha(t), SCHEDULE.sigma(t)
    velocity = (sigma - alpha * DEVIATION**2) / (sigma**2 + alpha**2 * DEVIATION**2) * x_t.double()
    return x_t.double() + alpha * velocity


def images() -> Tensor:
    return DEVIATION * torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("steps", "ratio"), [(20, 5), (80, 50)])
def test_a_round_trip_is_far_nearer_than_eulers(steps: int, ratio: float) -> None:
    timesteps = SCHEDULE.timesteps(steps, TOKENS)
    euler = round_trip(invert, exact_network, SCHEDULE, images(), timesteps)
    ours = round_trip(invert_flow, exact_network, SCHEDULE, images(), timesteps)
    print(f"normal data, {steps} steps: {euler:.5f} by Euler, {ours:.5f} by predictor and corrector")
    assert ours < euler / ratio


def test_the_error_is_of_second_order() -> None:
    coarse, fine = (
        round_trip(invert_flow, exact_network, SCHEDULE, images(), SCHEDULE.timesteps(steps, TOKENS))
        for steps in (20, 80)
    )
    assert fine < coarse / 4**2


@pytest.mark.parametrize("steps", [1, 7])
def test_a_constant_velocity_comes_back_within_rounding(steps: int) -> None:
    x_0, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(1)).unbind()

    def constant(x_t: Tensor, t: int) -> Tensor:
        return x_t.double() + SCHEDULE.alpha(t) * (noise - x_0).double()

    trajectory = invert_flow(constant, SCHEDULE, x_0, timesteps := SCHEDULE.timesteps(steps, TOKENS))
    torch.testing.assert_close(trajectory.x_T, noise)
    torch.testing.assert_close(sample(constant, SCHEDULE, trajectory.x_T, timesteps), x_0)
    assert torch.equal(trajectory.x_0, x_0)
    assert trajectory.latents.dtype == x_0.dtype


def test_it_has_one_evaluation_for_each_step_and_one_more() -> None:
    calls, steps = list[int](), list[tuple[int, int]]()

    def watched(x_t: Tensor, t: int) -> Tensor:
        calls.append(t)
        return exact_network(x_t, t)

    timesteps = SCHEDULE.timesteps(5, TOKENS)
    invert_flow(watched, SCHEDULE, images(), timesteps, on_step=lambda *step: steps.append(step))
    assert calls == timesteps.tolist()
    assert steps == [(step, 5) for step in range(1, 6)]
