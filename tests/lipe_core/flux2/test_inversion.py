"""Inversion of the tiny klein, and where methods use it."""

import pytest
import torch

import lipe_core
from lipe_core.diffusion.ddim import invert
from lipe_core.diffusion.flow_inversion import invert_flow
from lipe_core.flux2 import BaseModel
from lipe_core.methods.ddim_edit import DdimConfig
from lipe_core.methods.session import EditSession
from tests.support.editing import SOURCE, TARGET
from tests.support.nima_requests import request
from tests.support.round_trips import round_trip


@pytest.mark.parametrize(("steps", "ratio"), [(20, 4), pytest.param(80, 20, marks=pytest.mark.slow)])
def test_a_round_trip_is_far_nearer_than_eulers(klein: BaseModel, steps: int, ratio: float) -> None:
    x_0 = torch.randn(1, *klein.latent_shape((64, 64)), generator=torch.Generator().manual_seed(0))
    denoise = klein.denoiser(klein.encode_prompt([TARGET], size=(64, 64)))
    timesteps = klein.timesteps(steps, (64, 64))
    euler, ours = (round_trip(way, denoise, klein.schedule, x_0, timesteps) for way in (invert, invert_flow))
    print(f"tiny klein, {steps} steps: {euler:.5f} by Euler, {ours:.5f} by predictor and corrector")
    assert ours < euler / ratio


def test_methods_invert_by_it(klein: BaseModel) -> None:
    session, timesteps = EditSession.of(klein, request(TARGET), None), klein.timesteps(3, (64, 64))
    denoise = klein.denoiser(session.encode([session.source_prompt]).cond)
    expected = invert_flow(denoise, klein.schedule, session.x_0(), timesteps)
    assert torch.equal(session.invert(timesteps).latents, expected.latents)
    assert session.inversion.evaluations == 3 + 1
    (edit,) = lipe_core.edit(klein, request(TARGET), "ddim", DdimConfig(steps=2))
    assert edit.evaluations == (2 + 1) + 2 * 2
    assert SOURCE in edit.parameters["source_prompt"]
