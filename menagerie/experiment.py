"""A drawn subject as input of the method: a prior learned from its references alone, and edits requested in words.

Prompts name token, class, action and scene but no identifying attribute, so that identity can only come from the prior.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from PIL import Image

from lipe_core.adapters.prior import Prior
from lipe_core.backbone import BaseModel
from lipe_core.captioning.class_prompts import ClassPrompts
from lipe_core.diffusion.ddim import OnStep, no_progress
from lipe_core.methods.clock import Clock
from lipe_core.methods.request import EditRequest
from lipe_core.recipe import Recipe
from lipe_core.subject import Category, Subject
from lipe_core.training import learn as training
from lipe_core.training.learn import LearnRequest
from lipe_core.training.train import OnTrainStep, TrainingRun
from menagerie.attributes import Drawing
from menagerie.captions import edit_prompt
from menagerie.draw import render
from menagerie.subjects import TOKEN, DrawnSubject

CATEGORIES: dict[str, Category] = {"animal": "animal", "object": "object", "face": "person"}

DataVariant = Literal["full", "plain_captions", "no_regularization"]
"""The training data of a prior: LIPE's, or one of the paper's ablations. "plain_captions" has captions and class
prompts that name no action; "no_regularization" has no images of the class."""


def image_of(drawing: Drawing) -> Image.Image:
    """The drawing as an RGB image of 128 x 128 pixels."""
    return Image.fromarray(render(drawing))


def subject_of(drawn: DrawnSubject) -> Subject:
    """The subject with the token that prompts use."""
    return Subject(TOKEN, drawn.identity.class_noun)


def edit_request(drawn: DrawnSubject, seed: int = 0) -> EditRequest:
    """All edits of the subject in one request; they share one inversion."""
    return EditRequest(
        image_of(drawn.test),
        edit_prompt(drawn.test, TOKEN),
        tuple(edit_prompt(edit.truth, TOKEN) for edit in drawn.edits),
        subject_of(drawn),
        seeds=(seed,),
        references=tuple(image_of(drawing) for drawing in drawn.references),
    )


def learn_request(drawn: DrawnSubject, data: DataVariant = "full") -> LearnRequest:
    """The subject's references with their true captions, or without action in any text for "plain_captions"."""
    images = tuple(image_of(drawing) for drawing in drawn.references)
    category = CATEGORIES[drawn.identity.kind]
    if data == "plain_captions":
        return LearnRequest(subject_of(drawn), images, category, prompt_writer=plain_class_prompts)
    captions = tuple(edit_prompt(drawing, TOKEN) for drawing in drawn.references)
    return LearnRequest(subject_of(drawn), images, category, captions)


def plain_class_prompts(class_noun: str, count: int) -> ClassPrompts:
    """Class prompts that name nothing but the class."""
    return ClassPrompts((f"a photo of a {class_noun}",) * count)


def learn(
    model: BaseModel,
    recipe: Recipe,
    drawn: DrawnSubject,
    cache: Path,
    *,
    data: DataVariant = "full",
    on_step: OnTrainStep = lambda step, steps, loss: None,
) -> tuple[Prior, dict[str, float]]:
    """The subject's prior, and the seconds of each stage; ``cache`` is the folder for regularization sets."""
    request, clock = learn_request(drawn, data), Clock(model.device)
    config = recipe.prior_config(request.category)
    if data == "no_regularization":
        config = replace(config, preservation_batch_size=0)

    @contextmanager
    def timed(stage: str) -> Iterator[OnStep]:
        with clock.stage(stage):
            yield no_progress

    run = TrainingRun(on_step=on_step)
    prior = training.learn(model, request, config, recipe.regularization_config(), cache=cache, stage=timed, run=run)
    return prior, clock.timings
