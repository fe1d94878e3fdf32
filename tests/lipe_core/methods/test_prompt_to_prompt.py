from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from PIL import Image

from lipe_core import sdxl
from lipe_core.diffusion.ddim import Trajectory, ddim_step, no_progress
from lipe_core.masks.recording import RecordingDenoiser, recording_denoiser
from lipe_core.methods import ddim_edit, prompt_to_prompt
from lipe_core.methods.ddim_edit import DdimConfig
from lipe_core.methods.map_replacement import Alignment, MapReplacement, replace_maps
from lipe_core.methods.prompt_to_prompt import PromptToPromptConfig, edit_latents
from lipe_core.methods.session import EditSession
from lipe_core.sdxl import BaseModel
from lipe_core.shapes import Latents
from tests.support.editing import SOURCE, TARGET, MakeRequest, difference

NEVER_BLEND: dict[str, Any] = {"blend_start": 1.0}


@contextmanager
def denoisers(
    model: BaseModel, session: EditSession, config: PromptToPromptConfig, guidance_scale: float
) -> Iterator[tuple[RecordingDenoiser, MapReplacement]]:
    prompts = [session.source_prompt, *session.target_prompts]
    ids = [sdxl.content_tokens(model, prompt) for prompt in prompts]
    replacement = MapReplacement(Alignment.of(ids[0], ids[1:], 24), config.self_tokens)
    with (
        replace_maps(model.unet, replacement),
        recording_denoiser(model, session.encode(prompts), guidance_scale, attention_tokens=256, refine=0) as denoiser,
    ):
        yield denoiser, replacement


def sampled(model: BaseModel, session: EditSession, steps: int) -> Trajectory:
    """The exact path of sampling under the source prompt; an inversion only approximates it."""
    denoise = sdxl.denoiser(model, session.encode([session.source_prompt]).cond)
    timesteps = model.schedule.timesteps(steps)
    path = [torch.randn(1, 8, 16, 16, generator=torch.Generator().manual_seed(0))]
    grid = timesteps.flip(0).tolist()
    for t, s in pairwise(grid):
        path.append(ddim_step(model.schedule, path[-1], denoise(path[-1], t), t, s))
    return Trajectory(timesteps, torch.stack(path[::-1]))


def denoised(model: BaseModel, session: EditSession, trajectory: Trajectory, **settings: Any) -> tuple[Latents, ...]:
    config = PromptToPromptConfig(steps=len(trajectory.timesteps) - 1, **settings)
    with denoisers(model, session, config, 1.0) as (denoiser, replacement):
        return edit_latents(denoiser, replacement, model.schedule, trajectory, session.user_mask(), config, no_progress)


def test_the_same_prompt_without_guidance_follows_the_sources_path(deep_model: BaseModel, ask: MakeRequest) -> None:
    session = EditSession.of(deep_model, ask(SOURCE), None)
    trajectory = sampled(deep_model, session, 3)
    x_0, *_ = denoised(deep_model, session, trajectory, cross_replace=1.0, self_replace=1.0, **NEVER_BLEND)
    torch.testing.assert_close(x_0, trajectory.x_0, rtol=1e-3, atol=1e-4)


def test_the_sources_maps_keep_another_prompt_near_its_path(deep_model: BaseModel, ask: MakeRequest) -> None:
    session = EditSession.of(deep_model, ask("sks dog in a meadow"), None)
    trajectory = sampled(deep_model, session, 3)
    gaps = [
        (denoised(deep_model, session, trajectory, cross_replace=share, self_replace=share, **NEVER_BLEND)[0])
        .sub(trajectory.x_0)
        .abs()
        .mean()
        for share in (0.0, 1.0)
    ]
    assert 0 < gaps[1] < gaps[0]


def test_outside_the_mask_the_latents_end_as_the_sources(deep_model: BaseModel, ask: MakeRequest) -> None:
    session = EditSession.of(deep_model, ask(TARGET, "sks dog in a meadow"), None)
    trajectory = sampled(deep_model, session, 3)
    x_0, source_mask, edit_mask = denoised(deep_model, session, trajectory, threshold=0.9, dilation=0.0)
    assert (edit_mask >= source_mask).all()
    outside = (edit_mask == 0).expand_as(x_0)
    assert 0 < outside.float().mean() < 1
    assert torch.equal(x_0[outside], trajectory.x_0.expand_as(x_0)[outside])
    assert not torch.isclose(x_0[~outside], trajectory.x_0.expand_as(x_0)[~outside]).all()


def test_without_replacement_and_blend_it_is_plain_ddim(deep_model: BaseModel, ask: MakeRequest) -> None:
    (plain,) = ddim_edit.edit(deep_model, ask(), DdimConfig(steps=2))
    config = PromptToPromptConfig(steps=2, cross_replace=0.0, self_replace=0.0, **NEVER_BLEND)
    (bare,) = prompt_to_prompt.edit(deep_model, ask(), config)
    assert np.quantile(np.abs(np.asarray(plain.image, int) - np.asarray(bare.image, int)), 0.99) <= 1
    for part in ({"cross_replace": 1.0}, {"self_replace": 1.0}, {"blend_start": 0.0, "threshold": 0.9}):
        settings: dict[str, Any] = {"steps": 2, "cross_replace": 0.0, "self_replace": 0.0, **NEVER_BLEND, **part}
        (edit,) = prompt_to_prompt.edit(deep_model, ask("sks dog in a meadow"), PromptToPromptConfig(**settings))
        (other,) = ddim_edit.edit(deep_model, ask("sks dog in a meadow"), DdimConfig(steps=2))
        assert difference(edit.image, other.image) > 0.5, part


def test_the_requests_mask_replaces_the_maps(deep_model: BaseModel, ask: MakeRequest, left_half: Image.Image) -> None:
    (edit,) = prompt_to_prompt.edit(deep_model, ask(mask=left_half), PromptToPromptConfig(steps=2))
    for mask in (np.asarray(edit.source_mask), np.asarray(edit.edit_mask)):
        assert mask[:, :16].min() == 255
        assert mask[:, 20:].max() == 0


def test_changed_words_give_another_mask_than_the_subject(deep_model: BaseModel, ask: MakeRequest) -> None:
    masks = [
        np.asarray(
            prompt_to_prompt.edit(deep_model, ask(), PromptToPromptConfig(steps=2, blend_words=words, threshold=0.7))[
                0
            ].edit_mask
        )
        for words in ("subject", "changed")
    ]
    assert (masks[0] != masks[1]).any()
