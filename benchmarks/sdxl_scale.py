"""SDXL's size: ``python -m benchmarks.sdxl_scale --device cuda``; on a CPU smaller, by --depth, --width and --side.

Writes a checkpoint of the public configuration with random weights, learns a prior on it and edits a picture, each
beside the usual way, and tells what share of the device's matrix products a second they reach.
"""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

import torch

from benchmarks import sdxl_size
from benchmarks.measure import measured
from benchmarks.sdxl_size import Scale
from benchmarks.speed import Comparison, compare_edits, compare_training, device_facts, write
from benchmarks.training import prepare
from lipe_core import sdxl

_BATCH = 1


def prepared(folder: Path, scale: Scale, device: str, dtype: torch.dtype) -> tuple[Path, Path]:
    """The checkpoint, and what a training reads. The model is gone when it returns: the variants need its room."""
    checkpoint = sdxl_size.write_checkpoint(folder / "checkpoint", scale, dtype)
    model = sdxl.load(checkpoint, device=device, dtype=dtype)
    data = prepare(model, folder / "data")
    del model
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
    return checkpoint, data


def shares(training: Comparison, edits: Comparison, found: dict[str, float]) -> str:
    """Model FLOPs of a step and of an edit, and what share of the device's ceiling each variant makes of them."""
    ceiling = found["ceiling"]
    lines = [
        f"Ceiling of matrix products: {ceiling / 1e12:.3g} TFLOP/s. One network evaluation of one row: "
        f"{found['evaluation'] / 1e12:.3g} TFLOP; one training step: {found['training_step'] / 1e12:.3g} TFLOP.",
        "",
    ]
    for variant, runs in training.runs.items():
        rate = found["training_step"] / statistics.median(run["seconds_per_step"] for run in runs)
        lines.append(f"- {variant}, training: {rate / ceiling:.1%} of the ceiling")
    for variant, runs in edits.runs.items():
        rate = runs[0]["evaluations"] * found["evaluation"] / statistics.median(run["seconds"] for run in runs)
        lines.append(f"- {variant}, edit: {rate / ceiling:.1%} of the ceiling")
    return "\n".join([*lines, ""])


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    scale, dtype = Scale(options.depth, options.width, options.side), getattr(torch, options.dtype)
    scratch = Path(tempfile.mkdtemp())
    try:
        checkpoint, data = prepared(scratch, scale, options.device, dtype)
        work = ["--checkpoint", str(checkpoint), "--device", options.device, "--dtype", options.dtype]
        size = f"SDXL at depth {scale.depth}, width {scale.width}, {scale.side} pixels"
        found = measured("benchmarks.flops", *work, "--data", str(data), "--batch", str(_BATCH))
        training = compare_training(
            [*work, "--data", str(data), "--side", str(scale.side)], options.example, _BATCH, options.steps,
            options.repeats, f"A prior, {size}",
        )  # fmt: skip
        edits = compare_edits(work, options.edit_steps, options.repeats, f"An edit, {size}")
    finally:
        shutil.rmtree(scratch)
    facts = shares(training, edits, found) + device_facts(options.device, options.dtype, options.repeats)
    print(write([training, edits], options.out, facts))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sdxl_scale", description=__doc__)
    full = Scale()
    parser.add_argument("--depth", type=int, default=full.depth, help="transformer layers of the deepest level")
    parser.add_argument("--width", type=int, default=full.width, help="channels of the outermost level")
    parser.add_argument("--side", type=int, default=full.side, help="of the pictures")
    parser.add_argument("--steps", type=int, default=50, help="of the training")
    parser.add_argument("--edit-steps", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--example", type=Path, help="diffusers' train_dreambooth_lora_sdxl.py, to run beside")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default=None, help="the device's own by default")
    parser.add_argument("--out", type=Path, default=Path("out/sdxl"))
    options = parser.parse_args(argv)
    options.dtype = options.dtype or ("bfloat16" if torch.device(options.device).type == "cuda" else "float32")
    return options


if __name__ == "__main__":
    main()
