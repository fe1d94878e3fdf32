"""A thread that reports this process and its base model to the database, so that the API knows what is served."""

import logging
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from threading import Thread
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from ledger import base_models, priors, workers
from ledger.database import UNAVAILABLE
from ledger.version import VERSION
from ledger.workers import Facts
from lipe_core.backbone import BaseModel
from lipe_core.methods.registry import METHODS, Method
from lipe_core.model_card import read_card
from lipe_core.quantization import is_quantized
from lipe_core.recipe import load_recipe
from lipe_core.recipes import MINIATURE_TAG
from worker.context import WorkerContext

DRAINING_CHECK_SECONDS = 1.0

log = logging.getLogger(__name__)


def report_presence(context: WorkerContext, kinds: Sequence[str], is_over: Callable[[], bool]) -> Thread:
    """Report until `is_over`, in a thread that ends with the process. The base model must be loaded.

    A worker that drains is listed as draining until its job has ended, and takes its row with it.
    """
    model = describe_model(context.gpu.base_model(), context.settings.recipe)
    thread = Thread(target=_report_until_over, args=(context, kinds, model, is_over), name="presence", daemon=True)
    thread.start()
    return thread


def describe_model(model: BaseModel, recipe: str = "") -> dict[str, Any]:
    """What users may know of the base model; its location on this machine is not part of it.

    `recipe` is the setting LIPE_RECIPE.
    """
    card = read_card(model.checkpoint)
    return {
        "name": model.name,
        "fingerprint": model.fingerprint,
        "family": model.family,
        "native_size": model.native_size,
        "miniature": MINIATURE_TAG in card.tags,
        "license": card.license,
        **_describe_recipe(model, recipe),
    }


def _describe_recipe(model: BaseModel, override: str) -> dict[str, Any]:
    """The settings of jobs whose request gives none, by section, and those that the choices of a request replace.

    Methods that are not made for the base model or its precision are left out, and so is a training setting that it
    lacks.
    Nothing for a recipe that cannot be read: each job then fails with the reason.
    """
    try:
        recipe = load_recipe(model.checkpoint, override)
        sections = {
            name: asdict(settings)
            for name, settings in recipe.sections().items()
            if name not in METHODS or _can_edit(model, METHODS[name])
        }
        if not model.token_tables:
            del sections["prior"]["token_learning_rate"]
        return {"recipe": sections, "choices": recipe.choices()}
    except ValueError as error:
        log.warning("the settings of the base model cannot be reported: %s", error)
        return {"recipe": {}, "choices": {}}


def _can_edit(model: BaseModel, method: Method) -> bool:
    return method.fits(model.family) and not (method.trains_network and is_quantized(model.network))


def _report_until_over(
    context: WorkerContext, kinds: Sequence[str], model: dict[str, Any], is_over: Callable[[], bool]
) -> None:
    _warn_of_unused_model(context, kinds, model)
    due, was_draining = time.monotonic(), False
    while not is_over():
        is_draining = context.draining()
        if time.monotonic() >= due or is_draining != was_draining:
            _report(context, kinds, model, _facts(context, is_draining=is_draining))
            due, was_draining = time.monotonic() + workers.REPORT_SECONDS, is_draining
        time.sleep(DRAINING_CHECK_SECONDS)
    try:
        with context.begin() as session:
            workers.leave(session, context.name)
    except SQLAlchemyError:
        log.warning("cannot write that this worker leaves; it is forgotten without that")


def _warn_of_unused_model(context: WorkerContext, kinds: Sequence[str], model: dict[str, Any]) -> None:
    """Say that a worker without trainings will wait, if no prior is of its base model."""
    try:
        with context.begin() as session:
            is_unused = "prior" not in kinds and priors.is_base_model_unused(session, str(model.get("fingerprint")))
    except (SQLAlchemyError, *UNAVAILABLE):
        return  # the reports say so
    if is_unused:
        log.warning(
            "no prior is of the base model %s: this worker has no edits of priors to do until a worker of trainings "
            "has the same model; is LIPE_BASE_MODEL right?",
            model.get("name"),
        )


def _facts(context: WorkerContext, *, is_draining: bool) -> Facts:
    name, memory_bytes = context.gpu.card()
    return Facts(socket.gethostname(), VERSION, name, memory_bytes, context.gpu.adapters, is_draining)


def _report(context: WorkerContext, kinds: Sequence[str], model: dict[str, Any], facts: Facts) -> None:
    try:
        with context.begin() as session:
            workers.report(session, context.name, kinds, model, facts)
            base_models.remember(session, model)
    except (SQLAlchemyError, *UNAVAILABLE) as error:
        log.warning("cannot report this worker, which tries again: %s", error)
