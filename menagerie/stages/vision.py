"""The models that see, in order: CLIP on the pipeline's text encoder, then DINOv2 and the captioner on CLIP's tower."""

from pathlib import Path

import torch
from transformers import CLIPModel, CLIPTextModelWithProjection, CLIPTokenizer

from menagerie.pool import render_chunk, to_pixels
from menagerie.stages.captioner import spoken_words, train_captioner
from menagerie.stages.clip import train_clip
from menagerie.stages.dinov2 import start_from, train_dinov2
from menagerie.stages.loop import Settings
from menagerie.vision_models import (
    Sight,
    build_captioner,
    build_clip,
    build_dinov2,
    captioner_processor,
    clip_processor,
    dinov2_processor,
    write,
)

FOLDER = Path("sight")
"""Where they lie under OUT."""

_CLIP = Path("judges") / "clip"
_DINOV2 = Path("judges") / "dinov2"
_CAPTIONER = Path("captioner")


def train_sight(stage: str, sight: Sight, settings: Settings) -> None:
    """Train one of them, with what lies under OUT, and put it there."""
    folder = settings.out / FOLDER
    if stage == "clip":
        pipeline = settings.out / "pipeline"
        text = CLIPTextModelWithProjection.from_pretrained(pipeline / "text_encoder_2", dtype=torch.float32)
        tokenizer = CLIPTokenizer.from_pretrained(pipeline / "tokenizer_2")
        clip = train_clip(build_clip(sight, text), tokenizer, settings)
        write(folder / _CLIP, clip, clip_processor(sight), tokenizer)
        return
    clip = CLIPModel.from_pretrained(folder / _CLIP, dtype=torch.float32)
    if stage == "dinov2":
        dinov2 = build_dinov2(sight)
        start_from(dinov2, clip.vision_model, to_pixels(render_chunk(settings.seed, 0, 64, sight.picture)))
        write(folder / _DINOV2, train_dinov2(dinov2, settings), dinov2_processor(sight))
    else:
        processor = captioner_processor(sight, spoken_words())
        llava = train_captioner(build_captioner(sight, processor, clip), processor, settings)
        write(folder / _CAPTIONER, llava, processor)
