"""Measure a miniature on fresh drawings: ``python -m menagerie.report --captions 200 --seed S --json FILE``.

The report has the PSNR of the VAE and the agreement of each attribute: the share of generated images in which the
probe finds the value of the caption. Plain diffusers generates the images. The probe's own accuracy on fresh drawings
is printed beside each figure: no figure can exceed it.

`clean` is the share of images in which the probe finds every value of the caption. Unlike the `clean` of an edit, it
does not count damage: the wholeness network needs the true image, and a caption does not say where the subject stands.
"""

import argparse
import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, Flux2KleinPipeline, StableDiffusionXLPipeline
from PIL import Image
from tqdm import tqdm

from lipe_core import backbone, precision
from lipe_core.backbone import BaseModel
from lipe_core.metrics.background import psnr
from menagerie.attributes import ATTRIBUTES, Drawing
from menagerie.captions import full_caption
from menagerie.miniatures import add_options, load_chosen
from menagerie.pool import drawing_of, render_many
from menagerie.probe import Probe, load_probe
from menagerie.sheet import Cell, contact_sheet

TARGETS = {"class_noun": 0.85, "color": 0.90, "background": 0.95, "pose": 0.85, "head": 0.75}
VAE_TARGET = 30.0
_BATCH = 25
_SHEET_CELLS = 24


@dataclass(frozen=True)
class Report:
    """`vae_psnr` in dB; `agreement` and `probe` (its accuracy on held-out drawings) per attribute, in [0, 1].

    `clean` is the share of images in which all attributes agree.
    """

    vae_psnr: float
    clean: float
    agreement: dict[str, float]
    probe: dict[str, float]


def generate(
    pipeline: DiffusionPipeline, captions: list[str], seed: int, steps: int, guidance_scale: float | None
) -> list[Image.Image]:
    """Generate one image per caption. The noise of image k is a function of (seed, k)."""
    side = pipeline.vae.config.sample_size
    settings = {} if guidance_scale is None else {"guidance_scale": guidance_scale}
    if isinstance(pipeline, Flux2KleinPipeline):
        settings["max_sequence_length"] = pipeline.tokenizer.model_max_length
    images: list[Image.Image] = []
    for start in tqdm(range(0, len(captions), _BATCH), desc="generating", unit="batch"):
        chosen = captions[start : start + _BATCH]
        seeds = [int(np.random.default_rng([seed, start + k]).integers(2**63)) for k in range(len(chosen))]
        with precision.autocast(pipeline.device):
            images += pipeline(
                prompt=chosen,
                height=side,
                width=side,
                num_inference_steps=steps,
                generator=[torch.Generator().manual_seed(s) for s in seeds],
                **settings,
            ).images
    return images


def agreement(drawings: list[Drawing], images: list[Image.Image], probe: Probe) -> dict[str, float]:
    """Per attribute, the share of images in which the probe finds the caption's value, of those that have a value."""
    predicted = probe.judge(images)
    true = {name: np.array([drawing.labels()[name] for drawing in drawings]) for name in ATTRIBUTES}
    has_value = {name: true[name] >= 0 for name in ATTRIBUTES}
    return {
        name: round(float((predicted[name] == true[name])[has_value[name]].mean()), 4)
        for name in ATTRIBUTES
        if has_value[name].any()
    }


def clean_share(drawings: list[Drawing], images: list[Image.Image], probe: Probe) -> float:
    """The share of images in which the probe finds the caption's value of every attribute that has one."""
    predicted = probe.judge(images)
    right = [
        all(predicted[name][k] == value for name, value in drawing.labels().items() if value >= 0)
        for k, drawing in enumerate(drawings)
    ]
    return round(float(np.mean(right)), 4)


def load_pipeline(checkpoint: str, device: str) -> DiffusionPipeline:
    """Load the folder with plain diffusers. SDXL samples with DDIM, on the folder's own noise schedule."""
    pipeline = DiffusionPipeline.from_pretrained(checkpoint)
    if isinstance(pipeline, StableDiffusionXLPipeline):
        pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


@torch.no_grad()
def reconstruction_psnr(model: BaseModel, images: npt.NDArray[np.uint8]) -> float:
    """Mean PSNR in dB of images (n, size, size, 3) that the VAE encodes and decodes."""
    decoded = [backbone.decode(model, backbone.encode_image(model, [Image.fromarray(image)]))[0] for image in images]
    return float(np.mean([psnr(np.asarray(found), image) for found, image in zip(decoded, images, strict=True)]))


def render_table(report: Report) -> str:
    """The figures as a text table, with targets where there are any."""
    lines = [f"VAE on fresh drawings: {report.vae_psnr:.2f} dB (target {VAE_TARGET:.0f})"]
    lines += [f"clean (all attributes right): {report.clean:.1%}", ""]
    lines.append(f"{'attribute':<14}{'agreement':>10}{'target':>8}{'probe':>8}")
    for name, value in report.agreement.items():
        target = f"{TARGETS[name]:.0%}" if name in TARGETS else ""
        lines.append(f"{name:<14}{value:>10.1%}{target:>8}{report.probe[name]:>8.1%}")
    return "\n".join(lines)


def sheet(images: list[Image.Image], drawings: list[Drawing], probe: Probe) -> Image.Image:
    """Generated images with their captions, and the values that the probe finds instead."""
    predicted = probe.judge(images)
    cells = []
    for k, (image, drawing) in enumerate(zip(images, drawings, strict=True)):
        wrong = [
            f"{name}: {ATTRIBUTES[name][predicted[name][k]]}"
            for name, value in drawing.labels().items()
            if value >= 0 and predicted[name][k] != value
        ]
        cells.append(Cell(image, ", ".join(wrong) or "correct", full_caption(drawing)))
    rows = [("", cells[k : k + 6]) for k in range(0, len(cells), 6)]
    return contact_sheet("Images generated from captions, with the values that the probe finds instead", rows)


def main(argv: list[str] | None = None) -> Report:
    options = parse(argv)
    probe, model = load_probe(), load_chosen(options)
    pipeline = load_pipeline(model.checkpoint, options.device)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        # The index 1 makes this seed different from those of all training pools.
        pool_seed = int(np.random.default_rng([options.seed, 1]).integers(2**31, 2**62))
        drawings = [drawing_of(pool_seed, k) for k in range(options.captions)]
        captions = [full_caption(drawing) for drawing in drawings]
        images = generate(pipeline, captions, options.seed, options.steps, options.guidance_scale)
        vae_psnr = reconstruction_psnr(model, render_many(pool_seed, min(200, options.captions), 128, 1))
    report = Report(
        round(vae_psnr, 3),
        clean_share(drawings, images, probe),
        agreement(drawings, images, probe),
        probe.held_out,
    )
    print(render_table(report))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(asdict(report), indent=2) + "\n")
    if options.sheet:
        options.sheet.parent.mkdir(parents=True, exist_ok=True)
        sheet(images[:_SHEET_CELLS], drawings[:_SHEET_CELLS], probe).save(options.sheet)
    return report


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m menagerie.report", description=__doc__)
    parser.add_argument("--captions", type=int, default=200, help="number of captions")
    parser.add_argument("--seed", type=int, default=1, help="seed of the drawings and of the noise")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--sheet", type=Path, help="write a sheet of generated images to this file")
    add_options(parser)
    parser.add_argument("--steps", type=int, default=30, help="sampling steps")
    parser.add_argument("--guidance-scale", type=float, help="default: that of diffusers' pipeline")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
