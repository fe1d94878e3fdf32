"""The face generator: StyleGAN2's network, but taught by regression on the drawn faces.

A generative adversarial network needs millions of pictures, more than a CPU can see in an hour. The drawn world
knows what is in its pictures, so that is z: a code of the drawing, from which the network learns to paint the drawing
(as in https://arxiv.org/abs/1411.5928). What the code leaves out, such as where trees and clouds stand, comes out as
their mean: backgrounds are soft, and no adversary sharpens them. W then has what the methods on StyleGAN2 need of it:
one vector is one face, and named attributes lie along directions.

The committed weights saw 242,000 pictures in 69 minutes on one core, in several runs of other batches and rates, the
first 60,000 before the emphasis was squared: one run with today's gives others. Their freckles are still missing.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from lipe_core.methods.mystyle.face_generator import FaceGenerator
from lipe_core.methods.mystyle.laplacian_pyramid import pyramid_distance
from lipe_core.methods.mystyle.stylegan2 import Generator, Sizes
from menagerie.attributes import (
    ATTRIBUTES,
    COLORS,
    FACES,
    Drawing,
    sample_action,
    sample_identity,
    sample_scene,
    with_action,
)
from menagerie.captions import action_phrases
from menagerie.draw import render
from menagerie.emphasis import emphasis
from menagerie.pool import to_pictures, to_pixels
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

#: What a face's code names; a face has no other pattern than these two.
_NAMED: dict[str, tuple[str, ...]] = {
    name: ATTRIBUTES[name]
    for name in ("color", "second_color", "accessory", "hair", "skin", "background", "pose", "head", "expression")
} | {"pattern": ("plain", "freckled"), "accessory_color": COLORS}  # fmt: skip
_NUMBERS = 8
_SQUARES = 4.0
CODE = sum(len(values) for values in _NAMED.values()) + _NUMBERS
"""Entries of a code."""

SIZES = Sizes(widths=(80, 80, 64, 40, 24), z_size=CODE, w_size=64, mapping_layers=4)


def code_of(drawing: Drawing) -> npt.NDArray[np.float32]:
    """What is in a drawn face, (CODE,): each named value as 0 or 1, then continuous traits and place about [-1, 1]."""
    named = {**vars(drawing.identity), **vars(drawing.scene), **vars(drawing.action)}
    entries = [float(named[name] == value) for name, values in _NAMED.items() for value in values]
    who, scene = drawing.identity, drawing.scene
    numbers = (
        who.head_size,
        who.ear_size,
        *who.tint,
        scene.x,
        (scene.horizon - 0.59) / 0.09,
        (scene.scale - 0.94) / 0.06,
    )
    return np.array([*entries, *numbers], np.float32)


def sample_face(rng: np.random.Generator) -> Drawing:
    """Any picture of any drawn person."""
    identity = sample_identity(rng, str(rng.choice(FACES)))
    return Drawing(identity, sample_scene(rng), sample_action(rng, identity.class_noun))


@dataclass(frozen=True)
class Faces:
    """Drawn faces in memory: codes (n, CODE), pictures (n, size, size, 3), and their emphasis, (n, size/2, size/2)."""

    codes: Tensor
    pictures: npt.NDArray[np.uint8]
    weights: npt.NDArray[np.float16]

    @classmethod
    def drawn(cls, rng: np.random.Generator, count: int, size: int) -> "Faces":
        drawings = [sample_face(rng) for _ in range(count)]
        return cls(
            torch.from_numpy(np.stack([code_of(drawing) for drawing in drawings])),
            np.stack([render(drawing, size) for drawing in drawings]),
            np.stack([emphasis(drawing, size // 2) for drawing in drawings]),
        )

    def batch(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Codes, pictures (count, 3, size, size) in [-1, 1] and their weights (count, 1, size, size): the emphasis
        squared, or eyes and mouths come out as skin for most of an hour."""
        rows = rng.integers(len(self.pictures), size=count)
        weights = torch.from_numpy(self.weights[rows]).float().square()[:, None]
        return self.codes[rows], to_pixels(self.pictures[rows]), interpolate(weights, scale_factor=2.0)


def train_faces(generator: Generator, settings: Settings) -> Generator:
    """Teach the generator; returns the averaged weights, with the average of w."""
    faces = Faces.drawn(np.random.default_rng([settings.seed, 8]), settings.pictures, generator.sizes.resolution)
    generator.to(settings.device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(generator.parameters(), lr=settings.lr, betas=(0.9, 0.99))
    run = Trainable(generator, Average(generator, limit=0.998), [optimizer], Progress())
    if settings.resume and settings.state_file("faces").exists():
        run.load(settings.state_file("faces"))
    rng = np.random.default_rng([settings.seed, 9, run.progress.step])

    def save() -> None:
        run.save(settings.state_file("faces"))
        draw_curve(run.progress, settings.out / "pictures" / "faces-loss.png", "faces: differences at all scales")
        draw_sheet(run.average.model, faces, settings.out / "pictures" / "faces.png")

    for fraction in steps(run.progress, settings, "faces", save):
        set_learning_rate([optimizer], learning_rate(fraction, run.progress.step, settings.lr, settings.warmup))
        z, meant, weights = (part.to(settings.device) for part in faces.batch(rng, settings.batch))
        seen = generator(generator.style(z))
        apart = pyramid_distance(weights * seen, weights * meant).mean()
        squares = (weights * (seen - meant).square()).mean()  # absolute differences alone forget what is rare
        run.step((apart + _SQUARES * squares) / weights.mean(), clip=1.0, samples=len(z))
    trained = run.average.model
    with torch.no_grad():
        trained.w_average.copy_(trained.style(faces.codes.to(settings.device)).mean(dim=0))
    return trained


@torch.no_grad()
def draw_sheet(generator: Generator, faces: Faces, path: Path) -> None:
    """The first sixteen faces, each above what the generator paints from its code."""
    painted = to_pictures(generator(generator.style(faces.codes[:16].to(generator.start.device))))
    rows = [np.concatenate(list(some[k : k + 8]), 1) for k in (0, 8) for some in (faces.pictures, painted)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(path)


@torch.no_grad()
def with_directions(generator: Generator, seed: int, count: int = 1000) -> FaceGenerator:
    """The generator with its directions: ``count`` faces under each value of an attribute, all else the same, and
    where their mean lies in W seen from the mean over all values."""
    rng = np.random.default_rng([seed, 10])
    faces, (noun,) = [sample_face(rng) for _ in range(count)], FACES
    directions = {}
    for name, values in action_phrases(noun).items():
        codes = [[code_of(with_action(face, **{name: value})) for face in faces] for value in values]
        w = generator.style(torch.from_numpy(np.array(codes)).flatten(0, 1).to(generator.start.device))
        means = w.unflatten(0, (len(values), count)).mean(dim=1)
        for value, mean in zip(values, means - means.mean(dim=0), strict=True):
            directions[name, value] = mean
    return FaceGenerator(generator, FACES, action_phrases(noun), directions)
