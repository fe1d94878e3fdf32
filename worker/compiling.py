"""Compiling of the network's regions at the start of a worker, by an edit and a training of a few steps.

Compiling takes minutes, and seconds from the folder of compiled code. No job waits for it, and none starts it.
"""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from ledger.states import JobKind
from lipe_core.backbone import BaseModel
from lipe_core.compiled import CompiledRegions, cannot_compile
from lipe_core.diffusion.ddim import no_progress
from lipe_core.methods.registry import METHODS
from lipe_core.methods.request import EditRequest
from lipe_core.recipe import Recipe, load_recipe
from lipe_core.subject import Subject
from lipe_core.training.learn import LearnRequest, learn
from worker.context import WorkerContext

SUBJECT = Subject("sks", "dog")
REFERENCES = 3

log = logging.getLogger(__name__)


def compile_network(
    context: WorkerContext, kinds: Sequence[JobKind], backend: str | Callable[..., Any] = "inductor"
) -> CompiledRegions:
    """Compile what jobs of these kinds run. If that is not possible, the log has the reason."""
    model, began = context.gpu.base_model(), time.monotonic()
    compiled = CompiledRegions(model.regions, backend, _why_not(context, model))
    compiled.compile(partial(_run_small_jobs, context, model, kinds))
    if not compiled.eager_because:
        log.info("%d regions are compiled, in %.0f s", len(compiled.regions), time.monotonic() - began)
    else:
        log.warning("the network is not compiled: %s", compiled.eager_because)
    return compiled


def _why_not(context: WorkerContext, model: BaseModel) -> str:
    if model.graphs is not None:
        return "LIPE_CUDA_GRAPHS=auto records the work instead"
    return cannot_compile(context.settings.compiled_dir)


def _run_small_jobs(context: WorkerContext, model: BaseModel, kinds: Sequence[JobKind]) -> None:
    recipe = load_recipe(model.checkpoint, context.settings.recipe)
    image = Image.linear_gradient("L").resize((model.native_size,) * 2)
    if set(kinds) - {"prior"}:
        _edit(model, recipe, image)
    if "prior" in kinds:
        with TemporaryDirectory() as scratch:
            _train(model, recipe, image, Path(scratch))


def _edit(model: BaseModel, recipe: Recipe, image: Image.Image) -> None:
    prompt = f"a photo of {SUBJECT.token} {SUBJECT.class_noun}"
    mask = Image.new("L", image.size)
    mask.paste(255, (0, 0, image.width // 2, image.height))
    request = EditRequest(image.convert("RGB"), prompt, (prompt,), SUBJECT, mask=mask)
    METHODS["nima"].edit(
        model, request, recipe.method_config("nima", {"steps": 2}, {}), prior=None, on_step=no_progress
    )


def _train(model: BaseModel, recipe: Recipe, image: Image.Image, scratch: Path) -> None:
    references = tuple(image.rotate(90 * number).convert("RGB") for number in range(REFERENCES))
    learn(
        model,
        LearnRequest(SUBJECT, references, "animal"),
        recipe.prior_config("animal", {"steps": 1}, {}),
        recipe.regularization_config({"count": 1, "steps": 1}),
        cache=scratch,
    )
