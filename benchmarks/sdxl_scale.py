"""Measure training and edits at the size of SDXL: ``python -m benchmarks.sdxl_scale --device cuda``.

The benchmark writes a checkpoint of the public configuration with random weights, trains a prior and edits an image,
each beside the usual implementation. It reports the share of the device's maximal FLOPs that each reaches. On a CPU use
less than the full size: --depth, --width and --side.
"""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

import torch

from benchmarks import sdxl_size
from benchmarks.measure import run_measured
from benchmarks.sdxl_size import Scale
from benchmarks.speed import Comparison, compare_edits, compare_training, device_facts, write
from benchmarks.training import prepare
from lipe_core import sdxl

_BATCH = 1


def prepared(folder: Path, scale: Scale, device: str, dtype: torch.dtype) -> tuple[Path, Path]:
    """Write the checkpoint and the training data. The model is freed on return: the variants need the memory."""
    checkpoint = sdxl_size.write_checkpoint(folder / "checkpoint", scale, dtype)
    model = sdxl.load(checkpoint, device=device, dtype=dtype)
    data = prepare(model, folder / "data")
    del model
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
    return checkpoint, data


def shares(training: Comparison, edits: Comparison, flops: dict[str, float]) -> str:
    """The FLOPs of a step and of an evaluation, and the share of the device's maximum that each variant reaches."""
    ceiling = flops["ceiling"]
    lines = [
        f"Fastest matrix product: {ceiling / 1e12:.3g} TFLOP/s. One network evaluation of one row: "
        f"{flops['evaluation'] / 1e12:.3g} TFLOP; one training step: {flops['training_step'] / 1e12:.3g} TFLOP.",
        "",
    ]
    for variant, runs in training.runs.items():
        rate = flops["training_step"] / statistics.median(run["seconds_per_step"] for run in runs)
        lines.append(f"- {variant}, training: {rate / ceiling:.1%} of this rate")
    for variant, runs in edits.runs.items():
        rate = runs[0]["evaluations"] * flops["evaluation"] / statistics.median(run["seconds"] for run in runs)
        lines.append(f"- {variant}, edit: {rate / ceiling:.1%} of this rate")
    return "\n".join([*lines, ""])


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    scale, dtype = Scale(options.depth, options.width, options.side), getattr(torch, options.dtype)
    scratch = Path(tempfile.mkdtemp())
    try:
        checkpoint, data = prepared(scratch, scale, options.device, dtype)
        work = ["--checkpoint", str(checkpoint), "--device", options.device, "--dtype", options.dtype]
        size = f"SDXL at depth {scale.depth}, width {scale.width}, {scale.side} pixels"
        flops = run_measured("benchmarks.flops", *work, "--data", str(data), "--batch", str(_BATCH))
        training = compare_training(
            [*work, "--data", str(data), "--side", str(scale.side)], options.example, _BATCH, options.steps,
            options.repeats, f"A prior, {size}",
        )  # fmt: skip
        edits = compare_edits(work, options.edit_steps, options.repeats, f"An edit, {size}")
    finally:
        shutil.rmtree(scratch)
    facts = shares(training, edits, flops) + device_facts(options.device, options.dtype, options.repeats)
    print(write([training, edits], options.out, facts))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sdxl_scale", description=__doc__)
    full = Scale()
    parser.add_argument("--depth", type=int, default=full.depth, help="transformer layers of the deepest level")
    parser.add_argument("--width", type=int, default=full.width, help="channels of the outermost level")
    parser.add_argument("--side", type=int, default=full.side, help="side of the images in pixels")
    parser.add_argument("--steps", type=int, default=50, help="steps of the training")
    parser.add_argument("--edit-steps", type=int, default=50, help="steps of the edit")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each variant")
    parser.add_argument("--example", type=Path, help="diffusers' train_dreambooth_lora_sdxl.py, to compare with")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), default=None, help="default: bfloat16 on a GPU, float32 on a CPU"
    )
    parser.add_argument("--out", type=Path, default=Path("out/sdxl"), help="output folder")
    options = parser.parse_args(argv)
    options.dtype = options.dtype or ("bfloat16" if torch.device(options.device).type == "cuda" else "float32")
    return options


if __name__ == "__main__":
    main()
