"""The committed miniature, loaded by plain diffusers with no code of ours, paints what a caption says."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from menagerie.attributes import sample_drawing
from menagerie.captions import full_caption
from menagerie.models import CHECKPOINT
from menagerie.probe import load_probe

LARGEST_BYTES = 40_000_000


def test_all_weights_together_are_small() -> None:
    files = [file for file in CHECKPOINT.parent.rglob("*.safetensors") if file.is_file()]
    assert len(files) >= 7  # four of the checkpoint, the probe, two judges
    assert sum(file.stat().st_size for file in files) <= LARGEST_BYTES


@pytest.mark.filterwarnings("ignore")
def test_plain_diffusers_paints_recognisable_subjects() -> None:
    rng = np.random.default_rng(2026)
    drawings = [sample_drawing(rng) for _ in range(12)]
    pipeline = StableDiffusionXLPipeline.from_pretrained(CHECKPOINT)
    pipeline.set_progress_bar_config(disable=True)
    pictures = pipeline(
        [full_caption(drawing) for drawing in drawings],
        num_inference_steps=20,
        guidance_scale=4.0,
        generator=[torch.Generator().manual_seed(k) for k in range(12)],
    ).images
    seen = load_probe().judge(pictures)
    for name in ("class_noun", "color", "background", "pose"):
        assert sum(seen[name][k] == drawing.labels()[name] for k, drawing in enumerate(drawings)) >= 9, name
