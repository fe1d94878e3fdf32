"""Compare LIPE's speed and memory with the usual implementations: ``python -m benchmarks.speed --example SCRIPT``.

The benchmark compares a training with diffusers' example, and an edit with the same edit with stored attention maps.
It also measures four prompts in one request. Variants run in turns, each in a process of its own, so that other load
affects all alike; the machine should have no other load. It writes table.md and table.json.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks import sdxl_size
from benchmarks.editing import ATTENTION_RECORDERS
from benchmarks.measure import ratios, run_measured
from benchmarks.sdxl_size import Scale
from benchmarks.training import prepare
from lipe_core import sdxl
from menagerie.models import CHECKPOINT

Runs = Mapping[str, list[dict[str, Any]]]
"""For each variant, the figures of its runs in the order of the repeats."""

_LARGER = Scale(width=64)
"""SDXL's depth and image size with the smallest possible width: a CPU edits an image in a minute."""


@dataclass(frozen=True)
class Comparison:
    """The runs of one table. The first variant is the reference."""

    title: str
    runs: Runs

    def as_markdown(self) -> str:
        """A row for each variant: its medians, and the ratio of its time to the reference in the same turn."""
        reference = next(iter(self.runs))
        names = list(self.runs[reference][0])
        time = "seconds" if "seconds" in names else "seconds_per_step"
        lines = [f"**{self.title}**", "", f"| | {' | '.join(names)} | time, relative to {reference} |"]
        lines.append("|---" * (len(names) + 2) + "|")
        for variant, runs in self.runs.items():
            cells = [f"{statistics.median(run[name] for run in runs):.4g}" for name in names]
            ratio = ratios([run[time] for run in runs], [run[time] for run in self.runs[reference]])
            lines.append(f"| {variant} | {' | '.join(cells)} | {ratio} |")
        return "\n".join([*lines, ""])


def in_turns(variants: Mapping[str, Callable[[], dict[str, Any]]], repeats: int, title: str) -> Comparison:
    """Run all variants in turns, `repeats` times."""
    runs: dict[str, list[dict[str, Any]]] = {variant: [] for variant in variants}
    with tqdm(total=repeats * len(variants), desc=title, unit="run") as bar:
        for _ in range(repeats):
            for variant, run in variants.items():
                runs[variant].append(run())
                tqdm.write(f"{variant}: {json.dumps(runs[variant][-1])}")  # for a run that is interrupted
                bar.update()
    return Comparison(title, runs)


def compare_training(
    work: Sequence[str], example: Path | None, batch: int, steps: int, repeats: int, title: str
) -> Comparison:
    """Compare the training of LIPE with that of the example, if its script is given."""
    settings = [*work, "--batch", str(batch), "--steps", str(steps)]
    variants = {"LIPE": lambda: run_measured("benchmarks.training", "lipe", *settings)}
    if example:
        variants["diffusers' example"] = lambda: run_measured(
            "benchmarks.training", "example", *settings, "--example", str(example)
        )
    return in_turns(variants, repeats, f"{title}, {batch} + {batch} images per step, {steps} steps")


def compare_edits(work: Sequence[str], steps: int, repeats: int, title: str) -> Comparison:
    """Compare one edit with each way of recording attention, and LIPE's edit of four prompts at once."""

    def variant(system: str, prompts: int) -> Callable[[], dict[str, Any]]:
        settings = ["--steps", str(steps), "--prompts", str(prompts)]
        return lambda: run_measured("benchmarks.editing", system, *work, *settings)

    variants = {"LIPE" if system == "lipe" else system: variant(system, 1) for system in ATTENTION_RECORDERS}
    return in_turns(variants | {"LIPE, 4 prompts": variant("lipe", 4)}, repeats, f"{title}, {steps} steps")


def write(comparisons: Sequence[Comparison], out: Path, facts: str) -> str:
    """Write table.md and table.json. Returns the tables."""
    out.mkdir(parents=True, exist_ok=True)
    text = "\n".join([*(comparison.as_markdown() for comparison in comparisons), facts, ""])
    (out / "table.md").write_text(text)
    figures = {comparison.title: comparison.runs for comparison in comparisons}
    (out / "table.json").write_text(json.dumps(figures, indent=2) + "\n")
    return text


def device_facts(device: str, dtype: str, repeats: int) -> str:
    """A sentence on the device and the method of measurement."""
    if torch.device(device).type == "cuda":
        return f"{torch.cuda.get_device_name()}, {dtype}; medians of {repeats}; seconds are wall-clock time."
    return (
        f"CPU, {dtype}, {torch.get_num_threads()} threads; medians of {repeats}, in turns; seconds are wall-clock time."
    )


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = sdxl.load(CHECKPOINT)
        data, side = prepare(model, folder / "data"), model.native_size
        larger = sdxl_size.write_checkpoint(folder / "larger", _LARGER)
        device = ["--device", options.device, "--dtype", options.dtype]
        miniature = ["--checkpoint", str(CHECKPOINT), *device]
        training = [*miniature, "--data", str(data), "--side", str(side)]
        work = ["--checkpoint", str(larger), *device]
        title = f"An edit, SDXL at depth {_LARGER.depth}, width {_LARGER.width}, {_LARGER.side} pixels"
        comparisons = (
            *(
                partial(compare_training, training, options.example, batch, options.steps, title="Training, miniature")
                for batch in options.batches
            ),
            partial(compare_edits, miniature, options.edit_steps, title="An edit, miniature"),
            partial(compare_edits, work, options.larger_steps, title=title),
        )
        tables: list[Comparison] = []
        for compare in comparisons:
            tables.append(compare(repeats=options.repeats))
            text = write(tables, options.out, device_facts(options.device, options.dtype, options.repeats))
    print(text)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument(
        "--example",
        type=Path,
        help="diffusers' train_dreambooth_lora_sdxl.py; without it, only LIPE's training is measured",
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4], help="references per step")
    parser.add_argument("--steps", type=int, default=14, help="steps of a training")
    parser.add_argument("--edit-steps", type=int, default=20, help="steps of an edit on the miniature")
    parser.add_argument("--larger-steps", type=int, default=5, help="steps of an edit on the larger random network")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each variant")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--out", type=Path, default=Path("out/speed"), help="output folder")
    options = parser.parse_args(argv)
    if options.example and not options.example.is_file():
        parser.error(f"--example {options.example} is not a file: give diffusers' train_dreambooth_lora_sdxl.py")
    return options


if __name__ == "__main__":
    main()
