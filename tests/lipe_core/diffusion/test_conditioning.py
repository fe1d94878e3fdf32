import pytest
import torch

from lipe_core.diffusion.conditioning import Conditioning


def rows(count):
    return Conditioning(torch.randn(count, 5, 3), torch.randn(count, 4), torch.randn(count, 6))


def test_select_and_concat_are_inverse():
    whole = rows(4)
    parts = [whole.select(torch.tensor([i])) for i in range(4)]
    again = Conditioning.concat(parts)
    assert torch.equal(again.prompt_embeds, whole.prompt_embeds)
    assert torch.equal(again.pooled_prompt_embeds, whole.pooled_prompt_embeds)
    assert torch.equal(again.time_ids, whole.time_ids)


def test_expand_copies_a_single_row_and_refuses_more():
    one = rows(1)
    assert torch.equal(one.expand(3).prompt_embeds[2], one.prompt_embeds[0])
    with pytest.raises(ValueError, match="single row"):
        rows(2).expand(3)


def test_repeat_keeps_copies_together():
    two = rows(2)
    assert torch.equal(two.repeat(2).pooled_prompt_embeds, two.pooled_prompt_embeds[[0, 0, 1, 1]])


def test_precision_changes_all_parts():
    half = rows(2).to("cpu", torch.bfloat16)
    assert {half.prompt_embeds.dtype, half.pooled_prompt_embeds.dtype, half.time_ids.dtype} == {torch.bfloat16}
