"""MyStyle: a face generator tuned on one person's pictures, and edits inside the space that these span
(https://arxiv.org/abs/2203.17272).

(A) invert each reference into W: the anchors. (B) tune the generator until the anchors give the references. (C) project
the picture into the anchors' dilated hull, (D) tune the generator on the picture, too, where it landed. (E) move along
the directions that the prompt calls for, as far as the hull goes. Whatever the generator paints, the background
included, follows the subject through that space.

The paper has some hundred references, and an encoder for (A) and LPIPS for the losses, which are not ours to ship: (A)
is the optimisation of StyleGAN2 (https://arxiv.org/abs/1912.04958, appendix D), and `pyramid_distance` takes the place
of LPIPS.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, ClassVar, TypeAlias

import torch
from annotated_types import Interval
from einops import rearrange
from torch import Tensor

from lipe_core.adapters.prior import Prior
from lipe_core.diffusion.ddim import OnStep, no_progress
from lipe_core.diffusion.guidance import EvaluationCounter
from lipe_core.errors import InvalidModel, InvalidRequest, TrainingDiverged
from lipe_core.methods.mystyle.face_generator import FOLDER, FaceGenerator, load_face_generator
from lipe_core.methods.mystyle.laplacian_pyramid import pyramid_distance
from lipe_core.methods.mystyle.personalized_subspace import Anchors, Coordinates, along, dilated, onto_dilated
from lipe_core.methods.mystyle.stylegan2 import Generator, WPlus
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.methods.session import EditSession, resized
from lipe_core.pixels import to_images, to_pixels
from lipe_core.sdxl import BaseModel
from lipe_core.settings import LearningRate, check_settings
from lipe_core.shapes import Pixels

TrainingSteps: TypeAlias = Annotated[int, Interval(ge=0, le=100_000)]
FEWEST = 2
"""References: one anchor spans no space."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MyStyleConfig:
    """Settings of MyStyle, which trains a face generator on the subject's references for every edit: faces only.

    The defaults are those of the authors' published code, and of StyleGAN2 for the inversion.
    """

    seeded: ClassVar[bool] = False

    inversion_steps: TrainingSteps = 1000
    """Steps that invert each reference into the latent space of the generator."""

    inversion_learning_rate: LearningRate = 0.1
    """Learning rate of the inversion."""

    tuning_steps: TrainingSteps = 1000
    """Steps that tune the generator until the inverted references reproduce the references."""

    tuning_learning_rate: LearningRate = 3e-4
    """Learning rate of the generator."""

    projection_steps: TrainingSteps = 1000
    """Steps that project the image into the subject's own part of the latent space."""

    projection_learning_rate: LearningRate = 5e-3
    """Learning rate of the projection."""

    image_steps: TrainingSteps = 1000
    """Steps that tune the generator to the image as well, at its projection."""

    beta: Annotated[float, Interval(ge=0, le=10)] = 0.03
    """How far beyond the convex hull of the n references a face may lie; the hull grows by 1 + n beta. The default
    suits a hundred references; a few need more."""

    strength: Annotated[float, Interval(ge=0, le=10)] = 1.0
    """How far the edit moves along a direction; 1 reaches the value that the prompt names."""

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass
class Studio:
    """One request's own copy of the generator, and who is told of its work."""

    generator: Generator
    counter: EvaluationCounter
    progress: Callable[[], None]

    def paint(self, w: Tensor) -> Pixels:
        """Pictures of (b, d) or (b, l, d), counted."""
        self.counter.evaluations += len(w)
        pictures: Pixels = self.generator(w)
        return pictures


def edit(
    model: BaseModel,
    request: EditRequest,
    config: MyStyleConfig = MyStyleConfig(),
    *,
    prior: Prior | None = None,
    on_step: OnStep = no_progress,
) -> list[Edit]:
    """One edit for each target prompt; they share all trainings. A prior and a mask have no place here.

    Pictures of any shape are seen as the generator's square. Raises InvalidRequest for too few references, for a
    checkpoint without a face generator, a subject that it does not paint, and a prompt that names nothing it knows.
    """
    faces = face_generator(model)
    session = EditSession.of(model, request, prior, seeded=False)
    _require_faces(faces, request)
    changes = [_asked(faces, request, prompt) for prompt in request.target_prompts]
    total = config.inversion_steps + config.tuning_steps + config.projection_steps + config.image_steps + len(changes)
    steps_done = count(1)
    studio = Studio(faces.network, EvaluationCounter(), lambda: on_step(next(steps_done), total))
    side = faces.network.sizes.resolution
    pictures = to_pixels(
        [resized(image.convert("RGB"), (side, side)) for image in (request.image, *request.references)]
    )
    pictures = pictures.to(model.device)
    picture, references = pictures[:1], pictures[1:]

    with session.clock.stage("inverting"):
        anchors = invert(studio, references, config.inversion_steps, config.inversion_learning_rate)
    with session.clock.stage("tuning"):
        tune(studio, anchors, references, config.tuning_steps, config.tuning_learning_rate)
    with session.clock.stage("projecting"):
        alpha = project(studio, anchors, picture, config)
        at = torch.cat([rearrange(alpha @ anchors, "l d -> 1 l d"), everywhere(anchors, studio.generator)])
        tune(studio, at, torch.cat([picture, references]), config.image_steps, config.tuning_learning_rate)
    images = []
    shared = studio.counter.evaluations
    with session.clock.stage("editing"), torch.no_grad():
        for change in changes:
            moved = onto_dilated(alpha + config.strength * personal(change, anchors), config.beta)
            images += to_images(studio.paint(rearrange(moved @ anchors, "l d -> 1 l d")))
            studio.progress()
    return session.painted(images, config, shared + 1)


def face_generator(model: BaseModel) -> FaceGenerator:
    """The checkpoint's own, read anew: tuned weights are nobody else's."""
    folder = Path(model.checkpoint) / FOLDER
    if not folder.is_dir():
        raise InvalidRequest("this base model has no face generator, which mystyle needs: choose another method")
    try:
        return load_face_generator(folder, device=model.device)
    except InvalidModel as error:
        log.warning("%s", error)  # names the operator's folders, which are not the user's to know
        raise InvalidRequest(
            "mystyle cannot use the base model's face generator (the worker's log tells why): choose another method"
        ) from error


def invert(studio: Studio, references: Pixels, steps: int, learning_rate: float) -> Anchors:
    """(A) The w of each reference, from the average face on, the learning rate falling as a cosine does."""
    w = studio.generator.w_average.repeat(len(references), 1).requires_grad_(True)
    optimizer = torch.optim.Adam([w], lr=learning_rate, betas=(0.9, 0.99))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        _descend(studio, optimizer, w, references)
    return w.detach()


def tune(studio: Studio, at: Tensor, pictures: Pixels, steps: int, learning_rate: float) -> None:
    """(B) and (D) The generator's own weights, but for the mapping network, until w gives the pictures."""
    weights = [weight for name, weight in studio.generator.named_parameters() if not name.startswith("mapping")]
    optimizer = torch.optim.Adam(weights, lr=learning_rate)
    with _trainable(weights):
        for _ in range(steps):
            _descend(studio, optimizer, at, pictures)


def project(studio: Studio, anchors: Anchors, picture: Pixels, config: MyStyleConfig) -> Coordinates:
    """(C) The picture's coordinates, for each of the generator's layers its own, as in the paper's W+ extension."""
    free = anchors.new_zeros(studio.generator.sizes.layers, len(anchors)).requires_grad_(True)
    optimizer = torch.optim.Adam([free], lr=config.projection_learning_rate)
    for _ in range(config.projection_steps):
        _descend(studio, optimizer, rearrange(dilated(free, config.beta) @ anchors, "l d -> 1 l d"), picture)
    return dilated(free, config.beta).detach()


def personal(direction: Tensor, anchors: Anchors) -> Coordinates:
    """(E) The direction, projected onto the anchors' space and as long as gives all of it along itself again."""
    change = along(direction, anchors)
    reached = (change @ anchors).square().sum()
    return change * (direction.square().sum() / reached) if reached > 0 else change


def everywhere(w: Tensor, generator: Generator) -> WPlus:
    """The same style for every layer: (b, d) -> (b, l, d)."""
    return rearrange(w, "b d -> b 1 d").expand(-1, generator.sizes.layers, -1)


def _asked(faces: FaceGenerator, request: EditRequest, prompt: str) -> Tensor:
    """The sum of directions from what the source prompt names to what the target prompt does; where the source
    prompt names nothing, from the average face."""
    source, target = faces.named(request.source_prompt), faces.named(prompt)
    if not target:
        known = ", ".join(value for values in faces.phrases.values() for value in values)
        raise InvalidRequest(f"mystyle knows no direction to {prompt!r}: name one of {known}, or use another method")
    change = torch.zeros_like(faces.network.w_average)
    for name, value in target.items():
        if source.get(name) != value:
            change = change + faces.directions[name, value]
            change = change - faces.directions[name, source[name]] if name in source else change
    return change


def _require_faces(faces: FaceGenerator, request: EditRequest) -> None:
    noun = request.subject.class_noun
    if noun.lower() not in (known.lower() for known in faces.nouns):
        raise InvalidRequest(f"mystyle edits faces only ({', '.join(faces.nouns)}), not {noun!r}: use another method")
    if len(request.references) < FEWEST:
        raise InvalidRequest(
            f"mystyle needs at least {FEWEST} of the subject's references, got {len(request.references)}"
        )


def _descend(studio: Studio, optimizer: torch.optim.Optimizer, at: Tensor, pictures: Pixels) -> None:
    """One step towards the pictures."""
    painted = studio.paint(at)
    loss = pyramid_distance(painted, pictures).mean() + (painted - pictures).square().mean()
    if not math.isfinite(loss.item()):
        raise TrainingDiverged(f"the loss is {loss.item()}: lower the learning rates")
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    studio.progress()


@contextmanager
def _trainable(weights: Sequence[torch.nn.Parameter]) -> Iterator[None]:
    try:
        for weight in weights:
            weight.requires_grad_(True)
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(False)
            weight.grad = None
