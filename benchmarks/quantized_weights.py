"""Measure base models with 8-bit weights on the miniature: ``python -m benchmarks.quantized_weights``.

The error of one prediction, the first losses of a training, and, with `--subjects`, the judge's scores of edits whose
priors were trained on the same weights. int8 and fp8 (e4m3) have one scale for each output and compute in float32;
bf16 is the miniature in bfloat16.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from lipe_core import base_models, sdxl
from lipe_core.methods.registry import METHODS
from lipe_core.quantization import weight_bytes
from lipe_core.recipe import load_recipe
from lipe_core.sdxl import BaseModel
from lipe_core.training import learn as training
from menagerie.draw import render
from menagerie.evaluate import RunScores
from menagerie.experiment import edit_request, learn, learn_request
from menagerie.judge import load_judge, outside_mask, score
from menagerie.models import CHECKPOINT
from menagerie.subjects import fresh

PROMPTS = ("a photo of a dog", "a photo of a cat on a beach")
SCORES = ("clean", "edit_success", "identity", "no_ghost", "mask_iou", "outside_mask_psnr")


def _eight_bits(kind: torch.dtype) -> BaseModel:
    model = sdxl.load(CHECKPOINT)
    base_models.quantize_linear(model, kind)
    return model


FORMATS: dict[str, Callable[[], BaseModel]] = {
    "float32": partial(sdxl.load, CHECKPOINT),
    "bf16": partial(sdxl.load, CHECKPOINT, dtype=torch.bfloat16),
    "int8": partial(_eight_bits, torch.int8),
    "fp8": partial(_eight_bits, torch.float8_e4m3fn),
}


@torch.no_grad()
def prediction(model: BaseModel, t: int) -> Tensor:
    """The network's prediction for two prompts from fixed noise."""
    size = (model.native_size,) * 2
    x_t = torch.randn(len(PROMPTS), *model.latent_shape(size), generator=torch.Generator().manual_seed(0))
    return model.predict(x_t, torch.full((len(PROMPTS),), t), model.encode_prompt(PROMPTS, size=size))


def prediction_errors(timesteps: tuple[int, ...] = (100, 400, 800)) -> None:
    """Print the relative error of a prediction against float32, and the bytes of the weights."""
    full = FORMATS["float32"]()
    wanted = {t: prediction(full, t) for t in timesteps}
    for name, load in FORMATS.items():
        model = load()
        errors = {t: float((prediction(model, t) - each).norm() / each.norm()) for t, each in wanted.items()}
        print(json.dumps({"format": name, "bytes": sum(map(weight_bytes, model.networks)), "errors": errors}))


def training_losses(steps: int) -> None:
    """Print the losses of the first steps with one subject's references. All formats have the same noise."""
    drawn = next(iter(fresh(1, 31)))
    request = learn_request(drawn)
    config = replace(load_recipe(CHECKPOINT).prior_config(request.category), steps=steps, preservation_batch_size=0)
    for name, load in FORMATS.items():
        losses = training.learn(load(), request, config).manifest.losses
        print(json.dumps({"format": name, "losses": [round(loss, 5) for loss in losses]}))


def edit_scores(count: int, seed: int, formats: list[str], cache: Path) -> None:
    """Print the judge's scores of NIMA's edits of so many fresh subjects."""
    judge, recipe = load_judge(), load_recipe(CHECKPOINT)
    for name in formats:
        model, result, losses = FORMATS[name](), RunScores(), list[float]()
        for drawn in fresh(count, seed):
            prior, _ = learn(model, recipe, drawn, cache)
            losses += prior.manifest.losses
            edits = METHODS["nima"].edit(model, edit_request(drawn), recipe.method_config("nima"), prior=prior)
            for wanted, edit in zip(drawn.edits, edits, strict=True):
                result.scores.append(
                    score(judge, drawn.test, wanted, image=edit.image, uncomposited=edit.uncomposited,
                          source_mask=edit.source_mask)
                )  # fmt: skip
                result.outside_mask.append(outside_mask(render(drawn.test), edit))
        figures, loss = result.figures(), round(sum(losses) / len(losses), 5)
        shown = {"edits": len(result.scores), "loss": loss, **{key: figures[key] for key in SCORES}}
        print(json.dumps({"format": name, **shown}), flush=True)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantized_weights", description=__doc__)
    parser.add_argument("--subjects", type=int, default=0, help="number of fresh subjects that are learned and edited")
    parser.add_argument("--seed", type=int, default=31, help="seed of the subjects")
    parser.add_argument(
        "--formats", nargs="+", choices=FORMATS, default=list(FORMATS), help="those that are edited with"
    )
    parser.add_argument("--steps", type=int, default=5, help="steps of the compared trainings")
    parser.add_argument("--cache", type=Path, default=Path("out/regularization"), help="cache of regularization sets")
    options = parser.parse_args(argv)
    prediction_errors()
    training_losses(options.steps)
    if options.subjects:
        edit_scores(options.subjects, options.seed, options.formats, options.cache)


if __name__ == "__main__":
    main()
