import pytest
import torch
from diffusers.pipelines.ledits_pp import pipeline_leditspp_stable_diffusion_xl as implementation
from PIL import Image

from lipe_core.errors import InvalidRequest
from lipe_core.methods import ledits
from lipe_core.methods.ledits import LeditsConfig
from lipe_core.methods.ledits_pipeline import sde_scheduler
from lipe_core.methods.session import EditSession
from lipe_core.sdxl import BaseModel
from tests.support.editing import MakeRequest

CONFIG = LeditsConfig(steps=3, source_guidance_scale=3.5, zero_noise_steps=1, threshold=0.5)


def test_images_that_are_not_square_have_their_own_micro_conditioning(deep_model: BaseModel, ask: MakeRequest) -> None:
    time_ids: list[torch.Tensor] = []
    hook = deep_model.unet.register_forward_pre_hook(
        lambda module, args, kwargs: time_ids.append(kwargs["added_cond_kwargs"]["time_ids"]), with_kwargs=True
    )
    try:
        (edit,) = ledits.edit(deep_model, ask(image=Image.new("RGB", (40, 24))), CONFIG)
    finally:
        hook.remove()
    assert edit.image.size == (40, 24)
    assert {tuple(row) for ids in time_ids for row in ids.tolist()} == {(24, 40, 0, 0, 24, 40)}


def test_diffusers_is_restored_when_a_step_raises(deep_model: BaseModel, ask: MakeRequest) -> None:
    before = implementation.F

    def stop(step: int, steps: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        ledits.edit(deep_model, ask(), CONFIG, on_step=stop)
    assert implementation.F is before


def test_noise_levels_are_the_checkpoints(deep_model: BaseModel) -> None:
    levels = sde_scheduler(deep_model).alphas_cumprod
    torch.testing.assert_close(levels[1:], deep_model.schedule.alphas_cumprod[1:], rtol=1e-4, atol=0)


def test_a_base_model_without_attention_at_a_quarter_is_refused(model: BaseModel, ask: MakeRequest) -> None:
    with pytest.raises(InvalidRequest, match="quarter"):
        ledits.edit(model, ask(), CONFIG)


def test_every_size_can_be_halved_twice(deep_model: BaseModel, ask: MakeRequest) -> None:
    for size in ((34, 32), (40, 32), (33, 61)):
        height, width = EditSession.of(deep_model, ask(image=Image.new("RGB", size)), None).size
        assert (height % (4 * deep_model.factor), width % (4 * deep_model.factor)) == (0, 0)
