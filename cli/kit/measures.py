"""The paper's scores and LIPE's of stored runs. Photos have no true result, so every score compares with an input."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from cli.kit.runs import Run
from cli.kit.subjects import PhotoSubject, open_photo
from lipe_core.metrics.background import Region, RgbArray, outside, psnr, ssim
from lipe_core.metrics.crop import subject_crop
from lipe_core.metrics.features import Clip, ImageFeatures, load_clip, load_dinov2
from lipe_core.metrics.similarity import directional_similarity, subject_similarity, text_similarity

SCORES = {
    "dinov2_i": "DINOv2-I: cosine of the edited subject's crop with the references",
    "clip_i": "CLIP-I: the same by CLIP",
    "clip_t": "CLIP-T: cosine of the edited image with its prompt",
    "clip_d": "CLIP-D: cosine of the image's change with the prompt's change; 0 where nothing changed",
    "background_psnr": "PSNR in dB outside the masks, of the decoder's image before the source's pixels return",
    "background_ssim": "SSIM of the same",
    "changed_outside": "number of pixels of the result outside the edit mask that differ from the photo",
    "mask_share": "share of the image that may change",
}


@dataclass(frozen=True)
class Judges:
    """The networks that score."""

    clip: Clip
    dinov2: ImageFeatures
    names: tuple[str, str]


def load_judges(clip: str, dinov2: str, device: str) -> Judges:
    """Load both networks, each a folder or a hub id. Raises lipe_core.errors.InvalidModel."""
    names = Path(clip).name, Path(dinov2).name
    return Judges(load_clip(clip, device=device), load_dinov2(dinov2, device=device), names)


def measure(run: Run, subject: PhotoSubject, judges: Judges) -> list[dict[str, float]]:
    """The scores of each edit of a run, by the names of SCORES."""
    source = open_photo(subject.test)
    edited = [run.image("image", k) for k in range(len(run.prompts))]
    masks = [(run.image("source_mask", k), run.image("edit_mask", k)) for k in range(len(edited))]
    crops = [subject_crop(image, mask) for image, (_, mask) in zip(edited, masks, strict=True)]
    references = [open_photo(file) for file in subject.references]
    columns: dict[str, Sequence[float]] = {
        "dinov2_i": subject_similarity(judges.dinov2(crops), judges.dinov2(references)).tolist(),
        "clip_i": subject_similarity(judges.clip.images(crops), judges.clip.images(references)).tolist(),
        **_text_scores(edited, source, run.prompts, subject.source_prompt, judges.clip),
    }
    return [
        {name: float(values[k]) for name, values in columns.items()}
        | background_scores(edited[k], run.image("uncomposited", k), source, *masks[k])
        for k in range(len(edited))
    ]


def _text_scores(
    edited: Sequence[Image.Image], source: Image.Image, prompts: Sequence[str], source_prompt: str, clip: Clip
) -> dict[str, Sequence[float]]:
    images, texts = clip.images(edited), clip.texts(prompts)
    before, text_before = (
        rows.expand(len(edited), -1) for rows in (clip.images([source]), clip.texts([source_prompt]))
    )
    return {
        "clip_t": text_similarity(images, texts).tolist(),
        "clip_d": directional_similarity(images, before, texts, text_before).tolist(),
    }


def background_scores(
    image: Image.Image, uncomposited: Image.Image, source: Image.Image, source_mask: Image.Image, edit_mask: Image.Image
) -> dict[str, float]:
    """Scores of the pixels outside the masks. An edit that may change everything has no background: they are NaN."""
    result, decoded, photo = (np.asarray(part.convert("RGB")) for part in (image, uncomposited, source))
    grey = np.asarray(edit_mask.convert("L"))
    changed = int((result != photo).any(axis=2)[grey == 0].sum())
    background = outside(source_mask, edit_mask)
    return {
        "background_psnr": _or_nan(psnr, decoded, photo, background),
        "background_ssim": _or_nan(ssim, decoded, photo, background),
        "changed_outside": changed,
        "mask_share": float((grey > 127).mean()),
    }


def _or_nan(score: Callable[..., float], edited: RgbArray, source: RgbArray, background: Region) -> float:
    """The score, or NaN if too little background is left for it: SSIM needs some off the image's edge."""
    try:
        return score(edited, source, background)
    except ValueError:
        return float("nan")
