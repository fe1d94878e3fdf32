"""Plain diffusers loads the committed miniature and generates images that match their captions."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors import safe_open

from menagerie.attributes import sample_drawing
from menagerie.captions import full_caption
from menagerie.models import CHECKPOINT
from menagerie.probe import load_probe

MAX_BYTES = 64_000_000


def test_all_weights_are_small_and_in_half_precision() -> None:
    files = [file for file in CHECKPOINT.parent.rglob("*.safetensors") if file.is_file()]
    assert len(files) >= 9  # five of the checkpoint, the captioner, two judges, the probe
    assert sum(file.stat().st_size for file in files) <= MAX_BYTES
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            assert {tensors.get_slice(name).get_dtype() for name in tensors.keys()} == {"F16"}, file  # noqa: SIM118


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_plain_diffusers_generates_recognisable_subjects() -> None:
    rng = np.random.default_rng(2026)
    drawings = [sample_drawing(rng) for _ in range(12)]
    pipeline = StableDiffusionXLPipeline.from_pretrained(CHECKPOINT)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        [full_caption(drawing) for drawing in drawings],
        num_inference_steps=20,
        guidance_scale=4.0,
        generator=[torch.Generator().manual_seed(k) for k in range(12)],
    ).images
    predicted = load_probe().judge(images)
    for name in ("class_noun", "color", "background", "pose"):
        assert sum(predicted[name][k] == drawing.labels()[name] for k, drawing in enumerate(drawings)) >= 9, name
