"""Train the miniature DINOv2: DINOv2's class and folder, with a contrastive loss on identities.

Self-distillation (Oquab et al. 2023, https://arxiv.org/abs/2304.07193) needs far more images than a CPU can process in
minutes. The metric DINOv2-I needs one property of its model: images of one subject are near to each other in every
pose and scene. The drawn world has identity labels, so the loss trains this property directly: InfoNCE on the class
token between two images of each subject (van den Oord et al. 2018, https://arxiv.org/abs/1807.03748). Each batch has
groups of four related subjects of one class, which share some attributes, so that small differences count. The network
starts from the vision tower of the miniature CLIP.
"""

from functools import partial

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPVisionModel, Dinov2Model

from lipe_core import precision
from menagerie.augment import render_augmented
from menagerie.muon import optimizers
from menagerie.stages.clip import contrast
from menagerie.stages.loop import (
    Average,
    Progress,
    Settings,
    Trainable,
    budgeted_steps,
    draw_curve,
    learning_rate,
    set_learning_rate,
    stream,
)
from menagerie.stages.unet import unfused_attention
from menagerie.subjects import random_drawing, related_identities

_CROP_SHARE = 0.6
_CLIP_NAMES = {
    "norm1": "layer_norm1", "attention.q_proj": "self_attn.q_proj", "attention.k_proj": "self_attn.k_proj",
    "attention.v_proj": "self_attn.v_proj", "attention.o_proj": "self_attn.out_proj", "norm2": "layer_norm2",
    "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2",
}  # fmt: skip
_LOGIT_SCALE = torch.tensor(10.0).log()


def train_dinov2(network: Dinov2Model, settings: Settings) -> Dinov2Model:
    """Train the network. `settings.batch` counts images, two of each subject. Returns the averaged weights."""
    network.to(settings.device).train()
    chosen = optimizers(network, settings.lr, weight_decay=0.02)
    run = Trainable(network, Average(network, limit=0.998), chosen, Progress())
    if settings.resume and settings.state_file("dinov2").exists():
        run.load(settings.state_file("dinov2"))
    make = partial(draw_pairs, network.config.image_size, settings.batch // 2)
    batches = stream(make, (settings.seed, 6, run.progress.step), settings)

    def save() -> None:
        run.save(settings.state_file("dinov2"))
        draw_curve(run.progress, settings.out / "images" / "dinov2-loss.png", "DINOv2: contrastive loss")

    for fraction in budgeted_steps(run.progress, settings, "dinov2", save):
        set_learning_rate(chosen, learning_rate(fraction, run.progress.step, settings.lr, settings.warmup))
        pixels = next(batches).to(settings.device, non_blocking=True)
        with precision.autocast(settings.device), unfused_attention(settings.device):
            first, second = network(pixel_values=pixels).pooler_output.float().chunk(2)
        run.step(contrast(first, second, _LOGIT_SCALE), clip=1.0, samples=len(pixels))
    return run.average.model


def draw_pairs(size: int, count: int, rng: np.random.Generator) -> Tensor:
    """Pixels (2 count, 3, size, size): one image of each of `count` subjects, then a second one of each."""
    subjects = related_identities(rng, count)
    drawings = [random_drawing(rng, identity) for identity in (*subjects, *subjects)]
    return render_augmented(rng, drawings, size, _CROP_SHARE)


@torch.no_grad()
def start_from(network: Dinov2Model, tower: CLIPVisionModel, pixels: Tensor) -> None:
    """Initialise the network with the weights of the tower.

    CLIP has a norm before its blocks, DINOv2 has none. It is folded into the embeddings: exactly for the class token,
    and for patches with their mean deviation over `pixels` (n, 3, size, size).
    """
    clip, norm = tower.embeddings, tower.pre_layrnorm
    deviations = (clip(pixels).var(dim=-1, correction=0) + norm.eps).sqrt()  # n, 1 + patches
    spread = torch.full(deviations.shape[1:], float(deviations[:, 1:].mean()))
    spread[0] = deviations[0, 0]

    def folded(rows: Tensor, deviation: Tensor) -> Tensor:
        scaled: Tensor = norm.weight * (rows - rows.mean(dim=-1, keepdim=True)) / deviation
        return scaled

    patches = folded(clip.patch_embedding.weight.movedim(0, -1), spread[1])
    network.embeddings.patch_embeddings.projection.weight.copy_(patches.movedim(-1, 0))
    network.embeddings.patch_embeddings.projection.bias.zero_()
    network.embeddings.cls_token[0, 0] = folded(clip.class_embedding, spread[0])
    network.embeddings.position_embeddings[0] = folded(clip.position_embedding.weight, spread[:, None]) + norm.bias
    for block, clip_block in zip(network.encoder.layer, tower.encoder.layers, strict=True):
        for name, clip_name in _CLIP_NAMES.items():
            block.get_submodule(name).load_state_dict(clip_block.get_submodule(clip_name).state_dict())
    network.layernorm.load_state_dict(tower.post_layernorm.state_dict())
