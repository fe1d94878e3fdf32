"""The miniature DINOv2: the class and folder of DINOv2, but taught by contrast of identities.

Self-distillation (Oquab et al. 2023, https://arxiv.org/abs/2304.07193) needs far more pictures than a CPU can see in
minutes. What DINOv2-I asks of its judge is that one subject's pictures lie together whatever it does and wherever it
is; the drawn world knows its subjects, so just that is taught: InfoNCE on the class token between two pictures of each
subject (van den Oord et al. 2018, https://arxiv.org/abs/1807.03748). Four subjects of a batch at a time are relatives
of one class which share some of their attributes, so that the small things count.
"""

from dataclasses import fields, replace

import numpy as np
import torch
from transformers import Dinov2Model

from menagerie.attributes import Drawing, Identity, sample_action, sample_identity, sample_scene
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
)
from menagerie.stages.unet import plain_attention
from menagerie.views import ALIKE, views

_CUT = 0.6
_LOGIT_SCALE = torch.tensor(10.0).log()


def train_dinov2(network: Dinov2Model, settings: Settings) -> Dinov2Model:
    """Train the network; ``settings.batch`` counts pictures, two of each subject. Returns the averaged weights."""
    network.to(settings.device).train()
    chosen = optimizers(network, settings.lr, weight_decay=0.02)
    run = Trainable(network, Average(network, limit=0.998), chosen, Progress())
    if settings.resume and settings.state_file("dinov2").exists():
        run.load(settings.state_file("dinov2"))
    rng = np.random.default_rng([settings.seed, 6, run.progress.step])

    def save() -> None:
        run.save(settings.state_file("dinov2"))
        draw_curve(run.progress, settings.out / "pictures" / "dinov2-loss.png", "DINOv2: contrast of identities")

    for fraction in steps(run.progress, settings, "dinov2", save):
        set_learning_rate(chosen, learning_rate(fraction, run.progress.step, settings.lr, settings.warmup))
        subjects = relatives(rng, settings.batch // 2)
        drawings = [anywhere(rng, identity) for identity in (*subjects, *subjects)]
        pixels = views(rng, drawings, network.config.image_size, _CUT).to(settings.device)
        with torch.autocast(settings.device, torch.bfloat16), plain_attention(settings.device):
            seen = network(pixel_values=pixels).pooler_output.float()
        one, other = seen.chunk(2)
        run.step(contrast(one, other, _LOGIT_SCALE), clip=1.0, samples=len(drawings))
    return run.average.model


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
