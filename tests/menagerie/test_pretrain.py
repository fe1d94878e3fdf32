"""A few steps of all stages at tiny sizes: stages resume, and plain diffusers and transformers load the results."""

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from safetensors.torch import load_file

from lipe_core.captioning import vlm
from lipe_core.metrics.features import load_clip, load_dinov2
from lipe_core.subject import Subject
from menagerie.draw import render
from menagerie.models import Sizes
from menagerie.pool import drawing_of
from menagerie.pretrain import parse, run_stage
from menagerie.stages.loop import Settings
from menagerie.vision_models import VisionSizes

SIZES = Sizes(
    image_size=64, latent_channels=4, vae_widths=(8, 8, 8, 8), text_widths=(32, 32), text_layers=1, text_length=40,
    unet_widths=(16, 16), head_width=16, time_width=8, vision=VisionSizes(32, 8, 32, 32, 3, 2, 1),
)  # fmt: skip
VISION_STAGES = ("clip", "dinov2", "captioner")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def settings(folder: Path, steps: int, *, resume: bool = False) -> Settings:
    return Settings(out=folder, minutes=60.0, steps=steps, batch=4, warmup=2, workers=1, resume=resume, images=64)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_all_stages_make_a_checkpoint_and_resume(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    options = parse(["--checkpoint", str(checkpoint), "--pool", "16"])
    for stage in ("vae", "text", "unet", "clip", "dinov2", "captioner", "export"):
        run_stage(stage, settings(tmp_path, 6), options, SIZES)
    for stage in ("unet", *VISION_STAGES):
        before = torch.load(tmp_path / "states" / f"{stage}.pt", weights_only=True)["progress"]
        run_stage(stage, settings(tmp_path, 12, resume=True), options, SIZES)
        after = torch.load(tmp_path / "states" / f"{stage}.pt", weights_only=True)["progress"]
        assert (before["step"], after["step"]) == (6, 12)
        assert after["losses"][: len(before["losses"])] == before["losses"]

    pipeline = StableDiffusionXLPipeline.from_pretrained(checkpoint)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline("a photo of an orange cat", num_inference_steps=2).images[0].size == (64, 64)
    drawing = Image.fromarray(render(drawing_of(0, 0)))
    clip = load_clip(tmp_path / "judges" / "clip")
    assert clip.images([drawing]).shape == clip.texts(["a photo of an orange cat"]).shape
    assert load_dinov2(tmp_path / "judges" / "dinov2")([drawing]).shape == (1, SIZES.vision.width)
    captioner = vlm.captioner(vlm.load(tmp_path / "captioner"))
    assert "sks cat" in captioner([drawing], Subject("sks", "cat"))[0]
    weights = [
        file for part in ("checkpoint", "judges", "captioner") for file in (tmp_path / part).rglob("*.safetensors")
    ]
    assert len(weights) == 7
    for file in weights:
        assert {tensor.dtype for tensor in load_file(file).values()} == {torch.float16}, file
    for image in ("vae.png", *(f"{stage}-loss.png" for stage in ("vae", "text", "unet", *VISION_STAGES))):
        assert (tmp_path / "images" / image).stat().st_size > 1000
