"""Late self-attention layers record the source's features, and a target reads them beside its own."""

import pytest
import torch
from torch import Tensor

from lipe_core import sdxl
from lipe_core.diffusion.ddim import Denoiser
from lipe_core.methods.source_features import LATE, SourceFeatures, latest_lookup
from lipe_core.sdxl import BaseModel, Tokens, record_attention, self_attention_layers
from lipe_core.shapes import Latents
from tests.support.editing import NaiveAttention

SIZE = (64, 64)
PROMPT = "a photo of sks dog"


@pytest.fixture
def x_t(model: BaseModel) -> Latents:
    return torch.randn(1, *model.latent_shape(SIZE), generator=torch.Generator().manual_seed(0))


def denoiser(model: BaseModel, rows: int = 1) -> Denoiser:
    return sdxl.denoiser(model, sdxl.encode_prompt(model, [PROMPT] * rows, size=SIZE))


@pytest.fixture
def features(model: BaseModel, x_t: Latents) -> SourceFeatures:
    """Features of x_t at timesteps 200 and 400; 600 is noisier than `latest`."""
    features = SourceFeatures(latest=500)
    denoise = features.at_timestep(denoiser(model, 2))
    other = torch.zeros_like(x_t)  # the unconditional row of a guided source
    with features.recorded(model):
        for t in (200, 400, 600):
            denoise(torch.cat([other, x_t]), t)
    return features


def test_late_layers_are_recorded_up_to_the_latest_timestep(model: BaseModel, features: SourceFeatures) -> None:
    layers = self_attention_layers(model.unet)
    late = layers[round(LATE * len(layers)) :]
    assert late
    assert all(name.startswith("up_blocks") for name in late)
    assert set(features.states) == {(name, t) for name in late for t in (200, 400)}
    assert all(len(states) == 1 for states in features.states.values())


def test_reading_its_own_features_changes_nothing(model: BaseModel, features: SourceFeatures, x_t: Latents) -> None:
    plain = denoiser(model, 2)(x_t.expand(2, -1, -1, -1), 400)
    with features.used(model):
        read = features.at_timestep(denoiser(model, 2))(x_t.expand(2, -1, -1, -1), 400)
    torch.testing.assert_close(read, plain, rtol=1e-4, atol=1e-5)


def test_another_image_reads_the_source_only_at_recorded_timesteps(
    model: BaseModel, features: SourceFeatures, x_t: Latents
) -> None:
    other = -x_t.flip(-1)
    before = dict(model.unet.attn_processors)
    with features.used(model):
        for t, reads in ((200, True), (300, False), (400, True), (600, False)):
            plain = denoiser(model)(other, t)  # without a timestep nothing is read
            assert torch.equal(features.at_timestep(denoiser(model))(other, t), plain) != reads
    assert model.unet.attn_processors == before


@torch.no_grad()
def test_keys_and_values_are_the_targets_and_the_sources(
    model: BaseModel, features: SourceFeatures, x_t: Latents
) -> None:
    (name, source), *_ = ((name, states) for (name, t), states in features.states.items() if t == 400)
    attn = model.unet.get_submodule(name.removesuffix(".processor"))
    target = torch.randn(3, *source.shape[1:], generator=torch.Generator().manual_seed(1))
    outputs: list[Tensor] = []

    def denoise(x_t: Latents, t: int) -> Latents:
        outputs.append(attn.processor(attn, target))
        return x_t

    with features.used(model):
        features.at_timestep(denoise)(x_t, 400)
    expected = NaiveAttention(name, {})(attn, target, torch.cat([target, source.expand(3, -1, -1)], dim=1))
    torch.testing.assert_close(outputs[0], expected, rtol=1e-4, atol=1e-5)


def test_recorded_attention_is_of_the_target_alone(model: BaseModel, features: SourceFeatures, x_t: Latents) -> None:
    tokens = Tokens.of(
        [sdxl.token_positions(model, PROMPT, ["sks", "dog"])],
        [model.content_positions(PROMPT)],
        model.tokenizers[0].model_max_length,
    )
    latent_size = (x_t.shape[2], x_t.shape[3])
    maps = []
    for read in (False, True):
        with (
            features.used(model),
            record_attention(model.unet, tokens, latent_size=latent_size, refine=2) as store,
        ):
            denoise = denoiser(model)
            (features.at_timestep(denoise) if read else denoise)(x_t, 400)
            maps.append(store.pop())
    torch.testing.assert_close(maps[1], maps[0], rtol=1e-4, atol=1e-5)  # its own features change nothing


@pytest.mark.parametrize(("start", "latest"), [(1.0, -1), (0.0, 800), (0.2, 800), (0.25, 600), (0.3, 600), (0.75, 200)])
def test_the_source_is_read_after_a_progress(start: float, latest: int) -> None:
    assert latest_lookup(torch.tensor([0, 200, 400, 600, 800]), start) == latest
