from types import SimpleNamespace

import numpy as np
import pytest
import torch
from einops import rearrange

from lipe_core.methods import ddim_edit, masactrl
from lipe_core.methods.ddim_edit import DdimConfig
from lipe_core.methods.masactrl import MasaCtrlConfig, MutualAttentionProcessor, MutualAttentionState
from lipe_core.sdxl import BaseModel, self_attention_layers
from tests.support.editing import MakeRequest, difference

LAYER = "up_blocks.0.attentions.0.transformer_blocks.0.attn1.processor"


@pytest.fixture
def layer(deep_model: BaseModel):
    """A self-attention layer of the 8 x 8 level and two halves of (source, target, target) for it."""
    attn = deep_model.unet.get_submodule(LAYER.removesuffix(".processor"))
    states = torch.randn(6, 64, attn.to_q.in_features, generator=torch.Generator().manual_seed(0))
    return attn, states


def naive(attn, queries, context):
    q, k, v = (
        rearrange(projection(states), "b n (h d) -> b h n d", h=attn.heads)
        for projection, states in ((attn.to_q, queries), (attn.to_k, context), (attn.to_v, context))
    )
    probabilities = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
    return attn.to_out[0](rearrange(probabilities @ v, "b h n d -> b n (h d)"))


@torch.no_grad()
def test_targets_read_the_source_of_their_half(layer) -> None:
    attn, states = layer
    output = MutualAttentionProcessor(attn.processor, MutualAttentionState(3, (32, 32), is_on=True))(attn, states)
    for half, got in zip(states.chunk(2), output.chunk(2), strict=True):
        torch.testing.assert_close(got[:1], naive(attn, half[:1], half[:1]), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(got[1:], naive(attn, half[1:], half[:1].expand(2, -1, -1)), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_foreground_reads_foreground_and_background_background(layer) -> None:
    attn, states = layer
    source, target = torch.zeros(1, 1, 32, 32), torch.zeros(2, 1, 32, 32)
    source[..., :8], target[0, ..., 24:], target[1] = 1, 1, 1
    state = MutualAttentionState(3, (32, 32), is_on=True)
    state.source_mask, state.target_mask = source, target
    output = MutualAttentionProcessor(attn.processor, state)(attn, states)
    column = torch.arange(64) % 8  # of the layer's 8 x 8 places
    for half, got in zip(states.chunk(2), output.chunk(2), strict=True):
        front, back = (
            naive(attn, half[1:], half[:1, places].expand(2, -1, -1)) for places in (column < 2, column >= 2)
        )
        expected = torch.stack([torch.where((column >= 6)[:, None], front[0], back[0]), front[1]])
        torch.testing.assert_close(got[1:], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_source_without_foreground_or_background_is_read_whole(layer, level: float) -> None:
    attn, states = layer
    state = MutualAttentionState(3, (32, 32), is_on=True)
    state.source_mask, state.target_mask = torch.full((1, 1, 32, 32), level), torch.ones(2, 1, 32, 32)
    plain = MutualAttentionProcessor(attn.processor, MutualAttentionState(3, (32, 32), is_on=True))(attn, states)
    assert torch.equal(MutualAttentionProcessor(attn.processor, state)(attn, states), plain)


@pytest.mark.parametrize("masked", [True, False])
def test_a_start_after_the_last_step_is_plain_ddim(deep_model: BaseModel, ask: MakeRequest, masked: bool) -> None:
    (plain,) = ddim_edit.edit(deep_model, ask(), DdimConfig(steps=2))
    (never,) = masactrl.edit(deep_model, ask(), MasaCtrlConfig(steps=2, start_step=2, masked=masked))
    (always,) = masactrl.edit(deep_model, ask(), MasaCtrlConfig(steps=2, start_step=0, start_layer=0, masked=masked))
    gaps = np.abs(np.asarray(plain.image, int) - np.asarray(never.image, int))
    assert np.quantile(gaps, 0.99) <= 1  # sums over a batch differ in the last bits
    assert difference(plain.image, always.image) > 1


def test_a_start_after_the_last_layer_is_plain_ddim(deep_model: BaseModel, ask: MakeRequest) -> None:
    (plain,) = ddim_edit.edit(deep_model, ask(), DdimConfig(steps=2))
    layers = len(self_attention_layers(deep_model.unet))
    (never,) = masactrl.edit(deep_model, ask(), MasaCtrlConfig(steps=2, start_step=0, start_layer=layers))
    assert np.quantile(np.abs(np.asarray(plain.image, int) - np.asarray(never.image, int)), 0.99) <= 1


def test_layers_are_counted_in_the_order_of_execution(deep_model: BaseModel) -> None:
    called: list[str] = []
    hooks = [
        deep_model.unet.get_submodule(name.removesuffix(".processor")).register_forward_pre_hook(
            lambda module, args, name=name: called.append(name)
        )
        for name in self_attention_layers(deep_model.unet)
    ]
    states = torch.zeros(1, 8, 32, 32)
    text = torch.zeros(1, 24, deep_model.unet.config.cross_attention_dim)
    pooled = {"text_embeds": torch.zeros(1, 24), "time_ids": torch.zeros(1, 6)}
    with torch.no_grad():
        deep_model.unet(states, 1, encoder_hidden_states=text, added_cond_kwargs=pooled)
    for hook in hooks:
        hook.remove()
    assert called == self_attention_layers(deep_model.unet)


@pytest.mark.parametrize(("down", "middle", "up", "layer"), [(6, 1, 9, 10), (24, 10, 36, 44), (3, 1, 6, 6)])
def test_the_papers_layer_on_networks_of_other_depths(down: int, middle: int, up: int, layer: int) -> None:
    blocks = {"down_blocks.0": down, "up_blocks.0": up, "mid_block": middle}  # as diffusers lists them
    names = [f"{block}.attentions.{k}.attn1.processor" for block, count in blocks.items() for k in range(count)]
    unet = SimpleNamespace(attn_processors=dict.fromkeys(names))
    assert masactrl._start_layer(unet, MasaCtrlConfig()) == layer
    assert self_attention_layers(unet)[layer].startswith("up_blocks")
