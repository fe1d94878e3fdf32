"""Survival and false alarms of the watermark: ``python -m benchmarks.watermark --unmarked 1000 --marked 60``.

The images are drawings, of 768 x 768 pixels, and with --photos random crops of the photos of a folder. The marked
region of a drawing is its subject; that of a photo is an ellipse of 10 to 50 % of its area.
"""

import argparse
import io
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from menagerie.draw import mask as subject_mask
from menagerie.draw import render
from menagerie.pool import drawing_of
from provenance.watermark import THRESHOLD, WHITE, detect, embed

SEED, SIDE, KEY = 24681, 768, b"benchmark"
Change = Callable[[Image.Image], Image.Image]
Marked = tuple[Image.Image, Image.Image]


def main() -> None:
    """Print one line for each change, and one for the unmarked images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="a folder of photos, for half of the images")
    parser.add_argument("--unmarked", type=int, default=1000)
    parser.add_argument("--marked", type=int, default=60)
    arguments = parser.parse_args()
    photos = sorted(arguments.photos.iterdir()) if arguments.photos else []
    rng = np.random.default_rng(SEED)
    survive(samples(photos, arguments.marked, rng))
    raise_alarms(samples(photos, arguments.unmarked, rng))


def survive(marked: Iterator[Marked]) -> None:
    """Print the detection rate and the lowest and median score after each change, and the error inside the region."""
    scores: dict[str, list[float]] = {}
    errors, rng = [], np.random.default_rng(SEED + 1)
    for image, mask in marked:
        result = embed(image, mask, KEY)
        inside = np.asarray(mask) >= WHITE
        before, after = np.asarray(image, float), np.asarray(result, float)
        if (before[~inside] != after[~inside]).any():
            raise AssertionError("the mark left its region")
        errors.append(10 * np.log10(255**2 / np.mean((before - after)[inside] ** 2)))
        for name, change in changes(rng).items():
            scores.setdefault(name, []).append(detect(change(result), KEY).score)
    print(f"{len(errors)} marked images; PSNR inside the region: {_spread(errors)} dB")
    for name, found in scores.items():
        rate = np.mean(np.array(found) >= THRESHOLD)
        print(f"{name:22} found {rate:6.1%}, score {_spread(found)}", flush=True)


def raise_alarms(unmarked: Iterator[Marked]) -> None:
    """Print how many unmarked images are taken for marked ones, and the seconds of a detection."""
    start = time.process_time()
    found = [detect(image, KEY).score for image, _ in unmarked]
    seconds = (time.process_time() - start) / max(len(found), 1)
    print(f"{len(found)} unmarked images: {sum(score >= THRESHOLD for score in found)} false alarms", end="")
    print(f" at {THRESHOLD}; highest score {max(found):.2f}; {seconds:.2f} CPU seconds each", flush=True)


def changes(rng: np.random.Generator) -> Mapping[str, Change]:
    """The changes that a published image meets."""
    qualities: dict[str, Change] = {f"JPEG {quality}": partial(_jpeg, quality=quality) for quality in (95, 80, 65, 50)}
    return {
        "unchanged": lambda image: image,
        **qualities,
        "half": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC),
        "half, JPEG 70": lambda image: _jpeg(image.resize((image.width // 2, image.height // 2)), quality=70),
        "crop to 60 %": partial(_crop, rng=rng, share=0.6),
        "crop to 60 %, JPEG 70": lambda image: _jpeg(_crop(image, rng=rng, share=0.6), quality=70),
        "like a screenshot": _screenshot,
    }


def samples(photos: list[Path], count: int, rng: np.random.Generator) -> Iterator[Marked]:
    """Images and their edited regions: drawings, and every second one a crop of a photo if there are some."""
    for index in range(count):
        if photos and index % 2:
            yield _photo(Image.open(photos[int(rng.integers(len(photos)))]).convert("RGB"), rng)
        else:
            drawing = drawing_of(SEED, int(rng.integers(1 << 30)))
            silhouette = Image.fromarray(subject_mask(drawing, SIDE).astype(np.uint8) * 255)
            yield Image.fromarray(render(drawing, SIDE)), silhouette


def _photo(photo: Image.Image, rng: np.random.Generator) -> Marked:
    crop = _crop(photo, rng=rng, share=float(rng.uniform(0.75, 1)))
    share = np.sqrt(rng.uniform(0.1, 0.5) * 4 / np.pi)  # of each side, for an ellipse of this area
    width, height = (int(length * min(share, 1)) for length in crop.size)
    left, top = (int(rng.integers(whole - part + 1)) for whole, part in zip(crop.size, (width, height), strict=True))
    mask = Image.new("L", crop.size)
    ImageDraw.Draw(mask).ellipse((left, top, left + width - 1, top + height - 1), fill=255)
    return crop, mask


def _crop(image: Image.Image, *, rng: np.random.Generator, share: float) -> Image.Image:
    """A part with this share of each side."""
    width, height = int(image.width * share), int(image.height * share)
    left, top = int(rng.integers(image.width - width + 1)), int(rng.integers(image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def _jpeg(image: Image.Image, *, quality: int) -> Image.Image:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality)
    return Image.open(content).convert("RGB")


def _screenshot(image: Image.Image) -> Image.Image:
    """The image as a page shows it: smaller, beside other things, with another gamma, as JPEG 75."""
    shown = image.resize((int(image.width * 0.73), int(image.height * 0.73)), Image.Resampling.BILINEAR)
    page = Image.new("RGB", (shown.width + 160, shown.height + 220), (245, 245, 245))
    page.paste(shown, (80, 120))
    return _jpeg(page.point(lambda level: round(255 * (level / 255) ** 0.95)), quality=75)


def _spread(values: list[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f}, median {np.median(values):.1f}"


if __name__ == "__main__":
    main()
