"""All stages in seconds, at sizes that learn nothing: what is written must load in plain diffusers, and resume."""

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from menagerie.models import Sizes
from menagerie.pretrain import parse, run_stage
from menagerie.stages.loop import Settings

SIZES = Sizes(
    latent_channels=4, vae_widths=(8, 8, 8, 8), text_widths=(32, 32), text_layers=1, text_length=40,
    unet_widths=(16, 16), head_width=16, time_width=8,
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def settings(folder: Path, minutes: float, *, resume: bool = False) -> Settings:
    return Settings(out=folder, minutes=minutes, batch=4, warmup=2, workers=1, resume=resume, pictures=64)


@pytest.mark.filterwarnings("ignore")
def test_from_nothing_to_a_checkpoint_and_on_from_a_state(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    options = parse(["--checkpoint", str(checkpoint), "--pool", "16"])
    for stage in ("vae", "text", "unet", "export"):
        run_stage(stage, settings(tmp_path, 0.02), options, SIZES)
    before = torch.load(tmp_path / "states" / "unet.pt", weights_only=True)["progress"]
    assert before["step"] > 0
    run_stage("unet", settings(tmp_path, 0.04, resume=True), options, SIZES)
    after = torch.load(tmp_path / "states" / "unet.pt", weights_only=True)["progress"]
    assert after["step"] > before["step"]
    assert after["losses"][: len(before["losses"])] == before["losses"]

    pipeline = StableDiffusionXLPipeline.from_pretrained(checkpoint)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline("a photo of an orange cat", num_inference_steps=2).images[0].size == (128, 128)
    for picture in ("vae-loss.png", "vae.png", "text-loss.png", "unet-loss.png"):
        assert (tmp_path / "pictures" / picture).stat().st_size > 1000
