import pytest

from lipe_core import sdxl
from lipe_core.adapters.prior import Prior
from lipe_core.diffusion.ddim import invert, sample
from lipe_core.diffusion.guidance import guided
from lipe_core.methods import ddim_edit
from lipe_core.methods.ddim_edit import DdimConfig
from lipe_core.sdxl import BaseModel
from tests.support.editing import MakeRequest, difference


def test_it_inverts_with_the_source_and_samples_with_the_target(deep_model: BaseModel, ask: MakeRequest) -> None:
    request, size = ask(), (32, 32)
    (edit,) = ddim_edit.edit(deep_model, request, DdimConfig(steps=4, guidance_scale=3.0))
    source, target, empty = (
        sdxl.encode_prompt(deep_model, [prompt], size=size)
        for prompt in ("a photo of dog sitting", "a photo of dog jumping", "")
    )
    timesteps = deep_model.schedule.timesteps(4)
    x_0 = sdxl.encode_image(deep_model, [request.image])
    x_T = invert(sdxl.denoiser(deep_model, source), deep_model.schedule, x_0, timesteps).x_T
    denoise = guided(lambda cond: sdxl.denoiser(deep_model, cond), target, empty, 3.0)
    (expected,) = sdxl.decode(deep_model, sample(denoise, deep_model.schedule, x_T, timesteps))
    assert difference(edit.image, expected) == 0


def test_the_prior_changes_the_edit(deep_model: BaseModel, ask: MakeRequest, prior: Prior) -> None:
    config = DdimConfig(steps=3)
    (plain,), (personal,) = (ddim_edit.edit(deep_model, ask(), config, prior=p) for p in (None, prior))
    assert difference(plain.image, personal.image) > 1


def test_progress_can_stop_the_inversion(deep_model: BaseModel, ask: MakeRequest) -> None:
    def stop(step: int, steps: int) -> None:
        raise InterruptedError(step, steps)

    with pytest.raises(InterruptedError) as stopped:
        ddim_edit.edit(deep_model, ask(), DdimConfig(steps=3), on_step=stop)
    assert stopped.value.args == (1, 6)
