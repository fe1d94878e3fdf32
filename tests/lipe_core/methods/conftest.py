"""A base model with three levels of attention, eight latent channels and v-prediction; an image; a prior."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image

from lipe_core import sdxl
from lipe_core.adapters import lora
from lipe_core.adapters.prior import Manifest, Prior
from lipe_core.methods.mystyle import face_generator
from lipe_core.methods.request import EditRequest
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Subject
from tests.support.editing import SOURCE, TARGET, MakeRequest
from tests.support.tiny_checkpoint import write_checkpoint
from tests.support.toy_faces import write_toy_faces


@pytest.fixture(scope="session")
def deep_model(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """Latents 16 x 16, attention there and at 8 x 8 and 4 x 4; beside it a face generator for the noun "dog"."""
    folder = tmp_path_factory.mktemp("deep_checkpoint")
    write_checkpoint(folder, latent_channels=8, prediction_type="v_prediction")
    _add_a_level(folder / "unet")
    write_toy_faces(folder / face_generator.FOLDER)
    return sdxl.load(folder)


def _add_a_level(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text()) | {
        "sample_size": 16,
        "block_out_channels": (8, 16, 16),
        "down_block_types": ("CrossAttnDownBlock2D",) * 3,
        "up_block_types": ("CrossAttnUpBlock2D",) * 3,
    }
    torch.manual_seed(0)
    UNet2DConditionModel.from_config(config).save_pretrained(folder)


@pytest.fixture(scope="session")
def photo() -> Image.Image:
    """32 x 32, blurred noise."""
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((32, 32), Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def ask(photo: Image.Image) -> MakeRequest:
    """ask(*target prompts, seeds=, mask=, source=, image=, references=)."""

    turned = tuple(photo.rotate(degrees) for degrees in (90, 180, 270))

    def request(
        *targets: str,
        seeds: tuple[int, ...] = (0,),
        mask: Image.Image | None = None,
        source: str = SOURCE,
        image: Image.Image = photo,
        references: tuple[Image.Image, ...] = turned,
    ) -> EditRequest:
        return EditRequest(image, source, targets or (TARGET,), Subject("sks", "dog"), seeds, mask, references)

    return request


@pytest.fixture(scope="session")
def left_half() -> Image.Image:
    """A mask: the left half may change."""
    mask = Image.new("L", (32, 32), 0)
    mask.paste(255, (0, 0, 16, 32))
    return mask


@pytest.fixture(scope="session")
def prior(deep_model: BaseModel) -> Prior:
    """An adapter of random weights."""
    with lora.new_adapter(deep_model, rank=2, alpha=2.0, seed=0) as name:
        tensors = lora.export_adapter(deep_model, name)
    draw = torch.Generator().manual_seed(0)
    tensors = {
        key: torch.randn(tensor.shape, generator=draw) if "lora_B" in key else tensor for key, tensor in tensors.items()
    }
    return Prior(tensors, Manifest("sks", "dog", "tiny", None, deep_model.fingerprint, (), (), {}, ()))
