import pytest
import torch
from einops import rearrange

from lipe_core.methods.map_replacement import Alignment, MapReplacement, MapReplacementProcessor
from lipe_core.sdxl import BaseModel, use_processors

LEVEL = "down_blocks.2.attentions.0.transformer_blocks.0"


def aligned(source: list[int], target: list[int]) -> dict[int, int]:
    """Target position -> source position, in prompts of 8 tokens."""
    alignment = Alignment.of(source, [target], 8)
    return {j: int(alignment.index[0, j]) for j in range(8) if alignment.shared[0, j]}


def test_shared_words_are_aligned() -> None:
    identical = {k: k for k in range(8)}
    assert aligned([5, 6, 7], [5, 6, 7]) == identical
    assert aligned([5, 6, 7], [5, 9, 7]) == identical  # a word for a word is a swap
    # 9 is new; end and padding move with it, and the last one stays inside
    assert aligned([5, 6, 7], [5, 9, 6, 7]) == {0: 0, 1: 1, 3: 2, 4: 3, 5: 4, 6: 5, 7: 6}
    assert aligned([5, 6, 7], [5, 7]) == {0: 0, 1: 1, 2: 3, 3: 4, 4: 5, 5: 6, 6: 7, 7: 7}


def test_words_that_differ_are_marked_on_both_sides() -> None:
    alignment = Alignment.of([5, 6, 7], [[5, 9, 7], [5, 6, 7]], 8)
    assert alignment.new.nonzero().tolist() == [[0, 2]]
    assert alignment.old.nonzero().tolist() == [[0, 2]]


def maps_of(attn, queries, keys):
    q, k = (
        rearrange(projection(states), "b n (h d) -> b h n d", h=attn.heads)
        for projection, states in ((attn.to_q, queries), (attn.to_k, keys))
    )
    return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)


def output_of(attn, maps, context):
    v = rearrange(attn.to_v(context), "b n (h d) -> b h n d", h=attn.heads)
    return attn.to_out[0](rearrange(maps @ v, "b h n d -> b n (h d)"))


@torch.no_grad()
@pytest.mark.parametrize("is_cross", [True, False])
def test_maps_are_the_sources_and_values_the_targets(deep_model: BaseModel, is_cross: bool) -> None:
    attn = deep_model.unet.get_submodule(f"{LEVEL}.attn{1 + is_cross}")
    draw = torch.Generator().manual_seed(0)
    states = torch.randn(4, 64, attn.to_q.in_features, generator=draw)  # (source, target), unconditional and not
    text = torch.randn(4, 8, attn.to_k.in_features, generator=draw) if is_cross else states
    replacement = MapReplacement(
        Alignment.of([5, 6, 7], [[5, 9, 6, 7]], 8), 64, of_cross_attention=True, of_self_attention=True
    )
    output = MapReplacementProcessor(attn.processor, replacement, is_cross)(attn, states, text if is_cross else None)

    maps = maps_of(attn, states, text)
    source, target = maps[2:3], maps[3:4]
    if is_cross:
        expected = source[..., [0, 1, 0, 2, 3, 4, 5, 6]].clone()
        expected[..., 2] = target[..., 2]  # the new word keeps the target's
    else:
        expected = source
    torch.testing.assert_close(output[3:], output_of(attn, expected, text[3:]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output[:3], output_of(attn, maps[:3], text[:3]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_large_self_attention_stays_the_targets_own(deep_model: BaseModel) -> None:
    attn = deep_model.unet.get_submodule(f"{LEVEL}.attn1")
    states = torch.randn(2, 64, attn.to_q.in_features, generator=torch.Generator().manual_seed(0))
    replacement = MapReplacement(Alignment.of([5], [[5]], 8), 63, of_self_attention=True)
    with use_processors(deep_model.unet, lambda name, old: old):
        assert torch.equal(
            MapReplacementProcessor(attn.processor, replacement, False)(attn, states), attn.processor(attn, states)
        )
