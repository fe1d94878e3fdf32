"""LIPE's speed and memory beside the usual ways: ``python -m benchmarks.speed --example SCRIPT``.

A prior beside diffusers' own example, an edit beside the same with stored attention maps, several prompts beside as
many edits. Variants take turns, each run in a process of its own, so that what else the machine does falls on all
alike; it should do nothing else. Writes table.md and table.json.
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
from benchmarks.editing import WATCHED
from benchmarks.measure import measured, ratios
from benchmarks.sdxl_size import Scale
from benchmarks.training import prepare
from lipe_core import sdxl
from menagerie.models import CHECKPOINT

Runs = Mapping[str, list[dict[str, Any]]]
"""For each variant what its runs measured, in the order of the repeats."""

_LARGER = Scale(width=64)
"""SDXL's own depth and pictures, as narrow as its heads allow: what a CPU can edit in a minute."""


@dataclass(frozen=True)
class Comparison:
    """One table: LIPE's variant first, and what its runs are compared by."""

    title: str
    runs: Runs

    def as_markdown(self) -> str:
        """A row for each variant: its medians, and its ratio to the first one's run of the same turn."""
        reference = next(iter(self.runs))
        names = list(self.runs[reference][0])
        time = "seconds" if "seconds" in names else "seconds_per_step"
        lines = [f"**{self.title}**", "", f"| | {' | '.join(names)} | time, of {reference}'s |"]
        lines.append("|---" * (len(names) + 2) + "|")
        for variant, runs in self.runs.items():
            cells = [f"{statistics.median(run[name] for run in runs):.4g}" for name in names]
            ratio = ratios([run[time] for run in runs], [run[time] for run in self.runs[reference]])
            lines.append(f"| {variant} | {' | '.join(cells)} | {ratio} |")
        return "\n".join([*lines, ""])


def in_turns(variants: Mapping[str, Callable[[], dict[str, Any]]], repeats: int, title: str) -> Comparison:
    """Each variant once, then each once more, and so on."""
    runs: dict[str, list[dict[str, Any]]] = {variant: [] for variant in variants}
    with tqdm(total=repeats * len(variants), desc=title, unit="run") as bar:
        for _ in range(repeats):
            for variant, run in variants.items():
                runs[variant].append(run())
                tqdm.write(f"{variant}: {json.dumps(runs[variant][-1])}")  # a run that is cut short has said this much
                bar.update()
    return Comparison(title, runs)


def compare_training(
    work: Sequence[str], example: Path | None, batch: int, steps: int, repeats: int, title: str
) -> Comparison:
    """A prior by LIPE, and by the example where its script is at hand."""
    settings = [*work, "--batch", str(batch), "--steps", str(steps)]
    variants = {"LIPE": lambda: measured("benchmarks.training", "lipe", *settings)}
    if example:
        variants["diffusers' example"] = lambda: measured(
            "benchmarks.training", "example", *settings, "--example", str(example)
        )
    return in_turns(variants, repeats, f"{title}, {batch} + {batch} pictures a step, {steps} steps")


def compare_edits(work: Sequence[str], steps: int, repeats: int, title: str) -> Comparison:
    """One edit watched in each way, and LIPE's of four prompts at once."""

    def variant(system: str, prompts: int) -> Callable[[], dict[str, Any]]:
        settings = ["--steps", str(steps), "--prompts", str(prompts)]
        return lambda: measured("benchmarks.editing", system, *work, *settings)

    variants = {"LIPE" if system == "lipe" else system: variant(system, 1) for system in WATCHED}
    return in_turns(variants | {"LIPE, 4 prompts": variant("lipe", 4)}, repeats, f"{title}, {steps} steps")


def write(comparisons: Sequence[Comparison], out: Path, facts: str) -> str:
    """Write table.md and table.json; returns the tables."""
    out.mkdir(parents=True, exist_ok=True)
    text = "\n".join([*(comparison.as_markdown() for comparison in comparisons), facts, ""])
    (out / "table.md").write_text(text)
    figures = {comparison.title: comparison.runs for comparison in comparisons}
    (out / "table.json").write_text(json.dumps(figures, indent=2) + "\n")
    return text


def device_facts(device: str, dtype: str, repeats: int) -> str:
    """On what it was measured, and how."""
    if torch.device(device).type == "cuda":
        return f"{torch.cuda.get_device_name()}, {dtype}; medians of {repeats}; seconds are the wall's."
    return f"CPU, {dtype}, {torch.get_num_threads()} threads; medians of {repeats}, in turns; seconds are the wall's."


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        model = sdxl.load(CHECKPOINT)
        data, side = prepare(model, place / "data"), model.native_size
        larger = sdxl_size.write_checkpoint(place / "larger", _LARGER)
        device = ["--device", options.device, "--dtype", options.dtype]
        miniature = ["--checkpoint", str(CHECKPOINT), *device]
        training = [*miniature, "--data", str(data), "--side", str(side)]
        work = ["--checkpoint", str(larger), *device]
        title = f"An edit, SDXL at depth {_LARGER.depth}, width {_LARGER.width}, {_LARGER.side} pixels"
        comparisons = (
            *(
                partial(compare_training, training, options.example, batch, options.steps, title="A prior, miniature")
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
    parser.add_argument("--example", type=Path, help="the script; without it, LIPE's training alone is measured")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4], help="references a step")
    parser.add_argument("--steps", type=int, default=14, help="of a training")
    parser.add_argument("--edit-steps", type=int, default=20, help="of an edit on the miniature")
    parser.add_argument("--larger-steps", type=int, default=5, help="of an edit on the larger random network")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--out", type=Path, default=Path("out/speed"))
    options = parser.parse_args(argv)
    if options.example and not options.example.is_file():
        parser.error(f"--example {options.example} is no file: give diffusers' train_dreambooth_lora_sdxl.py")
    return options


if __name__ == "__main__":
    main()
