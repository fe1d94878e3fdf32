"""Metrics of the edits beside the probe: DINOv2-I, CLIP-I, CLIP-T, CLIP-D, and SSIM and LPIPS of the background.

Any checkpoints can be the judges; for drawn images use the miniatures. Images are cropped to the union of the drawn
subject before and after the edit, so that all systems have the same crop. The background is outside both silhouettes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from benchmarks.quality_report import Run
from lipe_core.metrics.background import ssim
from lipe_core.metrics.crop import subject_crop
from lipe_core.metrics.features import Clip, ImageFeatures, load_clip, load_dinov2
from lipe_core.metrics.lpips import Distance, load_lpips
from lipe_core.metrics.similarity import (
    directional_similarity,
    image_similarity,
    subject_similarity,
    text_similarity,
)
from menagerie.attributes import Drawing
from menagerie.draw import mask
from menagerie.experiment import edit_request, image_of
from menagerie.subjects import DrawnSubject


@dataclass(frozen=True)
class Judges:
    """The models of the metrics. LPIPS is optional, because its weights are not part of this repository."""

    clip: Clip
    dinov2: ImageFeatures
    lpips: Distance | None = None


def load_judges(clip: str | Path, dinov2: str | Path, lpips: Path | None = None, device: str = "cpu") -> Judges:
    """Raises lipe_core.pretrained.InvalidModel."""
    return Judges(
        load_clip(clip, device=device),
        load_dinov2(dinov2, device=device),
        load_lpips(lpips, device=device) if lpips else None,
    )


def add_metrics(run: Run, drawn: DrawnSubject, judges: Judges) -> Run:
    """The run with these metrics added to its scores."""
    images = [run.image("image", k) for k in range(len(run.scores))]
    columns: dict[str, Tensor | Sequence[float]] = {
        **_identity(images, drawn, judges),
        **_text(images, drawn, judges.clip),
        **_background(images, drawn, judges.lpips),
    }
    scores = [
        {**score, **{name: float(values[k]) for name, values in columns.items()}} for k, score in enumerate(run.scores)
    ]
    return replace(run, scores=scores)


def _identity(images: Sequence[Image.Image], drawn: DrawnSubject, judges: Judges) -> dict[str, Tensor]:
    """Compare subject crops with the references, and whole images with the test image."""
    crops = [crop_to_subjects(image, drawn.test, edit.truth) for image, edit in zip(images, drawn.edits, strict=True)]
    references = [crop_to_subjects(image_of(drawing), drawing) for drawing in drawn.references]
    extractors: dict[str, ImageFeatures] = {"dinov2_i": judges.dinov2, "clip_i": judges.clip.images}
    columns = {}
    for name, extract in extractors.items():
        source = extract([image_of(drawn.test)]).expand(len(images), -1)
        columns[name] = subject_similarity(extract(crops), extract(references))
        columns[f"{name}_whole"] = image_similarity(extract(images), source)
    return columns


def _text(images: Sequence[Image.Image], drawn: DrawnSubject, clip: Clip) -> dict[str, Tensor]:
    """Compare edited images with their prompts."""
    request = edit_request(drawn)
    edited, target_text = clip.images(images), clip.texts(request.target_prompts)
    source, source_text = (
        rows.expand(len(images), -1)
        for rows in (clip.images([image_of(drawn.test)]), clip.texts([request.source_prompt]))
    )
    return {
        "clip_t": text_similarity(edited, target_text),
        "clip_d": directional_similarity(edited, source, target_text, source_text),
    }


def _background(
    images: Sequence[Image.Image], drawn: DrawnSubject, lpips: Distance | None
) -> dict[str, Sequence[float]]:
    """Compare edited images with the test image, outside of the drawn subject before and after the edit."""
    measures = {"background_ssim": ssim} | ({"background_lpips": lpips} if lpips else {})
    source, old = image_of(drawn.test), mask(drawn.test)
    backgrounds = [~(old | mask(edit.truth)) for edit in drawn.edits]
    return {
        name: [
            measure(np.asarray(image), np.asarray(source), where)
            for image, where in zip(images, backgrounds, strict=True)
        ]
        for name, measure in measures.items()
    }


def crop_to_subjects(image: Image.Image, *drawings: Drawing) -> Image.Image:
    """Crop the image to the union of the drawings' silhouettes."""
    silhouette = np.any([mask(drawing, image.width) for drawing in drawings], axis=0)
    return subject_crop(image, Image.fromarray(silhouette))
