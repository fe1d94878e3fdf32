"""Priors of a klein: plain diffusers loads them, a training changes nothing else, and other backbones refuse them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import Flux2KleinPipeline
from diffusers.training_utils import _collate_lora_metadata
from peft import LoraConfig, get_peft_model_state_dict
from PIL import Image
from torch import Tensor

from lipe_core import base_models
from lipe_core.adapters import lora
from lipe_core.adapters.foreign_lora import convert_lora, import_lora
from lipe_core.adapters.prior import ADAPTER, load_prior, save_prior
from lipe_core.errors import InvalidPrior, InvalidRequest, PriorMismatch
from lipe_core.flux2 import BaseModel
from lipe_core.subject import Subject
from lipe_core.training.config import PriorConfig
from lipe_core.training.dataset import load, save, with_captions
from lipe_core.training.learn import LearnRequest, prepare
from lipe_core.training.regularization import RegularizationConfig
from lipe_core.training.train import train_adapter
from tests.support.editing import make_prior
from tests.support.tiny_checkpoint import write_checkpoint

CONFIG = PriorConfig(steps=3, rank=4, learning_rate=1e-2, warmup=0, preservation_batch_size=0, compute_dtype="float32")


def prediction(model: BaseModel) -> Tensor:
    x_t = torch.randn(1, *model.latent_shape((64, 64)), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model.predict(x_t, torch.tensor([40000]), model.encode_prompt(["a photo of sks dog"], size=(64, 64)))


def test_plain_diffusers_loads_it_and_predicts_the_same(klein: BaseModel, klein_folder: Path, tmp_path: Path) -> None:
    prior, base = make_prior(klein), prediction(klein)
    layers = {name.removeprefix("transformer.").partition(".lora_")[0] for name in prior.adapter}
    expected = {f"transformer_blocks.{k}.attn.{part}" for k in (0, 1) for part in ("to_q", "to_k", "to_v", "to_out.0")}
    expected |= {f"single_transformer_blocks.{k}.attn.{p}" for k in range(3) for p in ("to_qkv_mlp_proj", "to_out")}
    assert layers == expected
    save_prior(prior.adapter, prior.manifest, tmp_path / "prior")
    pipeline = Flux2KleinPipeline.from_pretrained(klein_folder)
    pipeline.load_lora_weights(tmp_path / "prior", weight_name=ADAPTER)
    theirs = prediction(replace(klein, transformer=pipeline.transformer))
    with lora.use_adapter(klein, prior) as base_weights:
        torch.testing.assert_close(prediction(klein), theirs)
        with base_weights():
            assert torch.equal(prediction(klein), base)
    assert not torch.allclose(theirs, base, atol=1e-4)
    assert torch.equal(prediction(klein), base)


def test_projections_that_are_left_out_leave_their_fused_layers_out(klein: BaseModel) -> None:
    assert klein.adapter_targets(["to_v"]) == ["to_v", "to_qkv_mlp_proj"]
    assert klein.adapter_targets(["to_out.0"]) == [
        "to_out.0", *(f"single_transformer_blocks.{k}.attn.to_out" for k in range(3))
    ]  # fmt: skip


@pytest.mark.parametrize("tuning", ["lora", "full_attention"])
def test_a_training_learns_and_leaves_the_network_as_it_was(klein: BaseModel, tuning: lora.Tuning) -> None:
    weights = {name: weight.clone() for name, weight in klein.transformer.state_dict().items()}
    draw = torch.Generator().manual_seed(0)
    latents = torch.randn(2, *klein.latent_shape((64, 64)), generator=draw)
    samples = with_captions(klein, latents, ["a photo of sks dog", "sks dog sitting"])
    config = replace(CONFIG, tuning=tuning, learning_rate=1e-3 if tuning == "full_attention" else 1e-2)
    result = train_adapter(klein, [samples], None, config)
    after = klein.transformer.state_dict()
    assert after.keys() == weights.keys()
    assert all(torch.equal(after[name], weight) for name, weight in weights.items())
    assert not any(weight.requires_grad for weight in klein.transformer.parameters())
    if tuning == "lora":
        of_singles = [tensor for name, tensor in result.adapter.items() if "single" in name and "lora_B" in name]
        assert all(tensor.abs().max() > 0 for tensor in of_singles)
    base = prediction(klein)
    with lora.use_adapter(klein, replace(make_prior(klein), adapter=result.adapter)):
        assert not torch.allclose(prediction(klein), base, atol=1e-5)


def test_encoded_sets_are_kept(klein: BaseModel, tmp_path: Path) -> None:
    encoded = with_captions(klein, torch.zeros(1, *klein.latent_shape((64, 64))), ["a dog"])
    save(encoded, tmp_path / "set.safetensors")
    kept = load(tmp_path / "set.safetensors").conditioning
    assert torch.equal(kept.prompt_embeds, encoded.conditioning.prompt_embeds)
    assert kept.time_ids.shape == (1, 0)


def test_the_embedding_of_a_token_is_not_trained(klein: BaseModel) -> None:
    samples = with_captions(klein, torch.zeros(1, *klein.latent_shape((64, 64))), ["a photo of sks dog"])
    with pytest.raises(InvalidRequest, match="does not train the embedding of a token: set token_learning_rate to 0"):
        train_adapter(klein, [samples], None, replace(CONFIG, token_learning_rate=1e-3), token="sks")


def test_a_training_of_it_is_refused_before_any_work(klein: BaseModel) -> None:
    request = LearnRequest(
        Subject("sks", "dog"), (Image.new("RGB", (64, 64)),), "animal", captioner=lambda *_: pytest.fail("it works")
    )
    with pytest.raises(InvalidRequest, match="set token_learning_rate to 0"):
        prepare(klein, request, replace(CONFIG, token_learning_rate=1e-3), RegularizationConfig())


def test_a_prior_of_the_other_backbone_is_refused(klein: BaseModel, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "sdxl")
    sdxl = base_models.load(tmp_path / "sdxl")
    for model, other in ((klein, sdxl), (sdxl, klein)):
        prior = make_prior(other)
        save_prior(prior.adapter, prior.manifest, tmp_path / other.family)
        with pytest.raises(PriorMismatch, match=r"was trained on .*: load that base model, or learn the prior"):
            load_prior(tmp_path / other.family, model.fingerprint)
        with (
            pytest.raises(InvalidPrior, match="do not belong to this base model's attention layers"),
            lora.use_adapter(model, prior),
        ):
            pass
        with pytest.raises(InvalidPrior, match=f"a base model of the family {model.family}: import the LoRA"):
            convert_lora(model, prior.adapter)


def test_a_lora_as_the_example_of_diffusers_writes_it_predicts_the_same(
    klein: BaseModel, klein_folder: Path, tmp_path: Path
) -> None:
    """As examples/dreambooth/train_dreambooth_lora_flux2_klein.py adds and saves it; alpha / rank is 2."""
    trained = Flux2KleinPipeline.from_pretrained(klein_folder).transformer
    layers = ["to_k", "to_q", "to_v", "to_out.0", "to_qkv_mlp_proj"]
    layers += [f"single_transformer_blocks.{k}.attn.to_out" for k in range(3)]
    trained.add_adapter(LoraConfig(r=4, lora_alpha=8, init_lora_weights="gaussian", target_modules=layers))
    for name, weight in trained.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(generator=torch.Generator().manual_seed(len(name)), std=0.1)
    metadata = _collate_lora_metadata({"transformer": trained})
    adapter = get_peft_model_state_dict(trained)
    Flux2KleinPipeline.save_lora_weights(tmp_path, transformer_lora_layers=adapter, **metadata)
    prior = import_lora(klein, Subject("sks", "dog"), tmp_path / "pytorch_lora_weights.safetensors")
    with lora.use_adapter(klein, prior):
        torch.testing.assert_close(prediction(klein), prediction(replace(klein, transformer=trained)))
    assert len(prior.adapter) == 28
