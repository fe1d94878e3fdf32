"""Maps equal a naive softmax over text and image, and reading one's own features changes nothing."""

import pytest
import torch
from diffusers.models.transformers import transformer_flux2
from torch import Tensor

from lipe_core.backbone import Tokens
from lipe_core.flux2 import BaseModel
from lipe_core.methods.source_features import LATE, SourceFeatures

PROMPT = "a photo of sks dog"
SIZE = (48, 64)


@pytest.fixture
def x_t(klein: BaseModel) -> Tensor:
    return torch.randn(1, *klein.latent_shape(SIZE), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("refine", [0, 2])
def test_maps_are_the_words_share_of_a_naive_softmax(
    klein: BaseModel, x_t: Tensor, refine: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, content = klein.token_positions(PROMPT, ["dog"]), klein.content_positions(PROMPT)
    tokens = Tokens.of([wanted], [content], 512)
    seen: list[Tensor] = []
    fused = transformer_flux2.dispatch_attention_fn

    def watched(query: Tensor, key: Tensor, value: Tensor, **options: object) -> Tensor:
        q, k = (x.transpose(1, 2).float() for x in (query, key))
        seen.append((q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1).mean(dim=1)[-1:, 512:])
        return fused(query, key, value, **options)

    denoise = klein.denoiser(klein.encode_prompt(["", PROMPT], size=SIZE))
    _, rows, columns = klein.latent_shape(SIZE)
    plain = denoise(x_t.expand(2, -1, -1, -1), 40000)
    monkeypatch.setattr(transformer_flux2, "dispatch_attention_fn", watched)
    with klein.record_attention(tokens, latent_size=(rows, columns), attention_tokens=256, refine=refine) as store:
        recorded = denoise(x_t.expand(2, -1, -1, -1), 40000)
        found = store.pop()
        with pytest.raises(RuntimeError, match="nothing was recorded"):
            store.pop()
    assert torch.equal(recorded, plain)
    last = seen[1]  # the tiny klein has two double-stream blocks, of which the second is recorded
    share = last[:, :, list(wanted)].sum(dim=-1) / last[:, :, list(content)].sum(dim=-1)
    own = last[:, :, 512:] / last[:, :, 512:].sum(dim=-1, keepdim=True)
    for _ in range(refine):
        share = (own @ share[..., None])[..., 0]
    torch.testing.assert_close(found, share.reshape(1, 1, rows, columns), atol=1e-5, rtol=1e-4)


def test_reading_its_own_features_changes_little_and_those_of_another_image_much(klein: BaseModel, x_t: Tensor) -> None:
    features, denoise = SourceFeatures(latest=50000), klein.denoiser(klein.encode_prompt([PROMPT], size=SIZE))
    timed = features.at_timestep(denoise)
    with features.recorded(klein):
        timed(x_t, 30000)
    blocks = len(klein.transformer.single_transformer_blocks)
    late = range(round(LATE * (2 + blocks)) - 2, blocks)
    assert {name for name, _ in features.states} == {f"single_transformer_blocks.{k}.attn" for k in late}
    processors = [block.attn.processor for block in klein.transformer.single_transformer_blocks]
    plain, other = denoise(-x_t, 30000), denoise(-x_t, 60000)
    with features.used(klein):
        assert not torch.allclose(timed(-x_t, 30000), plain)
        assert torch.equal(timed(-x_t, 60000), other)  # noisier than the latest
    assert [block.attn.processor for block in klein.transformer.single_transformer_blocks] == processors


def test_an_image_reads_the_other_ones_keys_at_the_same_positions(klein: BaseModel) -> None:
    attn = klein.transformer.single_transformer_blocks[-1].attn
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(1, 512 + 6, attn.query_dim, generator=draw)
    more = torch.randn(1, 6, attn.query_dim, generator=draw)
    rotary = tuple(torch.rand(512 + 6, attn.head_dim, generator=draw) for _ in range(2))
    both = torch.cat([hidden, more], dim=1)
    extended = tuple(torch.cat([part, part[512:]]) for part in rotary)
    expected = attn(both, image_rotary_emb=extended)[:, : 512 + 6]
    with klein.visited_attention(LATE, lambda name, image: more):
        read = attn(hidden, image_rotary_emb=rotary)
    torch.testing.assert_close(read, expected)
    assert not torch.allclose(read, attn(hidden, image_rotary_emb=rotary))
