"""What other judges than the probe say of a system's edits, by the pictures it left: DINOv2-I, CLIP-I, CLIP-T and
CLIP-D, and SSIM and LPIPS of the background.

The judges are any checkpoints; for drawn work the miniatures that know its world. Crops are cut along the drawn
subject, before and after the edit, so that all systems are seen through the same window; what neither silhouette
covers is the background.
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
from menagerie.experiment import edit_request, picture
from menagerie.subjects import DrawnSubject


@dataclass(frozen=True)
class Judges:
    """LPIPS, whose weights are not ours to ship, judges where they are at hand."""

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


def judged(run: Run, drawn: DrawnSubject, judges: Judges) -> Run:
    """The run with these judges' figures beside its scores."""
    images = [run.picture("image", k) for k in range(len(run.scores))]
    columns = {
        **_identity(images, drawn, judges),
        **_words(images, drawn, judges.clip),
        **_background(images, drawn, judges.lpips),
    }
    scores = [
        {**score, **{name: float(values[k]) for name, values in columns.items()}} for k, score in enumerate(run.scores)
    ]
    return replace(run, scores=scores)


def _identity(images: Sequence[Image.Image], drawn: DrawnSubject, judges: Judges) -> dict[str, Tensor]:
    """Subject crops against the references, and whole pictures against the test picture."""
    crops = [cut(image, drawn.test, edit.truth) for image, edit in zip(images, drawn.edits, strict=True)]
    references = [cut(picture(drawing), drawing) for drawing in drawn.references]
    columns = {}
    for name, look in (("dinov2_i", judges.dinov2), ("clip_i", judges.clip.images)):
        source = look([picture(drawn.test)]).expand(len(images), -1)
        columns[name] = subject_similarity(look(crops), look(references))
        columns[f"{name}_whole"] = image_similarity(look(images), source)
    return columns


def _words(images: Sequence[Image.Image], drawn: DrawnSubject, clip: Clip) -> dict[str, Tensor]:
    """Edited pictures against the prompts that asked for them."""
    request = edit_request(drawn)
    seen, meant = clip.images(images), clip.texts(request.target_prompts)
    source, said = (
        rows.expand(len(images), -1)
        for rows in (clip.images([picture(drawn.test)]), clip.texts([request.source_prompt]))
    )
    return {"clip_t": text_similarity(seen, meant), "clip_d": directional_similarity(seen, source, meant, said)}


def _background(
    images: Sequence[Image.Image], drawn: DrawnSubject, lpips: Distance | None
) -> dict[str, Sequence[float]]:
    """Edited pictures against the test picture, off the drawn subject before and after the edit."""
    measures = {"background_ssim": ssim} | ({"background_lpips": lpips} if lpips else {})
    source, old = picture(drawn.test), mask(drawn.test)
    places = [~(old | mask(edit.truth)) for edit in drawn.edits]
    return {
        name: [
            measure(np.asarray(image), np.asarray(source), where) for image, where in zip(images, places, strict=True)
        ]
        for name, measure in measures.items()
    }


def cut(image: Image.Image, *drawings: Drawing) -> Image.Image:
    """The picture cut to where the drawings have their subject."""
    silhouette = sum(mask(drawing, image.width) for drawing in drawings) > 0
    return subject_crop(image, Image.fromarray(silhouette))
