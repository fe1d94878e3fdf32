"""The keys and values of prompts are projected once, and again where the weights have changed."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from lipe_core import sdxl
from lipe_core.adapters.lora import new_adapter, use_adapter
from lipe_core.backbone import predict_noise
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.sdxl import BaseModel
from tests.support.editing import SOURCE, TARGET, make_prior

T = 500


@pytest.fixture
def prompts(model: BaseModel) -> Conditioning:
    return sdxl.encode_prompt(model, [SOURCE, TARGET], size=(64, 64))


@pytest.fixture
def x_t(model: BaseModel) -> torch.Tensor:
    return torch.randn(2, *model.latent_shape((64, 64)), generator=torch.Generator().manual_seed(0))


def without_sharing(model: BaseModel, x_t: torch.Tensor, prompts: Conditioning) -> torch.Tensor:
    return predict_noise(model, x_t, torch.full((2,), T), prompts)


@contextmanager
def counted_products(monkeypatch: pytest.MonkeyPatch, prompts: Conditioning) -> Iterator[Counter[str]]:
    """Counts the products of `linear` in cross-attention's keys and values, which have the prompts' length."""
    counts, linear, length = Counter[str](), torch.nn.functional.linear, prompts.prompt_embeds.shape[1]

    def watched(x: torch.Tensor, *rest: Any) -> torch.Tensor:
        counts["products"] += x.shape[1:2] == (length,)
        return linear(x, *rest)

    with monkeypatch.context() as patch:
        patch.setattr("torch.nn.functional.linear", watched)
        yield counts


def test_later_calls_project_nothing_and_have_the_same_bits(
    model: BaseModel, x_t: torch.Tensor, prompts: Conditioning, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [name for name in model.unet.attn_processors if ".attn2." in name]
    denoise = sdxl.denoiser(model, prompts)
    with counted_products(monkeypatch, prompts) as counts:
        noise = [denoise(x_t, T) for _ in range(3)]
    assert counts["products"] == 2 * len(layers) > 0
    assert all(torch.equal(each, without_sharing(model, x_t, prompts)) for each in noise)


def test_other_weights_and_other_prompts_are_projected_again(
    model: BaseModel, x_t: torch.Tensor, prompts: Conditioning
) -> None:
    denoise, base = sdxl.denoiser(model, prompts), without_sharing(model, x_t, prompts)
    denoise(x_t, T)
    with use_adapter(model, make_prior(model)) as base_weights:
        personal = without_sharing(model, x_t, prompts)
        assert not torch.equal(personal, base)
        assert torch.equal(denoise(x_t, T), personal)
        with base_weights():
            assert torch.equal(denoise(x_t, T), base)
        assert torch.equal(denoise(x_t, T), personal)
    weight = model.unet.get_submodule(next(iter(denoise_layers(model)))).weight
    before = weight.detach().clone()
    with torch.no_grad():
        try:
            weight.mul_(2)  # in place, as a graph's weights change
            assert torch.equal(denoise(x_t, T), without_sharing(model, x_t, prompts))
        finally:
            weight.copy_(before)
    assert torch.equal(denoise(x_t, T), base)
    other = sdxl.denoiser(model, prompts.select(torch.tensor([1, 0])))
    assert not torch.equal(other(x_t, T), base)


def test_a_network_in_training_and_the_recording_of_attention_see_every_call(
    model: BaseModel, x_t: torch.Tensor, prompts: Conditioning
) -> None:
    with new_adapter(model, rank=4, alpha=4, seed=0):
        denoise = sdxl.denoiser(model, prompts)
        assert torch.equal(denoise(x_t, T), without_sharing(model, x_t, prompts))
        assert torch.equal(denoise(x_t, T), without_sharing(model, x_t, prompts))
    seen, layer = list[torch.Tensor](), model.unet.get_submodule(next(iter(denoise_layers(model))))
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    denoise = sdxl.denoiser(model, prompts)
    for _ in range(2):
        denoise(x_t, T)
    hook.remove()
    assert len(seen) == 2
    assert "forward" not in vars(layer)
    with pytest.raises(RuntimeError):
        denoise(x_t[:, :1], T)
    assert "forward" not in vars(layer)


def denoise_layers(model: BaseModel) -> list[str]:
    return [name for name, _ in model.unet.named_modules() if name.endswith(".attn2.to_k")]
