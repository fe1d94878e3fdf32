"""Folders that are no klein base are refused in one sentence that says what to fetch instead."""

import shutil
from pathlib import Path

import pytest
import torch

from lipe_core import base_models
from lipe_core.checkpoint.layout import check_base_model
from lipe_core.errors import InvalidModel
from lipe_core.flux2 import BaseModel
from tests.support.layouts import Change, all_of, edited, removed, renamed, tensors
from tests.support.tiny_klein import write_klein

TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"
FETCH = "black-forest-labs/FLUX.2-klein-base-4B"


def float8(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.to(torch.float8_e4m3fn) for name, tensor in weights.items()}


REFUSED: dict[str, tuple[Change, str]] = {
    "distilled": (edited("model_index.json", is_distilled=True), f"is a distilled klein of few steps.*: use {FETCH}"),
    "flux_1": (edited("model_index.json", _class_name="FluxPipeline"), rf"is FLUX.1, not FLUX.2 .*: use {FETCH}"),
    "dev": (edited("model_index.json", _class_name="Flux2Pipeline"), rf"is FLUX.2 \[dev\], not .*: use {FETCH}"),
    "guidance": (edited("transformer/config.json", guidance_embeds=True), f"guidance scale as an input.*: use {FETCH}"),
    "no_text_encoder": (removed("text_encoder/*"), f"lacks its text encoder .*: download the whole folder of {FETCH}"),
    "no_index": (removed("model_index.json"), f"transformer without its text encoder.*: download .*{FETCH}"),
    "fp8": (
        tensors(TRANSFORMER, float8),
        rf"quantized weights \(F8_E4M3\) in transformer.*: use .*{FETCH}",
    ),
    "gguf": (
        renamed(TRANSFORMER, "flux-2-klein-base-4b-Q4_K_M.gguf"),
        f"has a GGUF file in transformer, whose quantized weights cannot be trained: download .*{FETCH}",
    ),
    "no_template": (
        all_of(removed("tokenizer/chat_template.jinja"), edited("tokenizer/tokenizer_config.json")),
        "has no chat template in tokenizer",
    ),
    "no_vocabulary": (all_of(removed("tokenizer/tokenizer.json"), removed("tokenizer/vocab.json")), "no vocabulary in"),
    "other_text_encoder": (
        edited("text_encoder/config.json", hidden_size=32),
        "text encoder of width 32, but a transformer for another one: use .*same model",
    ),
    "short_text_encoder": (
        edited("text_encoder/config.json", num_hidden_layers=12),
        "12 layers, and klein reads",
    ),
    "other_vae": (edited("vae/config.json", latent_channels=8), "transformer for 16 channels, and a vae of 8"),
    "other_scheduler": (
        edited("scheduler/scheduler_config.json", _class_name="DDIMScheduler"),
        "the scheduler DDIM",
    ),
    "fixed_shift": (edited("scheduler/scheduler_config.json", use_dynamic_shifting=False), "with another grid"),
    "lacks_a_tensor": (
        tensors(TRANSFORMER, lambda weights: {name: t for name, t in weights.items() if name != "proj_out.weight"}),
        "lacks the tensor proj_out.weight in transformer",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_layout_is_refused_in_one_sentence(klein_folder: Path, tmp_path: Path, case: str) -> None:
    change, message = REFUSED[case]
    folder = tmp_path / "klein"
    shutil.copytree(klein_folder, folder)
    change(folder)
    with pytest.raises(InvalidModel, match=message) as refused:
        base_models.check_folder(folder, str(folder))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["flux-2-klein-base-4b-Q8_0.gguf", "flux-2-klein-base-4b-fp8.safetensors"])
def test_a_single_file_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"GGUF")
    with pytest.raises(InvalidModel, match=FETCH):
        check_base_model(str(file))


def test_the_hub_id_of_a_distilled_klein_is_refused_before_the_download() -> None:
    with pytest.raises(InvalidModel, match="distilled klein"):
        check_base_model("black-forest-labs/FLUX.2-klein-4B")
    check_base_model(FETCH)


def test_a_distilled_klein_loads_by_force_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    check_base_model("black-forest-labs/FLUX.2-klein-4B", allow_distilled=True)
    write_klein(tmp_path, is_distilled=True)
    for refuse in (check_base_model, base_models.load):
        with pytest.raises(InvalidModel, match=r"use .*klein-base-4B, the undistilled one, or --force \(LIPE_ALLOW_"):
            refuse(str(tmp_path))
    with pytest.raises(InvalidModel, match="distilled klein"):
        base_models.check_folder(tmp_path, "klein")
    assert caplog.messages == []
    base_models.check_folder(tmp_path, "klein", allow_distilled=True)
    assert base_models.load(tmp_path, allow_distilled=True).family == "flux2"
    (warning,) = caplog.messages
    assert "a distilled klein of few steps, which neither trains nor inverts well: expect poor priors" in warning


def test_force_allows_no_other_fault(klein_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    base_models.load(klein_folder, allow_distilled=True)
    assert caplog.messages == []
    folder = tmp_path / "klein"
    shutil.copytree(klein_folder, folder)
    edited("model_index.json", _class_name="Flux2Pipeline", is_distilled=True)(folder)
    with pytest.raises(InvalidModel, match=r"is FLUX.2 \[dev\]"):
        check_base_model(str(folder), allow_distilled=True)


def test_a_folder_loads_with_the_backbone_of_its_family(klein_folder: Path) -> None:
    check_base_model(str(klein_folder))
    base_models.check_folder(klein_folder, "klein")
    model = base_models.load(klein_folder, dtype=torch.bfloat16)
    assert isinstance(model, BaseModel)
    assert (model.family, model.prediction_type) == ("flux2", "flow")
    x_t = torch.zeros(1, *model.latent_shape((64, 64)))
    assert (
        model.predict(x_t, torch.tensor([40000]), model.encode_prompt(["a dog"], size=(64, 64))).dtype == torch.float32
    )
