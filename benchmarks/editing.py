"""Measure one NIMA edit, as in LIPE or with stored attention maps: ``python -m benchmarks.editing lipe ...``.

NIMA records attention only while it searches the subject, in the source and in the first pass.

The prior is a new LoRA, which costs the same as a trained one. `measure.run_measured` runs this module in a process of
its own.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.measure import ResourceMonitor
from benchmarks.stored_maps import store_maps
from lipe_core import sdxl
from lipe_core.adapters import lora
from lipe_core.adapters.prior import Manifest, Prior
from lipe_core.backbone import BaseModel
from lipe_core.methods.nima import edit as nima
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.request import EditRequest
from lipe_core.recipe import load_recipe
from lipe_core.sdxl import record_attention
from lipe_core.subject import Subject
from menagerie.experiment import image_of
from menagerie.subjects import benchmark

ATTENTION_RECORDERS: dict[str, Callable[..., Any]] = {
    "lipe": record_attention,
    "stored cross maps": partial(store_maps, cross_only=True),
    "stored maps": store_maps,
}
"""How each variant records attention."""

_SUBJECT = Subject("sks", "dog")
_TARGETS = tuple(f"a photo of sks dog {does}" for does in ("sitting", "standing", "asleep", "jumping"))


def fresh_prior(model: BaseModel, rank: int) -> Prior:
    """A prior with an untrained adapter."""
    with lora.trainable_weights(model, "lora", rank=rank, alpha=rank, seed=0) as trainable:
        tensors = trainable.export()
    manifest = Manifest("sks", "dog", model.checkpoint, model.revision, model.fingerprint, (), (), {}, ())
    return Prior(tensors, manifest)


def request_of(model: BaseModel, prompts: int) -> EditRequest:
    """A request for `prompts` edits of a drawn image at the network's size."""
    image = image_of(benchmark()[2].test).resize((model.native_size,) * 2)
    return EditRequest(image, "a photo of sks dog", _TARGETS[:prompts], _SUBJECT)


def config_of(checkpoint: Path, steps: int) -> NimaConfig:
    """The checkpoint's own settings, with this number of steps."""
    config: NimaConfig = load_recipe(checkpoint).method_config("nima", {"steps": steps})
    return config


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds and network evaluations of one request after a warm-up, the MB before it (weights), and the MB added."""
    dtype = getattr(torch, options.dtype)
    model = sdxl.load(options.checkpoint, device=options.device, dtype=dtype)
    prior, request = fresh_prior(model, options.rank), request_of(model, options.prompts)
    monitor = ResourceMonitor(options.device)
    rows: list[int] = []
    with patch("lipe_core.sdxl.attention.record_attention", ATTENTION_RECORDERS[options.system]):
        nima.edit(model, request, config_of(options.checkpoint, 2), prior=prior)
        model.unet.register_forward_pre_hook(lambda unet, inputs: rows.append(len(inputs[0])))
        start_mb, start = monitor.reset_peak(), monitor.clock()
        nima.edit(model, request, config_of(options.checkpoint, options.steps), prior=prior)
        seconds = monitor.clock() - start
    added_mb = monitor.peak_mb() - start_mb
    return {"seconds": seconds, "evaluations": sum(rows), "start_mb": start_mb, "added_mb": added_mb}


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    options.json.write_text(json.dumps(run(options)))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.editing", description=__doc__)
    parser.add_argument("system", choices=tuple(ATTENTION_RECORDERS))
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--prompts", type=int, choices=(1, 2, 3, 4), default=1, help="target prompts of the image")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--json", type=Path, required=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
