from dataclasses import replace

import pytest
import torch

from lipe_core import sdxl
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.errors import TrainingDiverged
from lipe_core.methods import imagic
from lipe_core.methods.imagic import Fit, ImagicConfig, optimize_embedding, own_weights, reconstruction_loss
from lipe_core.sdxl import BaseModel
from tests.support.editing import MakeRequest, difference

UNTRAINED = ImagicConfig(steps=2, embedding_steps=0, model_steps=0)
TRAINED = ImagicConfig(
    steps=2, embedding_steps=6, embedding_learning_rate=0.05, model_steps=3, model_learning_rate=1e-3
)


def target_of(model: BaseModel) -> Conditioning:
    return sdxl.encode_prompt(model, ["a photo of dog jumping"], size=(32, 32))


def held_out_loss(model: BaseModel, x_0: torch.Tensor, conditioning: Conditioning) -> float:
    draw = torch.Generator().manual_seed(99)
    losses = [
        reconstruction_loss(model, x_0, torch.randn(x_0.shape, generator=draw), torch.tensor([t]), conditioning).item()
        for t in range(100, 1000, 200)
    ]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_without_training_it_generates_the_prompt(deep_model: BaseModel, ask: MakeRequest, eta: float) -> None:
    (edit,) = imagic.edit(deep_model, ask(seeds=(5,)), replace(UNTRAINED, eta=eta))
    (generated,) = sdxl.generate_images(
        deep_model, ["a photo of dog jumping"], [5], size=(32, 32), steps=2, guidance_scale=UNTRAINED.guidance_scale
    )
    assert difference(edit.image, generated) < 0.01  # copied weights have another alignment: last bits differ


def test_eta_leads_from_the_fitted_embedding_to_the_prompt(deep_model: BaseModel, ask: MakeRequest) -> None:
    found, between, prompt = (
        imagic.edit(deep_model, ask(), replace(TRAINED, model_steps=0, eta=eta))[0].image for eta in (0.0, 0.7, 1.0)
    )
    (untrained,) = imagic.edit(deep_model, ask(), UNTRAINED)
    assert difference(prompt, untrained.image) < 0.01
    assert 0.1 < difference(between, prompt) < difference(found, prompt)


def test_tuning_the_network_changes_the_image(deep_model: BaseModel, ask: MakeRequest) -> None:
    (tuned,) = imagic.edit(deep_model, ask(), replace(TRAINED, eta=1.0))
    (untrained,) = imagic.edit(deep_model, ask(), UNTRAINED)
    assert difference(tuned.image, untrained.image) > 0.5


def test_the_fitted_embedding_reconstructs_the_image_better(deep_model: BaseModel, ask: MakeRequest) -> None:
    x_0, target, steps = sdxl.encode_image(deep_model, [ask().image]), target_of(deep_model), []
    config = replace(TRAINED, embedding_steps=12)
    found = optimize_embedding(deep_model, x_0, target, config, lambda: steps.append(1))
    with torch.no_grad():
        assert held_out_loss(deep_model, x_0, found) < held_out_loss(deep_model, x_0, target)
    assert len(steps) == 12
    assert not torch.equal(found.pooled_prompt_embeds, target.pooled_prompt_embeds)


def test_tuning_the_network_reconstructs_the_image_better(deep_model: BaseModel, ask: MakeRequest) -> None:
    x_0, target = sdxl.encode_image(deep_model, [ask().image]), target_of(deep_model)
    before = held_out_loss(deep_model, x_0, target)
    with own_weights(deep_model) as weights:
        imagic.fit(deep_model, x_0, target, weights, Fit(10, 1e-3, torch.Generator().manual_seed))
        assert held_out_loss(deep_model, x_0, target) < before
    assert held_out_loss(deep_model, x_0, target) == before


def test_weights_keep_their_own_storage(deep_model: BaseModel) -> None:
    addresses = [weight.data_ptr() for weight in deep_model.unet.parameters()]
    with own_weights(deep_model) as weights:
        assert not set(addresses) & {weight.data_ptr() for weight in weights}
    assert [weight.data_ptr() for weight in deep_model.unet.parameters()] == addresses


def test_a_diverged_fit_names_the_learning_rate(deep_model: BaseModel, ask: MakeRequest) -> None:
    nan = torch.full_like(sdxl.encode_image(deep_model, [ask().image]), float("nan"))
    with pytest.raises(TrainingDiverged, match="rate"):
        optimize_embedding(deep_model, nan, target_of(deep_model), TRAINED)
