"""The stages of the vision models: CLIP uses the pipeline's text encoder; DINOv2 and the captioner use CLIP's tower."""

from pathlib import Path

import torch
from transformers import CLIPModel, CLIPTextModelWithProjection, CLIPTokenizer

from menagerie.pool import render_chunk, to_pixels
from menagerie.stages.captioner import tokenizer_words, train_captioner
from menagerie.stages.clip import train_clip
from menagerie.stages.dinov2 import start_from, train_dinov2
from menagerie.stages.loop import Settings
from menagerie.vision_models import (
    VisionSizes,
    build_captioner,
    build_clip,
    build_dinov2,
    captioner_processor,
    clip_processor,
    dinov2_processor,
    save_model,
)

FOLDER = Path("vision")
"""The folder of the vision models in OUT."""

_CLIP = Path("judges") / "clip"
_DINOV2 = Path("judges") / "dinov2"
_CAPTIONER = Path("captioner")


def train_vision_model(stage: str, sizes: VisionSizes, settings: Settings) -> None:
    """Train the model of one stage from the parts in OUT, and save it there."""
    folder = settings.out / FOLDER
    if stage == "clip":
        pipeline = settings.out / "pipeline"
        text = CLIPTextModelWithProjection.from_pretrained(pipeline / "text_encoder_2", dtype=torch.float32)
        tokenizer = CLIPTokenizer.from_pretrained(pipeline / "tokenizer_2")
        clip = train_clip(build_clip(sizes, text), tokenizer, settings)
        save_model(folder / _CLIP, clip, clip_processor(sizes), tokenizer)
        return
    clip = CLIPModel.from_pretrained(folder / _CLIP, dtype=torch.float32)
    if stage == "dinov2":
        dinov2 = build_dinov2(sizes)
        start_from(dinov2, clip.vision_model, to_pixels(render_chunk(settings.seed, 0, 64, sizes.image_size)))
        save_model(folder / _DINOV2, train_dinov2(dinov2, settings), dinov2_processor(sizes))
    else:
        processor = captioner_processor(sizes, tokenizer_words())
        llava = train_captioner(build_captioner(sizes, processor, clip), processor, settings)
        save_model(folder / _CAPTIONER, llava, processor)
