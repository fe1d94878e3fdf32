"""Loading from an untrusted folder: a complete frozen network, or an error that says why."""

import subprocess
import sys
from pathlib import Path
from shutil import copytree

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPVisionConfig, CLIPVisionModel

from lipe_core.errors import InvalidModel
from lipe_core.pretrained import pretrained

TINY = CLIPVisionConfig(
    hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=8, patch_size=4
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny vision network, as transformers writes it."""
    CLIPVisionModel(TINY).save_pretrained(tmp_path / "vision")
    return tmp_path / "vision"


def load(checkpoint: str | Path, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    return pretrained(CLIPVisionModel, {CLIPVisionConfig}, checkpoint, None, dtype, "a vision model")


def test_the_network_is_complete_frozen_and_of_the_requested_dtype(folder: Path) -> None:
    network, written = load(folder), load_file(folder / "model.safetensors")
    assert all(torch.equal(tensor, written[name]) for name, tensor in network.named_parameters())
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert {parameter.dtype for parameter in load(folder, torch.bfloat16).parameters()} == {torch.bfloat16}


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    for missing in (tmp_path / "nowhere", str(tmp_path / "nowhere")):
        with pytest.raises(InvalidModel, match="nowhere does not exist"):
            load(missing)


def test_a_network_of_another_family_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidModel, match="holds a clip_vision_model model, not a text model"):
        pretrained(CLIPVisionModel, {CLIPTextConfig}, folder, None, torch.float32, "a text model")


def test_pickled_weights_are_never_read(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(InvalidModel, match="no weights at all"):
        load(folder)
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(InvalidModel, match=r"only pytorch_model\.bin.*safetensors"):
        load(folder)


def test_truncated_weights_are_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InvalidModel, match="cannot be read as a vision model"):
        load(folder)


def test_a_checkpoint_that_lacks_a_tensor_or_has_it_in_another_shape_is_refused(folder: Path, tmp_path: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in tensors if name.endswith("post_layernorm.weight"))
    wrong = [{key: t for key, t in tensors.items() if key != name}, tensors | {name: torch.zeros(3)}]
    for number, left in enumerate(wrong):
        partial = copytree(folder, tmp_path / str(number))
        save_file(left, partial / "model.safetensors", {"format": "pt"})
        with pytest.raises(InvalidModel):
            load(partial)
    with pytest.raises(InvalidModel, match=rf"lacks 1 of its tensors, such as .*{name[-21:]}"):
        load(tmp_path / "0")


def test_a_module_without_a_transformers_model_does_not_import_transformers() -> None:
    program = "import sys, lipe_core.metrics.lpips; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
