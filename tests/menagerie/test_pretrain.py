"""All stages in seconds, at sizes that learn nothing: what is written must load in plain diffusers, and resume."""

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
    latent_channels=4, vae_widths=(8, 8, 8, 8), text_widths=(32, 32), text_layers=1, text_length=40,
    unet_widths=(16, 16), head_width=16, time_width=8, sight=VisionSizes(32, 8, 32, 32, 3, 2, 1),
)  # fmt: skip
SIGHT = ("clip", "dinov2", "captioner")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def settings(folder: Path, minutes: float, *, resume: bool = False) -> Settings:
    return Settings(out=folder, minutes=minutes, batch=4, warmup=2, workers=1, resume=resume, images=64)


@pytest.mark.filterwarnings("ignore")
def test_from_nothing_to_a_checkpoint_and_on_from_a_state(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    options = parse(["--checkpoint", str(checkpoint), "--pool", "16"])
    for stage in ("vae", "text", "unet", "clip", "dinov2", "captioner", "export"):
        run_stage(stage, settings(tmp_path, 0.02), options, SIZES)
    before = torch.load(tmp_path / "states" / "unet.pt", weights_only=True)["progress"]
    assert before["step"] > 0
    run_stage("unet", settings(tmp_path, 0.04, resume=True), options, SIZES)
    after = torch.load(tmp_path / "states" / "unet.pt", weights_only=True)["progress"]
    assert after["step"] > before["step"]
    assert after["losses"][: len(before["losses"])] == before["losses"]
    for stage in SIGHT:
        before = torch.load(tmp_path / "states" / f"{stage}.pt", weights_only=True)["progress"]
        run_stage(stage, settings(tmp_path, 0.04, resume=True), options, SIZES)
        after = torch.load(tmp_path / "states" / f"{stage}.pt", weights_only=True)["progress"]
        assert after["losses"][: len(before["losses"])] == before["losses"]
        assert after["step"] > before["step"] > 0

    pipeline = StableDiffusionXLPipeline.from_pretrained(checkpoint)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline("a photo of an orange cat", num_inference_steps=2).images[0].size == (128, 128)
    drawing = Image.fromarray(render(drawing_of(0, 0)))
    clip = load_clip(tmp_path / "judges" / "clip")
    assert clip.images([drawing]).shape == clip.texts(["a photo of an orange cat"]).shape
    assert load_dinov2(tmp_path / "judges" / "dinov2")([drawing]).shape == (1, SIZES.sight.width)
    captioner = vlm.captioner(vlm.load(tmp_path / "captioner"))
    assert "sks cat" in captioner([drawing], Subject("sks", "cat"))[0]
    for place in ("judges/clip", "judges/dinov2", "captioner"):
        weights = load_file(tmp_path / place / "model.safetensors")
        assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    for image in ("vae.png", *(f"{stage}-loss.png" for stage in ("vae", "text", "unet", *SIGHT))):
        assert (tmp_path / "images" / image).stat().st_size > 1000
