"""One measured part of the test at SDXL's size, in a process of its own: python -m tests.true_size.work edit ...

The process gives its peak of resident memory. That is why no other part runs in it.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

import lipe_core
from benchmarks.measure import ResourceMonitor
from benchmarks.sdxl_size import Scale, write_checkpoint
from lipe_core import sdxl
from lipe_core.adapters.prior import load_prior, save_prior
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.request import EditRequest
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Subject
from lipe_core.training.config import PriorConfig
from lipe_core.training.learn import LearnRequest
from lipe_core.training.regularization import RegularizationConfig
from tests.true_size.vocabulary import tokenizers

DOG = Subject("sks", "dog")


def photo(side: int, place: int = 0) -> Image.Image:
    """A drawn dog on noise. Random weights cannot tell it from a photo."""
    noise = np.random.default_rng(place).integers(90, 160, (side, side, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    box = (side // 4 + place, side // 3, 3 * side // 4 + place, 4 * side // 5)
    ImageDraw.Draw(image).ellipse(box, fill=(150, 90, 40))
    return image


def write(options: argparse.Namespace) -> dict[str, Any]:
    """Write the checkpoint with bfloat16 weights."""
    write_checkpoint(options.checkpoint, Scale(options.depth, side=options.side), torch.bfloat16, tokenizers())
    files = list(options.checkpoint.rglob("*.safetensors"))
    return {"gb": round(sum(file.stat().st_size for file in files) / 1e9, 2)}


def load(options: argparse.Namespace) -> dict[str, Any]:
    """Check and load the checkpoint, read a prompt, and predict noise once."""
    model = _model(options)
    prompt = sdxl.encode_prompt(model, ["a photo of sks dog jumping over a fence"], size=(options.side,) * 2)
    shape = model.latent_shape((options.side,) * 2)
    with torch.no_grad():
        predicted = sdxl.predict(model, torch.randn(1, *shape), torch.tensor([500]), prompt)
    return {
        "parameters": sum(weight.numel() for weight in model.unet.parameters()),
        "vocabulary": len(model.tokenizers[0]),
        "dtype": str(model.unet.dtype),
        "vae_dtype": str(model.vae.dtype),
        "is_finite": bool(predicted.isfinite().all()),
        "fingerprint": model.fingerprint,
    }


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Learn a prior in one step, from three references and one image of the class, and save it."""
    model = _model(options)
    start = time.perf_counter()
    prior = lipe_core.learn(
        model,
        LearnRequest(DOG, tuple(photo(options.side, place) for place in (0, 9, 18)), "animal"),
        PriorConfig(steps=1, tuning=options.tuning, warmup=0),
        RegularizationConfig(count=1, steps=1),
    )
    saved = save_prior(prior.adapter, prior.manifest, options.prior)
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "loss": saved.manifest.losses[0],
        "changed": sum(bool(tensor.any()) for tensor in prior.adapter.values()),
        "tensors": len(prior.adapter),
        "mb": round(sum(file.stat().st_size for file in options.prior.iterdir()) / 1e6),
    }


def edit(options: argparse.Namespace) -> dict[str, Any]:
    """Edit an image in two passes, with the saved prior."""
    model = _model(options)
    prior = load_prior(options.prior, model.fingerprint)
    source = photo(options.side)
    request = EditRequest(source, "a photo of sks dog sitting", ("a photo of sks dog jumping",), DOG)
    start = time.perf_counter()
    (made,) = lipe_core.edit(model, request, "nima", NimaConfig(steps=options.steps), prior=prior)
    images = made.images()
    outside = np.asarray(images.edit_mask) == 0
    differs = (np.asarray(images.image) != np.asarray(source)).any(axis=-1)
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "evaluations": made.evaluations,
        "size": list(images.image.size),
        "inside": round(float(1 - outside.mean()), 3),
        "changed_inside": round(float(differs[~outside].mean()), 3) if (~outside).any() else 0.0,
        "changed_outside": int(differs[outside].sum()),
    }


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "write": write, "load": load, "train": train, "edit": edit,
}  # fmt: skip


def _model(options: argparse.Namespace) -> BaseModel:
    return sdxl.load(options.checkpoint, dtype=getattr(torch, options.dtype), hash_cache=options.checkpoint / "hashes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--depth", type=int, default=10)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--tuning", default="lora")
    parser.add_argument("--prior", type=Path)
    options = parser.parse_args()
    start = time.perf_counter()
    result = {"seconds": None} | PARTS[options.part](options)
    result["seconds"] = result["seconds"] or round(time.perf_counter() - start, 1)
    options.json.write_text(json.dumps(result | {"peak_mb": round(ResourceMonitor("cpu").peak_mb())}))


if __name__ == "__main__":
    main()
