"""`lipe_core.learn` and `lipe_core.edit`: both stages of LIPE with the settings of the checkpoint's recipe."""

from pathlib import Path
from typing import Any

from lipe_core.adapters.prior import Prior
from lipe_core.backbone import BaseModel
from lipe_core.diffusion.ddim import OnStep, no_progress
from lipe_core.errors import InvalidParameters
from lipe_core.methods.registry import METHODS
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.methods.request_check import check_request
from lipe_core.recipe import load_recipe
from lipe_core.training.config import PriorConfig
from lipe_core.training.learn import LearnRequest
from lipe_core.training.learn import learn as learn_prior
from lipe_core.training.regularization import RegularizationConfig
from lipe_core.training.train import OnTrainStep, TrainingRun


def learn(
    model: BaseModel,
    request: LearnRequest,
    config: PriorConfig | None = None,
    regularization: RegularizationConfig | None = None,
    *,
    cache: Path | None = None,
    on_step: OnTrainStep = lambda step, steps, loss: None,
) -> Prior:
    """Learn the prior of the request's subject.

    Without a config, the recipe in the checkpoint's folder decides the settings, or the defaults without a recipe.
    `cache` is a folder in which regularization sets are kept, to share them between subjects of a class. `on_step`
    gets (step, steps, loss) after each training step, and may raise an error to stop. Save the result with
    `adapters.prior.save_prior`. Raises the errors of `lipe_core.errors`.
    """
    recipe = load_recipe(model.checkpoint)
    return learn_prior(
        model,
        request,
        config or recipe.prior_config(request.category),
        regularization or recipe.regularization_config(),
        cache=cache,
        run=TrainingRun(on_step=on_step),
    )


def edit(
    model: BaseModel,
    request: EditRequest,
    method: str = "nima",
    config: Any = None,
    *,
    prior: Prior | None = None,
    on_step: OnStep = no_progress,
) -> list[Edit]:
    """Edit the request's image: one edit for each target prompt and seed, prompts outermost.

    `method` is a key of `methods.registry.METHODS`, and `config` an instance of its config class. Without a config,
    the recipe in the checkpoint's folder decides the settings. `on_step` gets (step, steps), and may raise an error to
    stop. Raises the errors of `lipe_core.errors`.
    """
    if method not in METHODS:
        raise InvalidParameters(f"unknown method {method!r}: choose from {', '.join(METHODS)}")
    if config is None:
        config = load_recipe(model.checkpoint).method_config(method)
    check_request(model, method, request, config)
    return METHODS[method].edit(model, request, config, prior=prior, on_step=on_step)
