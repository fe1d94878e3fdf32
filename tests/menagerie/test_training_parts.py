"""The fast parts of training compute the same as their plain forms."""

import numpy as np
import torch
from torch import nn

from menagerie.group_norm import fast_group_norm
from menagerie.models import Sizes, build_tokenizer, build_vae, normalize_latents
from menagerie.muon import Muon, orthogonalize
from menagerie.stages.unet import NoiseTable, spread_timesteps


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    for shape in ((3, 20, 50), (2, 50, 20)):
        values = torch.linalg.svdvals(orthogonalize(torch.randn(shape, generator=torch.Generator().manual_seed(0))))
        assert values.min() > 0.5
        assert values.max() < 1.4


def test_muon_finds_a_minimum() -> None:
    target = torch.randn(8, 6, generator=torch.Generator().manual_seed(1))
    weight = nn.Parameter(torch.zeros(8, 6))
    optimizer = Muon([weight], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (weight - target).square().mean().backward()
        optimizer.step()
    assert (weight - target).abs().mean() < 0.1


def test_fast_group_norm_has_the_gradients_of_the_plain_one() -> None:
    torch.manual_seed(0)
    norm = nn.GroupNorm(4, 12)
    nn.init.normal_(norm.weight)
    x = torch.randn(3, 12, 5, 6, requires_grad=True)
    towards = torch.randn(3, 12, 5, 6)
    plain = torch.autograd.grad((norm(x) * towards).sum(), (x, norm.weight, norm.bias))
    with fast_group_norm(norm):
        fast = torch.autograd.grad((norm(x) * towards).sum(), (x, norm.weight, norm.bias))
    for ours, theirs in zip(fast, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert "forward" not in vars(norm)


def test_no_noise_level_has_a_small_weight() -> None:
    weights = NoiseTable(torch.tensor([0.99, 0.5, 0.004])).weight(torch.arange(3))
    torch.testing.assert_close(weights, torch.tensor([0.2, 0.5, 0.2]))
    t = spread_timesteps(4000, 1000, np.random.default_rng(0))
    assert (t.min() < 10, t.max() > 990) == (True, True)
    assert abs(float((t >= 900).float().mean()) - (0.25 + 0.75 * 0.1)) < 0.03


def test_every_second_image_of_the_noisiest_levels_is_replaced_by_noise() -> None:
    table = NoiseTable(torch.linspace(1.0, 0.0, 102)[1:-1])
    x_0, noise = (torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    t = torch.tensor([99, 10, 95, 89, 90, 91])
    x_t, v_t = table.mix_or_pure_noise(x_0, noise, t)
    a = table.alphas_cumprod[t].view(-1, 1, 1, 1)
    torch.testing.assert_close(a.sqrt() * x_t - (1 - a).sqrt() * v_t, x_0)
    replaced = [bool(torch.equal(one, other)) for one, other in zip(x_t, noise, strict=True)]
    assert replaced == [False, False, True, False, False, True]
    for one, other in zip(table.mix(x_0, noise, t), (x_t, v_t), strict=True):
        torch.testing.assert_close(one[[0, 1, 3, 4]], other[[0, 1, 3, 4]])


def test_each_word_is_one_token_and_other_text_is_a_run_of_bytes() -> None:
    words = ["dog", "dogs", "do", "meadow", "looking", "look", ","]
    tokenizer = build_tokenizer(words, 16)
    for word in words:
        assert len(tokenizer(word, add_special_tokens=False).input_ids) == 1
    strange = tokenizer("Ünknown", add_special_tokens=False).input_ids
    assert len(strange) > 1
    assert tokenizer.decode(strange).strip() == "ünknown"


def test_normalised_latents_decode_to_the_same_image() -> None:
    torch.manual_seed(0)
    vae = build_vae(Sizes(image_size=32, vae_widths=(8, 8, 8, 8), latent_channels=4)).eval()
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        before = vae.encode(pixels).latent_dist
        decoded = vae.decode(before.mean).sample
        normalize_latents(vae, torch.tensor([0.5, -1.0, 0.0, 2.0]), torch.tensor([0.5, 2.0, 1.0, 3.0]))
        after = vae.encode(pixels).latent_dist
        torch.testing.assert_close(vae.decode(after.mean).sample, decoded, rtol=1e-3, atol=1e-4)
    expected = (before.mean - torch.tensor([0.5, -1.0, 0.0, 2.0])[:, None, None]) / torch.tensor([0.5, 2.0, 1.0, 3.0])[
        :, None, None
    ]
    torch.testing.assert_close(after.mean, expected, rtol=1e-4, atol=1e-5)
