"""Which folders are accepted as a base model: each layout works, or is refused with its sentence."""

import shutil
from pathlib import Path

import pytest
import torch

from lipe_core import sdxl
from lipe_core.errors import InvalidModel
from tests.support.layouts import (
    UNET,
    Change,
    all_of,
    edited,
    overwritten,
    removed,
    renamed,
    scheduler,
    sharded,
    single_file,
    tensors,
    truncated,
)  # fmt: skip

HALF_UNET = renamed(UNET, "diffusion_pytorch_model.fp16.safetensors")
HALF_TEXT = all_of(
    renamed("text_encoder/model.safetensors", "model.fp16.safetensors"),
    renamed("text_encoder_2/model.safetensors", "model.fp16.safetensors"),
)
HALF_VAE = renamed("vae/diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")
VAE_ATTENTION = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}


def with_old_attention_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for new, old in VAE_ATTENTION.items():
        weights = {name.replace(new, old): tensor for name, tensor in weights.items()}
    return weights


def with_old_text_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    positions = {"text_model.embeddings.position_ids": torch.arange(24)[None]}
    return {f"text_model.{name}": tensor for name, tensor in weights.items()} | positions


def merged(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor + 0.01 if "attn2.to_k" in name else tensor for name, tensor in weights.items()}


def saved_sharded_variant(folder: Path) -> None:
    """As both libraries save their shards of a variant."""
    networks = sdxl.load(folder)
    for component, network in (("unet", networks.unet), ("text_encoder_2", networks.text_encoders[1])):
        removed(f"{component}/*.safetensors")(folder)
        network.save_pretrained(folder / component, variant="fp16", max_shard_size="20KB")


WORKS: dict[str, Change] = {
    "plain": all_of(),
    "sharded_fp16": all_of(sharded(UNET, torch.float16), sharded("text_encoder_2/model.safetensors", torch.float16)),
    "fp16_variant": all_of(HALF_UNET, HALF_TEXT, HALF_VAE),
    "sharded_fp16_variant": saved_sharded_variant,
    "fp16_text_beside_a_full_unet": HALF_TEXT,
    "merged_lora": tensors(UNET, merged),
    "old_vae_names": tensors("vae/diffusion_pytorch_model.safetensors", with_old_attention_names),
    "old_text_names": tensors("text_encoder/model.safetensors", with_old_text_names),
    "ancestral_sampler": scheduler("EulerAncestralDiscreteScheduler"),
    "zero_snr_velocity": scheduler(
        "EulerDiscreteScheduler",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    ),
}

REFUSED: dict[str, tuple[Change, str]] = {
    "stable_diffusion_1": (
        edited("model_index.json", _class_name="StableDiffusionPipeline"),
        "is Stable Diffusion 1 or 2, not SDXL: use SDXL base",
    ),
    "flux": (edited("model_index.json", _class_name="FluxPipeline"), "is Flux, not SDXL: use SDXL base"),
    "refiner": (
        edited("model_index.json", text_encoder=[None, None], tokenizer=[None, None], requires_aesthetics_score=True),
        "is SDXL's refiner.*: use SDXL base",
    ),
    "inpainting": (edited("unet/config.json", in_channels=9), "inpainting model .*9 input channels, not 4.*: use SDXL"),
    "no_size_conditioning": (edited("unet/config.json", addition_embed_type=None), "without SDXL's size conditioning"),
    "other_text_width": (edited("unet/config.json", cross_attention_dim=16), "of width 40 together, but a unet for 16"),
    "no_second_tokenizer": (removed("tokenizer_2/*"), "no vocabulary in tokenizer_2: copy or download"),
    "no_model_index": (removed("model_index.json"), "no model_index.json: name the folder"),
    "pickled": (
        renamed(UNET, "diffusion_pytorch_model.bin"),
        "only pickled weights in unet.*: convert it once with .*save_pretrained",
    ),
    "no_weights": (removed("vae/*.safetensors"), "no safetensors files in vae: copy or download"),
    "missing_shard": (
        all_of(sharded(UNET, torch.float32), removed("unet/*-00002-of-*")),
        "names diffusion_pytorch_model-00002-of-00002.safetensors, which is missing: copy or download it",
    ),
    "truncated": (truncated(UNET), r"damaged \(its end is missing\): copy or download it again"),
    "lacks_a_tensor": (
        tensors(UNET, lambda weights: {name: t for name, t in weights.items() if name != "conv_out.weight"}),
        "lacks the tensor conv_out.weight in unet: use weights and config.json of the same model",
    ),
    "wrong_shape": (
        tensors(UNET, lambda weights: weights | {"conv_out.bias": torch.zeros(9)}),
        r"conv_out.bias of unet in the shape \(9,\), not \(4,\): use weights and config.json",
    ),
    "turbo": (
        scheduler("EulerAncestralDiscreteScheduler", timestep_spacing="trailing"),
        "few-step model such as Turbo or Lightning, by its trailing timesteps: use SDXL base",
    ),
    "lightning": (
        edited("unet/config.json", _name_or_path="ByteDance/SDXL-Lightning"),
        "few-step model, by the word Lightning in its name: use SDXL base",
    ),
    "lcm": (scheduler("LCMScheduler"), r"few-step model \(LCM\), by its scheduler LCMScheduler: use SDXL base"),
    "lcm_unet": (edited("unet/config.json", time_cond_proj_dim=256), r"few-step model \(LCM\): .*guidance scale"),
    "edm": (scheduler("EDMDPMSolverMultistepScheduler"), "EDM's noise levels, by its scheduler .*: use SDXL base"),
    "flow": (scheduler("FlowMatchEulerDiscreteScheduler"), "is a flow-matching model.*: use SDXL base"),
    "sample": (
        scheduler("EulerDiscreteScheduler", prediction_type="sample"),
        "has prediction_type sample, and LIPE knows epsilon and v_prediction: use SDXL base",
    ),
    "single_file": (single_file, r"single-file weights.*: convert it once.*from_single_file\(FILE\)"),
    "no_json": (overwritten("vae/config.json", "{"), "vae/config.json cannot be read"),
}


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint that a test may change."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))


@pytest.mark.parametrize("layout", WORKS)
def test_a_layout_works(layout: str, folder: Path, model: sdxl.BaseModel) -> None:
    WORKS[layout](folder)
    loaded = sdxl.load(folder)
    for name, network in (("unet", loaded.unet), ("vae", loaded.vae), ("text", loaded.text_encoders[0])):
        assert all(tensor.isfinite().all() for tensor in network.state_dict().values()), name
    same_text = zip(loaded.text_encoders[0].parameters(), model.text_encoders[0].parameters(), strict=True)
    assert all(torch.equal(here, there) for here, there in same_text)
    same_vae = zip(loaded.vae.parameters(), model.vae.parameters(), strict=True)
    assert all(torch.equal(here, there) for here, there in same_vae)
    changed = {name for name, t in loaded.unet.state_dict().items() if not torch.allclose(t, other(model, name), 1e-2)}
    assert all("attn2.to_k" in name for name in changed), changed
    assert bool(changed) == (layout == "merged_lora")


def other(model: sdxl.BaseModel, name: str) -> torch.Tensor:
    tensor: torch.Tensor = model.unet.state_dict()[name]
    return tensor


@pytest.mark.parametrize("layout", REFUSED)
def test_a_layout_is_refused_in_one_sentence(layout: str, folder: Path) -> None:
    change, sentence = REFUSED[layout]
    change(folder)
    with pytest.raises(InvalidModel, match=sentence) as refusal:
        sdxl.load(folder)
    assert "\n" not in str(refusal.value)


def test_a_missing_folder_and_a_file_are_refused(folder: Path) -> None:
    with pytest.raises(InvalidModel, match="nowhere does not exist: set LIPE_BASE_MODEL"):
        sdxl.load(folder / "nowhere")
    with pytest.raises(InvalidModel, match=r"is a single file.*: convert it once"):
        sdxl.load(folder / UNET)


def test_a_folder_with_the_name_of_a_few_step_model_is_refused_but_not_for_its_parents(folder: Path) -> None:
    named = folder.rename(folder.with_name("sdxl_lightning_4step"))
    with pytest.raises(InvalidModel, match="by the word lightning in its name"):
        sdxl.check_folder(named, str(named))
    sdxl.check_folder(named.rename(named.with_name("enlightning")), "enlightning")
    parent = folder.with_name("turbo")
    parent.mkdir()
    inside = parent / "sdxl"
    folder.with_name("enlightning").rename(inside)
    sdxl.check_folder(inside, str(inside))
