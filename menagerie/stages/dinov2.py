"""The miniature DINOv2: the class and folder of DINOv2, but taught by contrast of identities.

Self-distillation (Oquab et al. 2023, https://arxiv.org/abs/2304.07193) needs far more pictures than a CPU can see in
minutes. What DINOv2-I asks of its judge is that one subject's pictures lie together whatever it does and wherever it
is; the drawn world knows its subjects, so just that is taught: InfoNCE on the class token between two pictures of each
subject (van den Oord et al. 2018, https://arxiv.org/abs/1807.03748). Four subjects of a batch at a time are relatives
of one class which share some of their attributes, so that the small things count. The network starts as the miniature
CLIP's vision tower, which has learnt to see already.
"""

from dataclasses import fields, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPVisionModel, Dinov2Model

from lipe_core import precision
from menagerie.attributes import Drawing, Identity, sample_action, sample_identity, sample_scene
from menagerie.augment import ALIKE, views
from menagerie.muon import optimizers
from menagerie.stages.clip import contrast
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
from menagerie.stages.unet import plain_attention

_CUT = 0.6
_SAME = {
    "norm1": "layer_norm1", "attention.q_proj": "self_attn.q_proj", "attention.k_proj": "self_attn.k_proj",
    "attention.v_proj": "self_attn.v_proj", "attention.o_proj": "self_attn.out_proj", "norm2": "layer_norm2",
    "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2",
}  # fmt: skip
_LOGIT_SCALE = torch.tensor(10.0).log()


def train_dinov2(network: Dinov2Model, settings: Settings) -> Dinov2Model:
    """Train the network; ``settings.batch`` counts pictures, two of each subject. Returns the averaged weights."""
    network.to(settings.device).train()
    chosen = optimizers(network, settings.lr, weight_decay=0.02)
    run = Trainable(network, Average(network, limit=0.998), chosen, Progress())
    if settings.resume and settings.state_file("dinov2").exists():
        run.load(settings.state_file("dinov2"))
    make = partial(pairs, network.config.image_size, settings.batch // 2)
    batches = stream(make, (settings.seed, 6, run.progress.step), settings)

    def save() -> None:
        run.save(settings.state_file("dinov2"))
        draw_curve(run.progress, settings.out / "pictures" / "dinov2-loss.png", "DINOv2: contrast of identities")

    for fraction in steps(run.progress, settings, "dinov2", save):
        set_learning_rate(chosen, learning_rate(fraction, run.progress.step, settings.lr, settings.warmup))
        pixels = next(batches).to(settings.device, non_blocking=True)
        with precision.autocast(settings.device), plain_attention(settings.device):
            seen = network(pixel_values=pixels).pooler_output.float()
        one, other = seen.chunk(2)
        run.step(contrast(one, other, _LOGIT_SCALE), clip=1.0, samples=len(pixels))
    return run.average.model


def pairs(size: int, count: int, rng: np.random.Generator) -> Tensor:
    """Pictures (2 count, 3, size, size): one of each of ``count`` subjects, then another of each."""
    subjects = relatives(rng, count)
    return views(rng, [anywhere(rng, identity) for identity in (*subjects, *subjects)], size, _CUT)


@torch.no_grad()
def start_from(network: Dinov2Model, tower: CLIPVisionModel, pixels: Tensor) -> None:
    """Give the network the tower's weights.

    CLIP has a norm before its blocks, which DINOv2 lacks: it is folded into the embeddings, exactly for the class
    token, and for patches with their mean deviation over ``pixels`` (n, 3, size, size).
    """
    theirs, norm = tower.embeddings, tower.pre_layrnorm
    deviations = (theirs(pixels).var(dim=-1, correction=0) + norm.eps).sqrt()  # n, 1 + patches
    spread = torch.full(deviations.shape[1:], float(deviations[:, 1:].mean()))
    spread[0] = deviations[0, 0]

    def folded(rows: Tensor, deviation: Tensor) -> Tensor:
        return norm.weight * (rows - rows.mean(dim=-1, keepdim=True)) / deviation

    patches = folded(theirs.patch_embedding.weight.movedim(0, -1), spread[1])
    network.embeddings.patch_embeddings.projection.weight.copy_(patches.movedim(-1, 0))
    network.embeddings.patch_embeddings.projection.bias.zero_()
    network.embeddings.cls_token[0, 0] = folded(theirs.class_embedding, spread[0])
    network.embeddings.position_embeddings[0] = folded(theirs.position_embedding.weight, spread[:, None]) + norm.bias
    for block, known in zip(network.encoder.layer, tower.encoder.layers, strict=True):
        for mine, its in _SAME.items():
            block.get_submodule(mine).load_state_dict(known.get_submodule(its).state_dict())
    network.layernorm.load_state_dict(tower.post_layernorm.state_dict())


def anywhere(rng: np.random.Generator, identity: Identity) -> Drawing:
    """The subject in any scene, doing anything."""
    return Drawing(identity, sample_scene(rng), sample_action(rng, identity.class_noun))


def relatives(rng: np.random.Generator, count: int) -> list[Identity]:
    """``count`` identities in families of four."""
    families = [sample_identity(rng) for _ in range(-(-count // ALIKE))]
    return [member for first in families for member in (first, *(relative(rng, first) for _ in range(ALIKE - 1)))][
        :count
    ]


def relative(rng: np.random.Generator, identity: Identity) -> Identity:
    """Another subject of its class, each attribute its own or a stranger's, not all of them its own."""
    while True:
        stranger = sample_identity(rng, identity.class_noun)
        taken = {f.name: getattr(stranger, f.name) for f in fields(Identity) if rng.random() < 0.5}
        mixed = replace(identity, **taken)
        if mixed != identity and mixed.color != mixed.second_color:
            return mixed
