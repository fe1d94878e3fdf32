"""MyStyle: a face generator tuned on one person's images, and edits inside the space that these span
(https://arxiv.org/abs/2203.17272).

(A) Invert each reference into W: the anchors. (B) Tune the generator until the anchors generate the references. (C)
Project the image into the anchors' dilated hull. (D) Tune the generator on the image too, at its projection. (E) Move
along the directions that the prompt names, as far as the hull reaches. Everything that the generator generates, the
background included, changes with the subject.

The paper has some hundred references, an encoder for (A) and LPIPS for the losses, which we cannot ship. (A) is the
optimization of StyleGAN2 (https://arxiv.org/abs/1912.04958, appendix D), and `pyramid_distance` takes the place of
LPIPS.
"""

import logging
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, ClassVar, TypeAlias

import torch
from annotated_types import Interval
from einops import rearrange
from PIL import Image
from torch import Tensor

from lipe_core.adapters.prior import Prior
from lipe_core.backbone import BaseModel
from lipe_core.diffusion.ddim import OnStep, no_progress
from lipe_core.diffusion.guidance import EvaluationCounter
from lipe_core.errors import InvalidModel, InvalidRequest
from lipe_core.methods.mystyle.face_generator import FOLDER, FaceGenerator, load_face_generator
from lipe_core.methods.mystyle.personalized_subspace import Anchors, Coordinates, onto_dilated, personal_direction
from lipe_core.methods.mystyle.tuning import TrackedGenerator, at_all_layers, invert, project, tune
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.methods.session import EditSession
from lipe_core.pixels import resized, to_images, to_pixels
from lipe_core.settings import LearningRate, check_settings
from lipe_core.shapes import Pixels

TrainingSteps: TypeAlias = Annotated[int, Interval(ge=0, le=100_000)]
FEWEST = 2
"""Fewest references: one anchor spans no space."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MyStyleConfig:
    """Settings of MyStyle, which trains a face generator on the subject's references for every edit: faces only.

    The defaults are those of the authors' published code, and of StyleGAN2 for the inversion.
    """

    seeded: ClassVar[bool] = False

    inversion_steps: TrainingSteps = 1000
    """Steps that invert each reference into the latent space of the generator. Lower it to save time."""

    inversion_learning_rate: LearningRate = 0.1
    """Learning rate of the inversion. Lower it if the references are not reproduced."""

    tuning_steps: TrainingSteps = 1000
    """Steps that tune the generator until the inverted references reproduce the references. Raise it if they do not."""

    tuning_learning_rate: LearningRate = 3e-4
    """Learning rate of the generator. Lower it if the images show artefacts."""

    projection_steps: TrainingSteps = 1000
    """Steps that project the image into the subject's own part of the latent space. Lower it to save time."""

    projection_learning_rate: LearningRate = 5e-3
    """Learning rate of the projection. Lower it if the result is not like the image."""

    image_steps: TrainingSteps = 1000
    """Steps that tune the generator to the image as well, at its projection. Raise it if the result is not like the
    image."""

    beta: Annotated[float, Interval(ge=0, le=10)] = 0.03
    """How far beyond the convex hull of the n references a face may lie; the hull grows by 1 + n beta. The default
    suits a hundred references; a few need more."""

    strength: Annotated[float, Interval(ge=0, le=10)] = 1.0
    """How far the edit moves along a direction; 1 reaches the value that the prompt names. Lower it if the edit is
    too strong."""

    def __post_init__(self) -> None:
        check_settings(self)


def edit(
    model: BaseModel,
    request: EditRequest,
    config: MyStyleConfig = MyStyleConfig(),
    *,
    prior: Prior | None = None,
    on_step: OnStep = no_progress,
) -> list[Edit]:
    """One edit for each target prompt; they share all trainings. A prior and the request's mask are not used.

    Images of any shape are resized to the generator's square. Raises InvalidRequest for too few references, for a
    checkpoint without a face generator, for a subject that it does not generate, and for a prompt that names no
    direction.
    """
    faces = face_generator(model)
    session = EditSession.of(model, request, prior, seeded=False)
    _require_faces(faces, request)
    directions = [_direction(faces, request.source_prompt, prompt) for prompt in request.target_prompts]
    tuning_steps = config.inversion_steps + config.tuning_steps + config.projection_steps + config.image_steps
    steps_done, steps = count(1), tuning_steps + len(directions)
    generator = TrackedGenerator(faces.network, EvaluationCounter(), lambda: on_step(next(steps_done), steps))
    anchors, alpha = _personalize(generator, session, config)
    shared = generator.counter.evaluations
    images: list[Image.Image] = []
    with session.clock.stage("editing"), torch.no_grad():
        for direction in directions:
            change = config.strength * personal_direction(direction, anchors)
            edited = onto_dilated(alpha + change, config.beta)
            images += to_images(generator.generate(rearrange(edited @ anchors, "l d -> 1 l d")))
            generator.on_step()
    return session.edits(images, config, shared + 1)


def _personalize(
    generator: TrackedGenerator, session: EditSession, config: MyStyleConfig
) -> tuple[Anchors, Coordinates]:
    """(A) to (D): the anchors and the image's coordinates, for which the generator is then tuned."""
    pixels = _square_pixels(session, generator.network.sizes.resolution)
    image, references = pixels[:1], pixels[1:]
    with session.clock.stage("inverting"):
        anchors = invert(generator, references, config.inversion_steps, config.inversion_learning_rate)
    with session.clock.stage("tuning"):
        tune(generator, anchors, references, config.tuning_steps, config.tuning_learning_rate)
    with session.clock.stage("projecting"):
        alpha = project(
            generator, anchors, image, config.projection_steps, config.projection_learning_rate, config.beta
        )
        w = torch.cat([rearrange(alpha @ anchors, "l d -> 1 l d"), at_all_layers(anchors, generator.network)])
        tune(generator, w, torch.cat([image, references]), config.image_steps, config.tuning_learning_rate)
    return anchors, alpha


def _square_pixels(session: EditSession, side: int) -> Pixels:
    """The image and, after it, the references at the generator's size."""
    images = [image.convert("RGB") for image in (session.request.image, *session.request.references)]
    return to_pixels([resized(image, (side, side)) for image in images]).to(session.model.device)


def face_generator(model: BaseModel) -> FaceGenerator:
    """The checkpoint's face generator. It is read for each request, because tuning changes its weights."""
    folder = Path(model.checkpoint) / FOLDER
    if not folder.is_dir():
        raise InvalidRequest("this base model has no face generator, which mystyle needs: choose another method")
    try:
        return load_face_generator(folder, device=model.device)
    except InvalidModel as error:
        log.warning("%s", error)  # the message names the operator's folders, which users must not see
        raise InvalidRequest(
            "mystyle cannot use the base model's face generator (see the worker's log): choose another method"
        ) from error


def _direction(faces: FaceGenerator, source_prompt: str, target_prompt: str) -> Tensor:
    """The sum of the directions from the values that the source prompt names to those of the target prompt.

    An attribute that the source prompt does not name starts from the average face.
    """
    source, target = faces.named(source_prompt), faces.named(target_prompt)
    if not target:
        known = ", ".join(value for values in faces.phrases.values() for value in values)
        raise InvalidRequest(
            f"mystyle knows no direction to {target_prompt!r}: name one of {known}, or use another method"
        )
    direction = torch.zeros_like(faces.network.w_average)
    for name, value in target.items():
        if source.get(name) != value:
            direction = direction + faces.directions[name, value]
            direction = direction - faces.directions[name, source[name]] if name in source else direction
    return direction


def _require_faces(faces: FaceGenerator, request: EditRequest) -> None:
    noun = request.subject.class_noun
    if noun.lower() not in (known.lower() for known in faces.nouns):
        raise InvalidRequest(f"mystyle edits faces only ({', '.join(faces.nouns)}), not {noun!r}: use another method")
    if len(request.references) < FEWEST:
        raise InvalidRequest(
            f"mystyle needs at least {FEWEST} of the subject's references, got {len(request.references)}"
        )
