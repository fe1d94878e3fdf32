"""Experiments on drawn subjects: learn a prior from the references, and request the edits by prompts.

Prompts name token, class, action and scene, and no identifying attribute: identity can only come from the prior.
"""

import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Literal

from PIL import Image

from lipe_core import sdxl
from lipe_core.adapters.prior import Manifest, Prior
from lipe_core.captioning import captions
from lipe_core.captioning.captions import Category
from lipe_core.methods.request import EditRequest
from lipe_core.recipe import Recipe
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Subject
from lipe_core.training import train
from lipe_core.training.references import encode_references
from lipe_core.training.regularization import regularization_set
from lipe_core.training.train import OnTrainStep
from menagerie.attributes import Drawing
from menagerie.captions import edit_prompt
from menagerie.draw import render
from menagerie.subjects import TOKEN, DrawnSubject

CATEGORIES: dict[str, Category] = {"animal": "animal", "object": "object", "face": "person"}

DataVariant = Literal["full", "plain_captions", "no_regularization"]
"""The training data of a prior: all of LIPE's, or an ablation of the paper. `plain_captions` has captions and class
prompts that name no action, `no_regularization` has no images of the class."""


def image_of(drawing: Drawing) -> Image.Image:
    """The drawing as an RGB image of 128 x 128 pixels."""
    return Image.fromarray(render(drawing))


def subject_of(drawn: DrawnSubject) -> Subject:
    """The class noun and the token that prompts use."""
    return Subject(TOKEN, drawn.identity.class_noun)


def edit_request(drawn: DrawnSubject, seed: int = 0) -> EditRequest:
    """One request for all edits of the subject. They share one inversion."""
    return EditRequest(
        image_of(drawn.test),
        edit_prompt(drawn.test, TOKEN),
        tuple(edit_prompt(edit.truth, TOKEN) for edit in drawn.edits),
        subject_of(drawn),
        seeds=(seed,),
        references=tuple(image_of(drawing) for drawing in drawn.references),
    )


def learn(
    model: BaseModel,
    recipe: Recipe,
    drawn: DrawnSubject,
    cache: Path,
    *,
    data: DataVariant = "full",
    on_step: OnTrainStep = lambda step, steps, loss: None,
) -> tuple[Prior, dict[str, float]]:
    """The subject's prior, and the seconds of its stages; ``cache`` keeps images of the class."""
    subject, category = subject_of(drawn), CATEGORIES[drawn.identity.kind]
    painting, config = recipe.regularization_config(), recipe.prior_config(category)
    start = time.perf_counter()
    prompts = captions.class_prompts(
        subject.class_noun, painting.count, painting.seed, category, partial(sdxl.knows, model)
    )
    told: list[str | None] = [edit_prompt(drawing, TOKEN) for drawing in drawn.references]
    if data == "plain_captions":
        prompts, told = [f"a photo of a {subject.class_noun}"] * painting.count, [None] * len(told)
    painted = None
    if data != "no_regularization":
        painted = regularization_set(model, prompts, painting, cache=cache)
    regularized = time.perf_counter()
    samples = captions.identity_set([image_of(drawing) for drawing in drawn.references], subject, told)
    identity = encode_references(model, samples, subject, config)
    learned = train.learn_prior(model, identity, painted, config, token=subject.token, on_step=on_step)
    seconds = {"regularizing": regularized - start, "training": time.perf_counter() - regularized}
    manifest = Manifest(
        subject.token, subject.class_noun, model.checkpoint, model.revision, model.fingerprint,
        tuple(sample.caption for sample in samples), tuple(prompts), asdict(config), learned.losses,
    )  # fmt: skip
    return Prior(learned.adapter, manifest), seconds
