"""The miniature CLIP (Radford et al. 2021, https://arxiv.org/abs/2103.00020): its loss, on drawings and captions.

Four helps make it learn within minutes. The text tower is the checkpoint's second text encoder, which knows the
attributes, and stays as it is but for its projection (one tower locked, as in https://arxiv.org/abs/2111.07991). Four
drawings of each batch at a time differ in their action only, so that words for actions count. A reader, thrown away
afterwards, must tell every attribute from the picture's vector and from the patches that LLaVA will read. And these
patches must give, by one linear map, what the probe's convolutions see in their places (as FitNets do,
https://arxiv.org/abs/1412.6550), since a transformer alone finds edges and eyes late.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, layer_norm, mse_loss, normalize
from transformers import CLIPModel, CLIPTokenizer

from lipe_core import precision
from menagerie.attributes import ATTRIBUTES
from menagerie.augment import alike_but_for_the_action, views
from menagerie.captions import caption
from menagerie.muon import optimizers
from menagerie.probe import load_probe
from menagerie.stages.loop import (
    Average,
    Progress,
    Settings,
    Trainable,
    draw_curve,
    learning_rate,
    set_learning_rate,
    steps,
    stream,
)
from menagerie.stages.text import AttributeReader
from menagerie.stages.unet import plain_attention

_CUT = 0.3
_GUESSED = 3.0
_SHARPEST = float(np.log(100.0))  # CLIP's own bound of the logit scale
_READ_LAYER = -2  # LLaVA's


class Batch(NamedTuple):
    """Pictures (n, 3, size, size), a caption of each in tokens (n, m), and attributes' labels (n, a), -1 for none."""

    pixels: Tensor
    ids: Tensor
    attended: Tensor
    labels: Tensor


def draw_batch(tokenizer: CLIPTokenizer, size: int, count: int, rng: np.random.Generator) -> Batch:
    """``count`` fresh drawings, in fours that differ in their action only."""
    drawings = alike_but_for_the_action(rng, count)
    captions = [caption(drawing, rng, keep=1.0 if rng.random() < 0.5 else 0.8) for drawing in drawings]
    tokens = tokenizer(captions, padding=True, truncation=True, return_tensors="pt")
    labels = torch.tensor([list(drawing.labels().values()) for drawing in drawings])
    return Batch(views(rng, drawings, size, _CUT), tokens.input_ids, tokens.attention_mask, labels)


def train_clip(clip: CLIPModel, tokenizer: CLIPTokenizer, settings: Settings) -> CLIPModel:
    """Train the vision tower and both projections; returns the averaged weights."""
    clip.text_model.requires_grad_(False)
    vision = clip.config.vision_config
    reader = AttributeReader(vision.hidden_size, clip.config.projection_dim, [len(v) for v in ATTRIBUTES.values()])
    probe = load_probe().net.to(settings.device, memory_format=torch.channels_last)
    guess = nn.Linear(vision.hidden_size, probe.seen_channels)
    model = nn.ModuleDict({"clip": clip, "reader": reader, "guess": guess}).to(settings.device).train()
    run = Trainable(model, Average(model, limit=0.998), optimizers(model, settings.lr, weight_decay=0.02), Progress())
    if settings.resume and settings.state_file("clip").exists():
        run.load(settings.state_file("clip"))
    seed = (settings.seed, 5, run.progress.step)
    batches = stream(partial(draw_batch, tokenizer, vision.image_size, settings.batch), seed, settings)

    def save() -> None:
        run.save(settings.state_file("clip"))
        draw_curve(run.progress, settings.out / "pictures" / "clip-loss.png", "CLIP: contrast and attributes")

    for fraction in steps(run.progress, settings, "clip", save):
        set_learning_rate(run.optimizers, learning_rate(fraction, run.progress.step, settings.lr, settings.warmup))
        batch = next(batches)
        pixels, ids, attended = (rows.to(settings.device, non_blocking=True) for rows in batch[:3])
        with precision.autocast(settings.device), plain_attention(settings.device):
            with torch.no_grad():
                said = clip.text_model(input_ids=ids, attention_mask=attended).pooler_output
            seen = clip.vision_model(pixel_values=pixels, output_hidden_states=True)
            images = clip.visual_projection(seen.pooler_output)
            texts = clip.text_projection(said)
            patches = seen.hidden_states[_READ_LAYER][:, 1:]
            read, guessed = reader(patches, images), guess(patches)
            with torch.no_grad():
                known = probe.seen(pixels)
        loss = contrast(images.float(), texts.float(), clip.logit_scale) + _told(read, batch.labels)
        loss = loss + _GUESSED * mse_loss(guessed.float(), layer_norm(known.float(), known.shape[-1:]))
        run.step(loss, clip=1.0, samples=len(pixels))
        with torch.no_grad():
            clip.logit_scale.clamp_(max=_SHARPEST)
    return run.average.model["clip"]


def contrast(images: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
    """InfoNCE both ways: of all texts (n, d) a picture's (n, d) own must be nearest, and of all pictures a text's."""
    logits = logit_scale.exp() * normalize(images, dim=-1) @ normalize(texts, dim=-1).T
    own = torch.arange(len(logits), device=logits.device)
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def _told(read: tuple[list[Tensor], list[Tensor]], labels: Tensor) -> Tensor:
    """Cross-entropy of each attribute that any picture has, from patches and from the vector."""
    terms = [
        cross_entropy(logits.float(), labels[:, k].to(logits.device, non_blocking=True), ignore_index=-1)
        for heads in read
        for k, logits in enumerate(heads)
        if (labels[:, k] >= 0).any()
    ]
    return torch.stack(terms).mean()
