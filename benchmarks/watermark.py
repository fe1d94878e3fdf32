"""Survival, messages and false alarms of the watermark: ``python -m benchmarks.watermark --unmarked 1000 --marked 60``.

The images are drawings, of 768 x 768 pixels, and with --photos random crops of the photos of a folder. The marked
region of a drawing is its subject; that of a photo is an ellipse of 10 to 50 % of its area. Each image is marked twice:
without a message and with one.

--regions marks squares of several sides instead, in images of 1,024 x 1,024 pixels: drawings, and photos that are
enlarged and get noise.
"""

import argparse
import io
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from menagerie.draw import mask as subject_mask
from menagerie.draw import render
from menagerie.pool import drawing_of
from provenance.watermark import WHITE, Found, detect, embed
from provenance.watermark_message import BITS

SEED, SIDE, KEY = 24681, 768, b"benchmark"
Change = Callable[[Image.Image], Image.Image]
Marked = tuple[Image.Image, Image.Image]


LARGE = 1024


@dataclass
class Tally:
    """The outcomes of one change: scores of marks without and with a message, found ones, and messages."""

    before: list[Found] = field(default_factory=list)
    after: list[Found] = field(default_factory=list)
    right: int = 0
    wrong: int = 0


def main() -> None:
    """Print one line for each change, and one for the unmarked images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="a folder of photos, for half of the images")
    parser.add_argument("--unmarked", type=int, default=1000)
    parser.add_argument("--marked", type=int, default=60)
    parser.add_argument("--regions", type=int, nargs="*", default=[], help="sides of squares, in pixels")
    parser.add_argument("--processes", type=int, default=1, help="processes that measure marked images")
    arguments = parser.parse_args()
    photos = sorted(arguments.photos.iterdir()) if arguments.photos else []
    for side in arguments.regions:
        print(f"regions of {side} x {side} pixels in images of {LARGE} x {LARGE}")
        survive(squares(photos, arguments.marked, side, np.random.default_rng(SEED + 2)), arguments.processes)
    if arguments.marked and not arguments.regions:
        survive(samples(photos, arguments.marked, np.random.default_rng(SEED)), arguments.processes)
    if arguments.unmarked:
        raise_alarms(samples(photos, arguments.unmarked, np.random.default_rng(SEED + 3)))


def survive(marked: Iterator[Marked], processes: int) -> None:
    """Print the rates of detection and of messages after each change, and the error inside the region."""
    tallies: dict[str, Tally] = {}
    with ProcessPoolExecutor(processes) as pool:
        measured = list(pool.map(_measure, marked, count()))
    for _, outcomes in measured:
        for name, (message, before, after) in outcomes.items():
            tally = tallies.setdefault(name, Tally())
            tally.before.append(before)
            tally.after.append(after)
            tally.right += after.message == message
            tally.wrong += (after.message not in (message, None)) + (before.message is not None)
    errors = [[pair[which] for pair, _ in measured] for which in (0, 1)]
    print(f"{len(measured)} marked images; PSNR inside the region: without a message {_spread(errors[0])} dB;", end="")
    print(f" with one {_spread(errors[1])} dB")
    for name, tally in tallies.items():
        scores = ([found.score for found in kept] for kept in (tally.before, tally.after))
        rates = [sum(found.is_found for found in kept) for kept in (tally.before, tally.after)]
        print(f"{name:22} found {rates[0]} -> {rates[1]} of {len(tally.before)}, messages {tally.right}", end="")
        print(f" ({tally.wrong} wrong), score {' -> '.join(map(_spread, scores))}", flush=True)


def _measure(sample: Marked, number: int) -> tuple[list[float], dict[str, tuple[int, Found, Found]]]:
    """The errors of both marks of an image, and for each change the message and the two detections."""
    image, mask = sample
    message = int(np.random.default_rng((SEED, number)).integers(1 << BITS))
    results = [embed(image, mask, KEY, value) for value in (None, message)]
    outcomes = {}
    both = [changes(np.random.default_rng((SEED + 1, number))) for _ in results]  # each is changed in the same way
    for name in both[0]:
        changed = [functions[name](result) for functions, result in zip(both, results, strict=True)]
        before = detect(changed[0], KEY)
        is_same = changed[0].tobytes() == changed[1].tobytes()
        outcomes[name] = message, before, before if is_same else detect(changed[1], KEY)
    return [_error(image, mask, result) for result in results], outcomes


def raise_alarms(unmarked: Iterator[Marked]) -> None:
    """Print how many unmarked images are taken for marked ones, and the seconds of a detection."""
    start = time.process_time()
    found = [detect(image, KEY) for image, _ in unmarked]
    seconds = (time.process_time() - start) / len(found)
    messages = sum(one.message is not None for one in found)
    print(
        f"{len(found)} unmarked images: {sum(one.is_found for one in found)} false alarms, {messages} messages", end=""
    )
    scores = f"{max(one.score for one in found):.2f}, at its place {max(one.placed for one in found):.2f}"
    print(f"; highest score {scores}; {seconds:.2f} CPU seconds each", flush=True)


def _error(image: Image.Image, mask: Image.Image, result: Image.Image) -> float:
    inside = np.asarray(mask) >= WHITE
    before, after = np.asarray(image, float), np.asarray(result, float)
    if (before[~inside] != after[~inside]).any():
        raise AssertionError("the mark left its region")
    return float(10 * np.log10(255**2 / np.mean((before - after)[inside] ** 2)))


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


def squares(photos: list[Path], count: int, side: int, rng: np.random.Generator) -> Iterator[Marked]:
    """Large images, with a square of this side at a random place as the edited region."""
    for index in range(count):
        if photos and index % 2:
            photo = Image.open(photos[int(rng.integers(len(photos)))]).convert("RGB")
            large = ImageOps.fit(photo, (LARGE, LARGE), Image.Resampling.BICUBIC)
            noise = rng.normal(0, 3, (LARGE, LARGE, 1))
            image = Image.fromarray(np.clip(np.asarray(large) + noise, 0, 255).astype(np.uint8))
        else:
            image = Image.fromarray(render(drawing_of(SEED, int(rng.integers(1 << 30))), LARGE))
        left, top = (int(rng.integers(LARGE - side + 1)) for _ in range(2))
        mask = Image.new("L", image.size)
        mask.paste(255, (left, top, left + side, top + side))
        yield image, mask


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
