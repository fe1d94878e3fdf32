"""Measure the training of one prior, by LIPE or by diffusers' example: ``python -m benchmarks.training lipe ...``.

The example is the published train_dreambooth_lora_sdxl.py in its fastest mode: one prompt for all references, encoded
once. The same hook after every optimizer step measures both. `measure.run_measured` runs this module in a process of
its own.
"""

import argparse
import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks.measure import ResourceMonitor
from lipe_core import sdxl
from lipe_core.backbone import BaseModel
from lipe_core.subject import Sample
from lipe_core.training import dataset, train
from lipe_core.training.config import PriorConfig
from menagerie.experiment import image_of
from menagerie.subjects import benchmark

INSTANCE, _CLASS = "a photo of sks dog", "a photo of a dog"
_WARM_UP = 2


def prepare(model: BaseModel, data: Path) -> Path:
    """Write references, class images, and the encoded class images, which the service has from earlier trainings."""
    side = (model.native_size, model.native_size)
    for folder, drawn in (("references", benchmark()[2]), ("class", benchmark()[3])):
        (data / folder).mkdir(parents=True, exist_ok=True)
        for k, drawing in enumerate(drawn.references):
            image_of(drawing).resize(side).save(data / folder / f"{k}.png")
    (regularization,) = dataset.encode(model, samples(data / "class", _CLASS))
    dataset.save(regularization, data / "regularization.safetensors")
    return data


def samples(folder: Path, caption: str) -> list[Sample]:
    """The images of the folder, all with the same caption."""
    return [Sample(Image.open(file), caption) for file in sorted(folder.iterdir())]


def config_of(options: argparse.Namespace) -> PriorConfig:
    """The settings of the example: all four projections, no loss weights, no caption dropout."""
    return PriorConfig(
        steps=options.steps, batch_size=options.batch, preservation_batch_size=options.batch, rank=options.rank,
        alpha=options.rank, min_snr_gamma=0.0, caption_dropout=0.0, compute_dtype=options.dtype,
    )  # fmt: skip


def lipe(options: argparse.Namespace) -> None:
    """Train a prior with `lipe_core`."""
    dtype = torch.float32 if torch.device(options.device).type == "cpu" else getattr(torch, options.dtype)
    model = sdxl.load(options.checkpoint, device=options.device, dtype=dtype)
    identity = dataset.encode(model, samples(options.data / "references", INSTANCE))
    regularization = dataset.load(options.data / "regularization.safetensors")
    train.train_adapter(model, identity, regularization, config_of(options))


def example(options: argparse.Namespace) -> None:
    """Train a prior with the unmodified example."""
    if options.device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"
    classes = options.data / "class"
    sys.argv = [
        str(options.example), "--with_prior_preservation", "--seed=0",
        f"--pretrained_model_name_or_path={options.checkpoint}", f"--output_dir={options.data / 'example'}",
        f"--instance_data_dir={options.data / 'references'}", f"--instance_prompt={INSTANCE}",
        f"--class_data_dir={classes}", f"--class_prompt={_CLASS}", f"--num_class_images={len(list(classes.iterdir()))}",
        f"--resolution={options.side}", f"--train_batch_size={options.batch}", f"--rank={options.rank}",
        f"--max_train_steps={options.steps}",
        f"--mixed_precision={'bf16' if options.dtype == 'bfloat16' else 'no'}",
    ]  # fmt: skip
    runpy.run_path(sys.argv[0], run_name="__main__")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds per step after the warm-up, samples per second, and the peak memory in MB, including the weights."""
    monitor = ResourceMonitor(options.device)
    times: list[float] = []

    def note_time(*_: Any) -> None:
        times.append(monitor.clock())

    hook = register_optimizer_step_post_hook(note_time)
    try:
        {"lipe": lipe, "example": example}[options.system](options)
    finally:
        hook.remove()
    if len(times) != options.steps:
        raise RuntimeError(f"{options.system} made {len(times)} optimizer steps instead of {options.steps}")
    seconds = (times[-1] - times[_WARM_UP - 1]) / (options.steps - _WARM_UP)
    return {
        "seconds_per_step": seconds,
        "samples_per_second": 2 * options.batch / seconds,
        "peak_mb": monitor.peak_mb(),
    }


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    options.json.write_text(json.dumps(run(options)))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("system", choices=("lipe", "example"))
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder that `prepare` wrote")
    parser.add_argument("--example", type=Path, help="diffusers' train_dreambooth_lora_sdxl.py")
    parser.add_argument("--side", type=int, required=True, help="side of the images in pixels")
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--batch", type=int, default=1, help="references, and class images, per step")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args(argv)
    if options.steps <= _WARM_UP:
        parser.error(f"--steps must be more than {_WARM_UP}: the first {_WARM_UP} are the warm-up")
    if options.system == "example" and not (options.example and options.example.is_file()):
        parser.error("--example must name diffusers' train_dreambooth_lora_sdxl.py")
    return options


if __name__ == "__main__":
    main()
