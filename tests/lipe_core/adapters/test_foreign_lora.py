"""LoRAs with the names of other programs become the same prior, and files that do not fit are refused by name."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import save_file
from torch import Tensor

from lipe_core import sdxl
from lipe_core.adapters import lora
from lipe_core.adapters.foreign_lora import convert_lora, import_lora
from lipe_core.adapters.prior import Prior
from lipe_core.adapters.textual_inversion import token_vectors
from lipe_core.errors import InvalidPrior
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Subject
from tests.lipe_core.adapters.test_lora import prediction
from tests.support.editing import make_prior

Rename = Callable[[str], str]
ALPHA, RANK = 8.0, 4


def layer_of(name: str) -> str:
    return name.removeprefix("unet.").rpartition(".lora_")[0]


def kohya(layer: str) -> str:
    return f"lora_unet_{layer.replace('.', '_')}"


def first_release(layer: str) -> str:
    """The names of SDXL's first release, in the tiny network with one layer a block."""

    def numbered(match: re.Match[str]) -> str:
        position = 2 * int(match[2]) + int(match[3])
        return f"input_blocks_{position + 1}_1" if match[1] == "down" else f"output_blocks_{position}_1"

    flat = layer.replace(".", "_").replace("mid_block_attentions_0", "middle_block_1")
    return f"lora_unet_{re.sub(r'^(down|up)_blocks_([0-9])_attentions_([0-9])', numbered, flat)}"


def with_alpha(adapter: dict[str, Tensor], rename: Rename) -> dict[str, Tensor]:
    """The prior as a file of kohya's trainer: without the scale in the weights, and an alpha for each layer."""
    tensors = {}
    for name, tensor in adapter.items():
        part, scale = ("down", 1.0) if ".lora_A." in name else ("up", RANK / ALPHA)
        tensors[f"{rename(layer_of(name))}.lora_{part}.weight"] = tensor * scale
        tensors[f"{rename(layer_of(name))}.alpha"] = torch.tensor(ALPHA)
    return tensors


def named(adapter: dict[str, Tensor], rename: Callable[[str, str], str]) -> dict[str, Tensor]:
    return {rename(layer_of(name), "down" if ".lora_A." in name else "up"): tensor for name, tensor in adapter.items()}


def before_peft(layer: str, part: str) -> str:
    attention, _, projection = layer.removesuffix(".0").rpartition(".")
    return f"unet.{attention}.processor.{projection}_lora.{part}.weight"


def test_the_names_of_every_program_give_the_same_prior(model: BaseModel) -> None:
    adapter = make_prior(model, RANK, ALPHA).adapter
    files = [
        with_alpha(adapter, kohya),
        with_alpha(adapter, first_release),
        named(adapter, lambda layer, part: f"unet.{layer}.lora.{part}.weight"),
        named(adapter, before_peft),
        adapter,
    ]
    for tensors in files:
        converted = convert_lora(model, tensors)
        assert converted.keys() == adapter.keys()
        for name, tensor in converted.items():
            torch.testing.assert_close(tensor, adapter[name])


@pytest.mark.parametrize("rename", [kohya, first_release])
def test_diffusers_predicts_the_same_with_a_file_of_kohya(
    model: BaseModel, tiny_checkpoint: Path, tmp_path: Path, rename: Rename
) -> None:
    """Layers outside the attention, some layers only, and another rank in each."""
    layers = [name for name in lora.linear_weights(model) if re.search(r"ff\.net|proj_in|attn2\.to_v", name)]
    draw, tensors = torch.Generator().manual_seed(0), {}
    for number, layer in enumerate(layers):
        rank, (outputs, inputs) = 1 + number % 3, lora.linear_weights(model)[layer].shape
        tensors[f"{rename(layer)}.lora_down.weight"] = torch.randn(rank, inputs, generator=draw) * 0.2
        tensors[f"{rename(layer)}.lora_up.weight"] = torch.randn(outputs, rank, generator=draw) * 0.2
        tensors[f"{rename(layer)}.alpha"] = torch.tensor(2.0)
    save_file(tensors, tmp_path / "lora.safetensors")
    prior = import_lora(model, Subject("sks", "dog"), tmp_path / "lora.safetensors")
    assert prior.manifest.config["imported"]["ranks"] == [1, 2, 3]
    base = prediction(model)
    with lora.use_adapter(model, prior):
        imported = prediction(model)
    assert torch.equal(prediction(model), base)
    pipeline = StableDiffusionXLPipeline.from_pretrained(tiny_checkpoint)
    pipeline.load_lora_weights(tmp_path, weight_name="lora.safetensors")
    theirs = prediction(sdxl.BaseModel(**{**vars(model), "unet": pipeline.unet}))
    torch.testing.assert_close(theirs, imported, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(imported, base, atol=1e-3)


def test_the_settings_of_peft_give_the_scale(model: BaseModel) -> None:
    adapter = make_prior(model).adapter
    doubled = convert_lora(model, adapter, {"lora_adapter_metadata": '{"unet.r": 4, "unet.lora_alpha": 8}'})
    for name, tensor in doubled.items():
        torch.testing.assert_close(tensor, adapter[name] * (2 if ".lora_B." in name else 1))
    for settings, message in (
        ('{"unet.use_dora": true}', "use_dora"),
        ("[", "cannot be read"),
        ("[]", "cannot be read"),
    ):
        with pytest.raises(InvalidPrior, match=message):
            convert_lora(model, adapter, {"lora_adapter_metadata": settings})


def test_what_does_not_fit_is_refused(model: BaseModel) -> None:
    tensors = with_alpha(make_prior(model).adapter, kohya)
    up = next(name for name in tensors if name.endswith("lora_up.weight"))
    layer = up.removesuffix(".lora_up.weight")
    weight, half = tensors[up], {name: tensor for name, tensor in tensors.items() if name != up}
    text_encoder = "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight"
    for changed, message in (
        (half, "only a part of the layer"),
        (tensors | {up: weight[:-1]}, "trained on another base model"),
        (tensors | {up: weight[:, :-1]}, "trained on another base model"),
        (tensors | {up: weight * torch.nan}, "NaN or infinite"),
        (tensors | {f"{layer}.alpha": torch.tensor(torch.inf)}, "NaN or infinite"),
        (tensors | {f"{layer}.alpha": torch.ones(2)}, "no single number"),
        (tensors | {up: weight.double()}, "float64"),
        (tensors | {up: weight[..., None]}, "3 dimensions"),
        (tensors | {text_encoder: weight}, f"1 tensors .* such as {text_encoder}.* --network_train_unet_only"),
        (tensors | {f"{layer}.dora_scale": weight}, "such as .*dora_scale"),
        (tensors | {f"{layer}.hada_w1_a": weight}, "such as .*hada_w1_a"),
        ({}, "no tensors"),
    ):
        with pytest.raises(InvalidPrior, match=message):
            convert_lora(model, changed)
    many = {f"conv_{number}.lora_up.weight": weight for number in range(9)}
    with pytest.raises(InvalidPrior, match="9 tensors") as refused:
        convert_lora(model, many)
    assert str(refused.value).count("conv_") == 5


def test_the_embeddings_of_a_prior_are_kept_for_the_same_token(model: BaseModel, tmp_path: Path) -> None:
    prior, file = make_prior(model), tmp_path / "adapter.safetensors"
    vectors = {name: vector.data + 1 for name, vector in token_vectors(model, "sks").items()}
    save_file(prior.adapter | vectors, file)
    imported = import_lora(model, Subject("sks", "dog"), file)
    assert imported.adapter.keys() == prior.adapter.keys() | vectors.keys()
    with lora.use_adapter(model, imported):
        adapted = prediction(model)
    with lora.use_adapter(model, Prior(prior.adapter | vectors, prior.manifest)):
        torch.testing.assert_close(prediction(model), adapted)
    for name in vectors:
        for changed, message in ((vectors[name][:, :-1], "do not fit"), (vectors[name] * torch.nan, "NaN")):
            save_file(prior.adapter | vectors | {name: changed.contiguous()}, file)
            with pytest.raises(InvalidPrior, match=message):
                import_lora(model, Subject("sks", "dog"), file)


def test_a_broken_file_is_refused(model: BaseModel, tmp_path: Path) -> None:
    (tmp_path / "lora.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(InvalidPrior, match="cannot be read as safetensors"):
        import_lora(model, Subject("sks", "dog"), tmp_path / "lora.safetensors")
