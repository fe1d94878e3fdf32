"""Train the miniature CLIP (Radford et al. 2021, https://arxiv.org/abs/2103.00020) on drawings and captions.

Four additions let it learn within minutes:

- The text tower is the checkpoint's second text encoder, which is trained already. Only its projection is trained here
  (https://arxiv.org/abs/2111.07991).
- Each batch has groups of four drawings that differ in their action only, so that the loss depends on action words.
- A linear reader, used in training only, predicts all attributes from the image embedding and from the patches that
  LLaVA will read.
- A linear map of these patches predicts the probe's features at the same positions (FitNets,
  https://arxiv.org/abs/1412.6550). A transformer alone is slow to find edges and eyes.
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
from menagerie.augment import render_augmented
from menagerie.captions import caption
from menagerie.muon import optimizers
from menagerie.probe import load_probe
from menagerie.stages.loop import (
    Average,
    Progress,
    Settings,
    Trainable,
    budgeted_steps,
    channels_last,
    draw_curve,
    learning_rate,
    set_learning_rate,
    stream,
)
from menagerie.stages.text import AttributeReader
from menagerie.stages.unet import unfused_attention
from menagerie.subjects import action_variants

_CROP_SHARE = 0.3
_DISTILLATION = 3.0  # weight of that loss
_MAX_LOGIT_SCALE = float(np.log(100.0))  # as in CLIP
_PATCH_LAYER = -2  # as in LLaVA


class Batch(NamedTuple):
    """Pixels (n, 3, size, size), caption tokens (n, m), and labels (n, a) of the attributes, -1 for none."""

    pixels: Tensor
    ids: Tensor
    attention_mask: Tensor
    labels: Tensor


def draw_batch(tokenizer: CLIPTokenizer, size: int, count: int, rng: np.random.Generator) -> Batch:
    """A batch of `count` fresh drawings, in groups that differ in their action only."""
    drawings = action_variants(rng, count)
    captions = [caption(drawing, rng, keep=1.0 if rng.random() < 0.5 else 0.8) for drawing in drawings]
    tokens = tokenizer(captions, padding=True, truncation=True, return_tensors="pt")
    labels = torch.tensor([list(drawing.labels().values()) for drawing in drawings])
    return Batch(render_augmented(rng, drawings, size, _CROP_SHARE), tokens.input_ids, tokens.attention_mask, labels)


def train_clip(clip: CLIPModel, tokenizer: CLIPTokenizer, settings: Settings) -> CLIPModel:
    """Train the vision tower and both projections. Returns the averaged weights."""
    clip.text_model.requires_grad_(False)
    vision = clip.config.vision_config
    reader = AttributeReader(vision.hidden_size, clip.config.projection_dim, [len(v) for v in ATTRIBUTES.values()])
    probe = channels_last(load_probe().net, settings.device)
    distill = nn.Linear(vision.hidden_size, probe.feature_channels)
    model = nn.ModuleDict({"clip": clip, "reader": reader, "distill": distill}).to(settings.device).train()
    run = Trainable(model, Average(model, limit=0.998), optimizers(model, settings.lr, weight_decay=0.02), Progress())
    if settings.resume and settings.state_file("clip").exists():
        run.load(settings.state_file("clip"))
    seed = (settings.seed, 5, run.progress.step)
    batches = stream(partial(draw_batch, tokenizer, vision.image_size, settings.batch), seed, settings)

    def save() -> None:
        run.save(settings.state_file("clip"))
        draw_curve(
            run.progress,
            settings.out / "images" / "clip-loss.png",
            "CLIP: contrastive, attribute and distillation loss",
        )

    for fraction in budgeted_steps(run.progress, settings, "clip", save):
        set_learning_rate(run.optimizers, learning_rate(fraction, run.progress.step, settings.lr, settings.warmup))
        batch = next(batches)
        pixels, ids, attention_mask = (rows.to(settings.device, non_blocking=True) for rows in batch[:3])
        with precision.autocast(settings.device), unfused_attention(settings.device):
            with torch.no_grad():
                pooled = clip.text_model(input_ids=ids, attention_mask=attention_mask).pooler_output
            encoded = clip.vision_model(pixel_values=pixels, output_hidden_states=True)
            images = clip.visual_projection(encoded.pooler_output)
            texts = clip.text_projection(pooled)
            patches = encoded.hidden_states[_PATCH_LAYER][:, 1:]
            logits, distilled = reader(patches, images), distill(patches)
            with torch.no_grad():
                features = probe.spatial_features(pixels).float()
        loss = contrast(images.float(), texts.float(), clip.logit_scale) + _attribute_loss(logits, batch.labels)
        loss = loss + _DISTILLATION * mse_loss(distilled.float(), layer_norm(features, features.shape[-1:]))
        run.step(loss, clip=1.0, samples=len(pixels))
        with torch.no_grad():
            clip.logit_scale.clamp_(max=_MAX_LOGIT_SCALE)
    trained: CLIPModel = run.average.model["clip"]
    return trained


def contrast(images: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
    """InfoNCE in both directions, between image embeddings (n, d) and text embeddings (n, d) of the same rows."""
    logits = logit_scale.exp() * normalize(images, dim=-1) @ normalize(texts, dim=-1).T
    own = torch.arange(len(logits), device=logits.device)
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def _attribute_loss(read: tuple[list[Tensor], list[Tensor]], labels: Tensor) -> Tensor:
    """Mean cross-entropy of the attributes that have a label, from the patches and from the image embedding."""
    terms = [
        cross_entropy(logits.float(), labels[:, k].to(logits.device, non_blocking=True), ignore_index=-1)
        for heads in read
        for k, logits in enumerate(heads)
        if (labels[:, k] >= 0).any()
    ]
    return torch.stack(terms).mean()
