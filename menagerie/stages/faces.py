"""Train the face generator: StyleGAN2's network, trained by regression on the drawn faces.

A generative adversarial network needs millions of images, more than a CPU can process in an hour. The drawn world has
labels for its images, so z is a code of the drawing. The network learns to generate the drawing from its code (as in
https://arxiv.org/abs/1411.5928). The code omits the positions of trees and clouds: the network generates their mean,
and backgrounds are blurred. W has the properties that methods on StyleGAN2 need: one vector is one face, and named
attributes have directions.

The committed weights were trained on 242,000 images in 69 minutes on one core, in several runs with other batch sizes
and rates; the first 60,000 images had loss weights that were not squared. A single run with today's settings gives
other weights. The generated faces lack freckles.
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
    sample_identity,
    with_action,
)
from menagerie.captions import action_phrases
from menagerie.draw import render
from menagerie.loss_weights import loss_weights
from menagerie.pool import to_images, to_pixels
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
)
from menagerie.subjects import random_drawing

#: The attributes in a face's code with their values. A face has only these two patterns.
_NAMED: dict[str, tuple[str, ...]] = {
    name: ATTRIBUTES[name]
    for name in ("color", "second_color", "accessory", "hair", "skin", "background", "pose", "head", "expression")
} | {"pattern": ("plain", "freckled"), "accessory_color": COLORS}  # fmt: skip
_TRAITS = 8  # continuous entries of a code
_SQUARED_ERROR = 4.0  # weight of that loss
CODE_SIZE = sum(len(values) for values in _NAMED.values()) + _TRAITS
"""The number of entries of a code."""

SIZES = Sizes(widths=(80, 80, 64, 40, 24), z_size=CODE_SIZE, w_size=64, mapping_layers=4)


def code_of(drawing: Drawing) -> npt.NDArray[np.float32]:
    """The code of a drawn face, (CODE_SIZE,): 0 or 1 for each value, then continuous traits in about [-1, 1]."""
    own = {**vars(drawing.identity), **vars(drawing.scene), **vars(drawing.action)}
    entries = [float(own[name] == value) for name, values in _NAMED.items() for value in values]
    identity, scene = drawing.identity, drawing.scene
    traits = (
        identity.head_size,
        identity.ear_size,
        *identity.tint,
        scene.x,
        (scene.horizon - 0.59) / 0.09,
        (scene.scale - 0.94) / 0.06,
    )
    return np.array([*entries, *traits], np.float32)


def sample_face(rng: np.random.Generator) -> Drawing:
    """A random image of a random person."""
    identity = sample_identity(rng, str(rng.choice(FACES)))
    return random_drawing(rng, identity)


@dataclass(frozen=True)
class FaceDataset:
    """Drawn faces in memory: codes (n, CODE_SIZE), images (n, size, size, 3), loss weights (n, size/2, size/2)."""

    codes: Tensor
    images: npt.NDArray[np.uint8]
    weights: npt.NDArray[np.float16]

    @classmethod
    def sample(cls, rng: np.random.Generator, count: int, size: int) -> "FaceDataset":
        """`count` random faces, rendered at `size` pixels."""
        drawings = [sample_face(rng) for _ in range(count)]
        return cls(
            torch.from_numpy(np.stack([code_of(drawing) for drawing in drawings])),
            np.stack([render(drawing, size) for drawing in drawings]),
            np.stack([loss_weights(drawing, size // 2) for drawing in drawings]),
        )

    def batch(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Sample codes, pixels (count, 3, size, size) in [-1, 1], and squared loss weights (count, 1, size, size).

        Without the square, the network takes most of an hour to learn eyes and mouths.
        """
        rows = rng.integers(len(self.images), size=count)
        weights = torch.from_numpy(self.weights[rows]).float().square()[:, None]
        return self.codes[rows], to_pixels(self.images[rows]), interpolate(weights, scale_factor=2.0)


def train_faces(generator: Generator, settings: Settings) -> Generator:
    """Train the generator. Returns the averaged weights, with the mean of w."""
    faces = FaceDataset.sample(np.random.default_rng([settings.seed, 8]), settings.images, generator.sizes.resolution)
    channels_last(generator, settings.device).train()
    optimizer = torch.optim.Adam(generator.parameters(), lr=settings.lr, betas=(0.9, 0.99))
    run = Trainable(generator, Average(generator, limit=0.998), [optimizer], Progress())
    if settings.resume and settings.state_file("faces").exists():
        run.load(settings.state_file("faces"))
    rng = np.random.default_rng([settings.seed, 9, run.progress.step])

    def save() -> None:
        run.save(settings.state_file("faces"))
        draw_curve(
            run.progress, settings.out / "images" / "faces-loss.png", "faces: pyramid distance and squared error"
        )
        draw_sheet(run.average.model, faces, settings.out / "images" / "faces.png")

    for fraction in budgeted_steps(run.progress, settings, "faces", save):
        set_learning_rate([optimizer], learning_rate(fraction, run.progress.step, settings.lr, settings.warmup))
        z, target, weights = (part.to(settings.device) for part in faces.batch(rng, settings.batch))
        generated = generator(generator.style(z))
        distance = pyramid_distance(weights * generated, weights * target).mean()
        # Absolute differences alone ignore rare details.
        squared_error = (weights * (generated - target).square()).mean()
        run.step((distance + _SQUARED_ERROR * squared_error) / weights.mean(), clip=1.0, samples=len(z))
    trained = run.average.model
    with torch.no_grad():
        trained.w_average.copy_(trained.style(faces.codes.to(settings.device)).mean(dim=0))
    return trained


@torch.no_grad()
def draw_sheet(generator: Generator, faces: FaceDataset, path: Path) -> None:
    """Write a sheet of the first sixteen faces, each above the image that is generated from its code."""
    generated = to_images(generator(generator.style(faces.codes[:16].to(generator.start.device))))
    rows = [np.concatenate(list(some[k : k + 8]), 1) for k in (0, 8) for some in (faces.images, generated)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(path)


@torch.no_grad()
def with_directions(generator: Generator, seed: int, count: int = 1000) -> FaceGenerator:
    """The generator with a direction in W for each value of the action attributes.

    A direction is the mean w of `count` faces with that value, minus the mean over all values of the attribute. The
    faces are the same for all values.
    """
    rng = np.random.default_rng([seed, 10])
    faces, (noun,) = [sample_face(rng) for _ in range(count)], FACES
    directions = {}
    for name, values in action_phrases(noun).items():
        codes = [[code_of(with_action(face, **{name: value})) for face in faces] for value in values]
        w = generator.style(torch.from_numpy(np.array(codes)).flatten(0, 1).to(generator.start.device))
        means = w.view(len(values), count, -1).mean(dim=1)
        for value, mean in zip(values, means - means.mean(dim=0), strict=True):
            directions[name, value] = mean
    return FaceGenerator(generator, FACES, action_phrases(noun), directions)
