"""How good is the checkpoint? ``python -m menagerie.report --captions 200 --seed S --json FILE``.

On fresh drawings: the VAE's PSNR, and how often the probe sees in a painted picture what its caption asked for. Plain
diffusers paints; the probe's own accuracy on fresh drawings is printed beside each figure, and is its ceiling.
"""

import argparse
import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionXLPipeline
from PIL import Image
from tqdm import tqdm

from lipe_core import precision
from menagerie.attributes import ATTRIBUTES, Drawing
from menagerie.captions import full_caption
from menagerie.models import CHECKPOINT
from menagerie.pool import drawing_of, render_many
from menagerie.probe import Probe, load_probe
from menagerie.sheet import Cell, contact_sheet
from menagerie.stages.vae import reconstruct

TARGETS = {"class_noun": 0.85, "color": 0.90, "background": 0.95, "pose": 0.85, "head": 0.75}
VAE_TARGET = 30.0
_BATCH = 25
_SHOWN = 24


@dataclass(frozen=True)
class Report:
    """``vae_psnr`` in dB; ``agreement`` and ``probe`` (its held-out accuracy) per attribute, in [0, 1]."""

    vae_psnr: float
    agreement: dict[str, float]
    probe: dict[str, float]


def paint(
    pipeline: StableDiffusionXLPipeline, captions: list[str], seed: int, steps: int, guidance_scale: float
) -> list[Image.Image]:
    """One picture per caption; picture k's noise is a function of (seed, k)."""
    pictures: list[Image.Image] = []
    for start in tqdm(range(0, len(captions), _BATCH), desc="painting", unit="batch"):
        chosen = captions[start : start + _BATCH]
        seeds = [int(np.random.default_rng([seed, start + k]).integers(2**63)) for k in range(len(chosen))]
        with precision.autocast(pipeline.device):
            pictures += pipeline(
                chosen,
                num_inference_steps=steps,
                guidance_scale=guidance_scale,
                generator=[torch.Generator().manual_seed(s) for s in seeds],
            ).images
    return pictures


def agreement(drawings: list[Drawing], pictures: list[Image.Image], probe: Probe) -> dict[str, float]:
    """The share of pictures in which the probe sees the caption's value, of those whose caption has one."""
    seen = probe.judge(pictures)
    asked = {name: np.array([drawing.labels()[name] for drawing in drawings]) for name in ATTRIBUTES}
    named = {name: asked[name] >= 0 for name in ATTRIBUTES}
    return {
        name: round(float((seen[name] == asked[name])[named[name]].mean()), 4)
        for name in ATTRIBUTES
        if named[name].any()
    }


def load_pipeline(checkpoint: Path) -> StableDiffusionXLPipeline:
    """The folder through plain diffusers, sampled by DDIM on the folder's own noise levels."""
    pipeline = StableDiffusionXLPipeline.from_pretrained(checkpoint)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to("cuda" if torch.cuda.is_available() else "cpu")


def render_table(report: Report) -> str:
    """The figures for a terminal, with the targets of those that have one."""
    lines = [f"VAE on fresh drawings: {report.vae_psnr:.2f} dB (target {VAE_TARGET:.0f})", ""]
    lines.append(f"{'attribute':<14}{'agreement':>10}{'target':>8}{'probe':>8}")
    for name, value in report.agreement.items():
        target = f"{TARGETS[name]:.0%}" if name in TARGETS else ""
        lines.append(f"{name:<14}{value:>10.1%}{target:>8}{report.probe[name]:>8.1%}")
    return "\n".join(lines)


def sheet(pictures: list[Image.Image], drawings: list[Drawing], probe: Probe) -> Image.Image:
    """Some painted pictures over their captions, and what the probe saw otherwise."""
    seen = probe.judge(pictures)
    cells = []
    for k, (picture, drawing) in enumerate(zip(pictures, drawings, strict=True)):
        wrong = [
            f"{name}: {ATTRIBUTES[name][seen[name][k]]}"
            for name, value in drawing.labels().items()
            if value >= 0 and seen[name][k] != value
        ]
        cells.append(Cell(picture, ", ".join(wrong) or "as asked", full_caption(drawing)))
    rows = [("", cells[k : k + 6]) for k in range(0, len(cells), 6)]
    return contact_sheet("Captions painted by the miniature; labels: what the probe saw otherwise", rows)


def main(argv: list[str] | None = None) -> Report:
    options = parse(argv)
    probe, pipeline = load_probe(), load_pipeline(options.checkpoint)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        # Index 1 of the seed keeps these drawings apart from every pool that was trained on.
        pool_seed = int(np.random.default_rng([options.seed, 1]).integers(2**31, 2**62))
        drawings = [drawing_of(pool_seed, k) for k in range(options.captions)]
        captions = [full_caption(drawing) for drawing in drawings]
        pictures = paint(pipeline, captions, options.seed, options.steps, options.guidance_scale)
        vae_psnr = reconstruct(pipeline.vae.eval(), render_many(pool_seed, min(200, options.captions), 128, 1))
    report = Report(round(vae_psnr, 3), agreement(drawings, pictures, probe), probe.held_out)
    print(render_table(report))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(asdict(report), indent=2) + "\n")
    if options.sheet:
        options.sheet.parent.mkdir(parents=True, exist_ok=True)
        sheet(pictures[:_SHOWN], drawings[:_SHOWN], probe).save(options.sheet)
    return report


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m menagerie.report", description=__doc__)
    parser.add_argument("--captions", type=int, default=200, help="how many captions are painted")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--sheet", type=Path, help="where a sheet of painted pictures goes")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--guidance-scale", type=float, default=5.0, help="5 is the SDXL pipeline's own")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
