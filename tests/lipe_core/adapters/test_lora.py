from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from peft.tuners.lora import LoraLayer

from lipe_core import sdxl
from lipe_core.adapters import lora
from lipe_core.adapters.full_attention import attention_weights, difference_name
from lipe_core.adapters.prior import ADAPTER, Prior, save_prior
from lipe_core.errors import InvalidPrior
from lipe_core.sdxl import BaseModel
from tests.support.editing import make_prior


def test_an_adapter_may_omit_projections(model: BaseModel) -> None:
    base = prediction(model)
    with lora.new_adapter(model, rank=2, alpha=2.0, seed=1, targets=("to_v", "to_out.0")) as name:
        for key, weight in lora.adapter_parameters(model).items():
            if "lora_B" in key:
                weight.data.normal_(generator=torch.Generator().manual_seed(len(key)), std=0.1)
        tensors, trained = lora.export_adapter(model, name), prediction(model)
    assert not any(".to_q." in key or ".to_k." in key for key in tensors)
    with lora.use_adapter(model, Prior(tensors, make_prior(model).manifest)):
        torch.testing.assert_close(prediction(model), trained)
    assert not torch.allclose(trained, base, atol=1e-4)


def prediction(model: BaseModel) -> torch.Tensor:
    x_t = torch.randn(1, *model.latent_shape((64, 64)), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return sdxl.predict(model, x_t, torch.tensor([500]), sdxl.encode_prompt(model, ["a sks dog"], size=(64, 64)))


def test_a_new_adapter_changes_nothing_and_one_with_weights_does(model: BaseModel) -> None:
    base = prediction(model)
    with lora.new_adapter(model, rank=4, alpha=4, seed=1):
        torch.testing.assert_close(prediction(model), base)
    with lora.use_adapter(model, make_prior(model)):
        assert not torch.allclose(prediction(model), base, atol=1e-4)
    assert torch.equal(prediction(model), base)


def test_the_fused_operation_computes_what_the_layers_of_peft_do(model: BaseModel) -> None:
    with lora.new_adapter(model, rank=4, alpha=8.0, seed=1):
        for key, weight in lora.adapter_parameters(model).items():
            if "lora_B" in key:
                weight.data.normal_(generator=torch.Generator().manual_seed(len(key)), std=0.1)
        fused = prediction(model)
        layers = [layer for layer in model.unet.modules() if isinstance(layer, LoraLayer)]
        for layer in layers:
            del layer.forward  # the fused operation
        torch.testing.assert_close(fused, prediction(model))
        assert layers


def test_base_weights_disable_the_prior(model: BaseModel) -> None:
    base = prediction(model)
    full = {
        f"unet.{difference_name(name)}": torch.full_like(weight, 0.05)
        for name, weight in attention_weights(model).items()
    }
    for prior in (make_prior(model), Prior(full, make_prior(model).manifest)):
        with lora.use_adapter(model, prior) as base_weights:
            adapted = prediction(model)
            with base_weights():
                torch.testing.assert_close(prediction(model), base)
            assert torch.equal(prediction(model), adapted)
            assert not torch.allclose(adapted, base, atol=1e-4)
        assert torch.equal(prediction(model), base)


def test_plain_diffusers_loads_it_and_predicts_the_same(
    model: BaseModel, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    prior = make_prior(model)
    save_prior(prior.adapter, prior.manifest, tmp_path / "prior")
    pipeline = StableDiffusionXLPipeline.from_pretrained(tiny_checkpoint)
    pipeline.load_lora_weights(tmp_path / "prior", weight_name=ADAPTER)
    theirs = prediction(sdxl.BaseModel(**{**vars(model), "unet": pipeline.unet}))
    with lora.use_adapter(model, prior):
        torch.testing.assert_close(prediction(model), theirs)


def test_an_exception_inside_removes_the_adapter(model: BaseModel) -> None:
    base = prediction(model)
    with pytest.raises(KeyError), lora.use_adapter(model, make_prior(model)):
        raise KeyError
    assert torch.equal(prediction(model), base)


def test_two_trainings_at_once_are_refused(model: BaseModel) -> None:
    with (
        lora.new_adapter(model, rank=2, alpha=2.0, seed=1),
        pytest.raises(RuntimeError, match="already"),
        lora.new_adapter(model, rank=2, alpha=2.0, seed=1),
    ):
        pass


@pytest.mark.parametrize(
    "change", ["no tensors", "a missing one", "another shape", "of one dimension", "of another network"]
)
def test_an_adapter_that_does_not_fit_is_refused(model: BaseModel, change: str) -> None:
    prior = make_prior(model)
    tensors = {} if change == "no tensors" else dict(prior.adapter)
    if tensors:
        name = next(iter(tensors))
        tensor = tensors.pop(name)
        if change == "another shape":
            tensors[name] = torch.cat([tensor, tensor], dim=1)
        if change == "of one dimension":
            tensors[name] = tensor[:, 0]
        if change == "of another network":
            tensors[name.replace("attentions", "others")] = tensor
    base = prediction(model)
    with pytest.raises(InvalidPrior), lora.use_adapter(model, Prior(tensors, prior.manifest)):
        pass
    assert torch.equal(prediction(model), base)
