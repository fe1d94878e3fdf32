from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
import torch
from einops import rearrange
from PIL import Image

from lipe_core import sdxl
from lipe_core.diffusion.ddim import Trajectory, ddim_step, no_progress
from lipe_core.masks.recording import Branch, recording_denoiser
from lipe_core.methods import ddim_edit, prompt_to_prompt
from lipe_core.methods.ddim_edit import DdimConfig
from lipe_core.methods.prompt_to_prompt import (
    Alignment,
    Control,
    MapTaker,
    PromptToPromptConfig,
    edit_latents,
    take_maps,
)
from lipe_core.methods.session import EditSession
from lipe_core.sdxl import BaseModel, use_processors
from lipe_core.shapes import Latents
from tests.support.editing import SOURCE, TARGET, MakeRequest, difference

NEVER_BLEND = {"blend_start": 1.0}
LEVEL = "down_blocks.2.attentions.0.transformer_blocks.0"


def aligned(source: list[int], target: list[int]) -> dict[int, int]:
    """Target position -> source position, of 8."""
    alignment = Alignment.of(source, [target], 8)
    return {j: int(alignment.index[0, j]) for j in range(8) if alignment.shared[0, j]}


def test_words_that_both_prompts_have_are_aligned() -> None:
    identical = {k: k for k in range(8)}
    assert aligned([5, 6, 7], [5, 6, 7]) == identical
    assert aligned([5, 6, 7], [5, 9, 7]) == identical  # a word for a word: its map is handed on
    # 9 is new; end and padding move with it, and the last one stays inside
    assert aligned([5, 6, 7], [5, 9, 6, 7]) == {0: 0, 1: 1, 3: 2, 4: 3, 5: 4, 6: 5, 7: 6}
    assert aligned([5, 6, 7], [5, 7]) == {0: 0, 1: 1, 2: 3, 3: 4, 4: 5, 5: 6, 6: 7, 7: 7}


def test_words_that_differ_are_known_on_both_sides() -> None:
    alignment = Alignment.of([5, 6, 7], [[5, 9, 7], [5, 6, 7]], 8)
    assert alignment.new.nonzero().tolist() == [[0, 2]]
    assert alignment.old.nonzero().tolist() == [[0, 2]]


@contextmanager
def branches(
    model: BaseModel, session: EditSession, config: PromptToPromptConfig, guidance_scale: float
) -> Iterator[tuple[Branch, Control]]:
    told = [session.source_prompt, *session.target_prompts]
    ids = [sdxl.content_tokens(model, prompt) for prompt in told]
    control = Control(Alignment.of(ids[0], ids[1:], 24), config.self_tokens)
    with (
        take_maps(model.unet, control),
        recording_denoiser(model, session.encode(told), guidance_scale, attention_tokens=256, refine=0) as branch,
    ):
        yield branch, control


def sampled(model: BaseModel, session: EditSession, steps: int) -> Trajectory:
    """A path that sampling under the source prompt takes exactly, unlike an inversion's."""
    denoise = sdxl.denoiser(model, session.encode([session.source_prompt]).cond)
    timesteps = model.schedule.timesteps(steps)
    path = [torch.randn(1, 8, 16, 16, generator=torch.Generator().manual_seed(0))]
    grid = timesteps.flip(0).tolist()
    for t, s in pairwise(grid):
        path.append(ddim_step(model.schedule, path[-1], denoise(path[-1], t), t, s))
    return Trajectory(timesteps, torch.stack(path[::-1]))


def painted(model: BaseModel, session: EditSession, trajectory: Trajectory, **settings: float) -> tuple[Latents, ...]:
    config = PromptToPromptConfig(steps=len(trajectory.timesteps) - 1, **settings)
    with branches(model, session, config, 1.0) as (branch, control):
        return edit_latents(branch, control, model.schedule, trajectory, session.user_mask(), config, no_progress)


def test_the_same_prompt_without_guidance_walks_the_sources_path(deep_model: BaseModel, ask: MakeRequest) -> None:
    session = EditSession.of(deep_model, ask(SOURCE), None)
    trajectory = sampled(deep_model, session, 3)
    x_0, *_ = painted(deep_model, session, trajectory, cross_replace=1.0, self_replace=1.0, **NEVER_BLEND)
    torch.testing.assert_close(x_0, trajectory.x_0, rtol=1e-3, atol=1e-4)


def test_the_sources_maps_hold_another_prompt_to_its_path(deep_model: BaseModel, ask: MakeRequest) -> None:
    session = EditSession.of(deep_model, ask("sks dog in a meadow"), None)
    trajectory = sampled(deep_model, session, 3)
    gaps = [
        (painted(deep_model, session, trajectory, cross_replace=share, self_replace=share, **NEVER_BLEND)[0])
        .sub(trajectory.x_0)
        .abs()
        .mean()
        for share in (0.0, 1.0)
    ]
    assert 0 < gaps[1] < gaps[0]


def test_outside_the_mask_the_latents_end_as_the_sources(deep_model: BaseModel, ask: MakeRequest) -> None:
    session = EditSession.of(deep_model, ask(TARGET, "sks dog in a meadow"), None)
    trajectory = sampled(deep_model, session, 3)
    x_0, source_mask, edit_mask = painted(deep_model, session, trajectory, threshold=0.9, dilation=0.0)
    assert (edit_mask >= source_mask).all()
    outside = (edit_mask == 0).expand_as(x_0)
    assert 0 < outside.float().mean() < 1
    assert torch.equal(x_0[outside], trajectory.x_0.expand_as(x_0)[outside])
    assert not torch.isclose(x_0[~outside], trajectory.x_0.expand_as(x_0)[~outside]).all()


def test_without_any_of_its_parts_it_is_plain_ddim(deep_model: BaseModel, ask: MakeRequest) -> None:
    (plain,) = ddim_edit.edit(deep_model, ask(), DdimConfig(steps=2))
    config = PromptToPromptConfig(steps=2, cross_replace=0.0, self_replace=0.0, **NEVER_BLEND)
    (bare,) = prompt_to_prompt.edit(deep_model, ask(), config)
    assert np.quantile(np.abs(np.asarray(plain.image, int) - np.asarray(bare.image, int)), 0.99) <= 1
    for part in ({"cross_replace": 1.0}, {"self_replace": 1.0}, {"blend_start": 0.0, "threshold": 0.9}):
        settings = {"steps": 2, "cross_replace": 0.0, "self_replace": 0.0, **NEVER_BLEND, **part}
        (edit,) = prompt_to_prompt.edit(deep_model, ask("sks dog in a meadow"), PromptToPromptConfig(**settings))
        (other,) = ddim_edit.edit(deep_model, ask("sks dog in a meadow"), DdimConfig(steps=2))
        assert difference(edit.image, other.image) > 0.5, part


def test_the_requests_mask_wins(deep_model: BaseModel, ask: MakeRequest, left_half: Image.Image) -> None:
    (edit,) = prompt_to_prompt.edit(deep_model, ask(mask=left_half), PromptToPromptConfig(steps=2))
    for mask in (np.asarray(edit.source_mask), np.asarray(edit.edit_mask)):
        assert mask[:, :16].min() == 255
        assert mask[:, 20:].max() == 0


def test_changed_words_blend_elsewhere_than_the_subject(deep_model: BaseModel, ask: MakeRequest) -> None:
    masks = [
        np.asarray(
            prompt_to_prompt.edit(deep_model, ask(), PromptToPromptConfig(steps=2, blend_words=words, threshold=0.7))[
                0
            ].edit_mask
        )
        for words in ("subject", "changed")
    ]
    assert (masks[0] != masks[1]).any()


def maps_of(attn, queries, keys):
    q, k = (
        rearrange(projection(states), "b n (h d) -> b h n d", h=attn.heads)
        for projection, states in ((attn.to_q, queries), (attn.to_k, keys))
    )
    return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)


def answer_of(attn, maps, context):
    v = rearrange(attn.to_v(context), "b n (h d) -> b h n d", h=attn.heads)
    return attn.to_out[0](rearrange(maps @ v, "b h n d -> b n (h d)"))


@torch.no_grad()
@pytest.mark.parametrize("is_cross", [True, False])
def test_maps_are_the_sources_and_values_the_targets(deep_model: BaseModel, is_cross: bool) -> None:
    attn = deep_model.unet.get_submodule(f"{LEVEL}.attn{1 + is_cross}")
    draw = torch.Generator().manual_seed(0)
    states = torch.randn(4, 64, attn.to_q.in_features, generator=draw)  # (source, target), unconditional and not
    text = torch.randn(4, 8, attn.to_k.in_features, generator=draw) if is_cross else states
    control = Control(Alignment.of([5, 6, 7], [[5, 9, 6, 7]], 8), 64, cross=True, own=True)
    answer = MapTaker(attn.processor, control, is_cross)(attn, states, text if is_cross else None)

    maps = maps_of(attn, states, text)
    source, target = maps[2:3], maps[3:4]
    if is_cross:
        expected = source[..., [0, 1, 0, 2, 3, 4, 5, 6]].clone()
        expected[..., 2] = target[..., 2]  # the new word's
    else:
        expected = source
    torch.testing.assert_close(answer[3:], answer_of(attn, expected, text[3:]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(answer[:3], answer_of(attn, maps[:3], text[:3]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_large_self_attention_stays_the_targets_own(deep_model: BaseModel) -> None:
    attn = deep_model.unet.get_submodule(f"{LEVEL}.attn1")
    states = torch.randn(2, 64, attn.to_q.in_features, generator=torch.Generator().manual_seed(0))
    control = Control(Alignment.of([5], [[5]], 8), 63, own=True)
    with use_processors(deep_model.unet, lambda name, old: old):
        assert torch.equal(MapTaker(attn.processor, control, False)(attn, states), attn.processor(attn, states))
