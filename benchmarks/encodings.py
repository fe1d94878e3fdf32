"""Seconds and bytes of a result's lossless file formats: ``python -m benchmarks.encodings PHOTO``.

The photo is encoded at one and at twelve megapixels, in turns, on one thread: PNG at zlib's levels, and lossless WebP
by libwebp's methods. A line is JSON. Seconds are of CPU time, so that another load on the machine does not count.
"""

import argparse
import io
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image

FORMATS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    **{f"PNG, level {level}": ("PNG", {"compress_level": level}) for level in (1, 2, 3, 6)},
    **{f"WebP, method {method}": ("WEBP", {"lossless": True, "quality": 0, "method": method}) for method in (0, 2)},
}
SIZES = ((1216, 832), (4032, 3024))


def encode(image: Image.Image, kind: str, options: Mapping[str, Any]) -> tuple[float, int]:
    """CPU seconds and bytes of one file."""
    content, start = io.BytesIO(), time.process_time()
    image.save(content, kind, **options)
    return time.process_time() - start, content.tell()


def measure(photo: Image.Image, repeats: int) -> Iterator[dict[str, Any]]:
    """A line for each size and format: the median of the seconds, and megabytes."""
    for size in SIZES:
        image = photo.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        runs = [{name: encode(image, *how) for name, how in FORMATS.items()} for _ in range(repeats)]
        for name in FORMATS:
            seconds = median(run[name][0] for run in runs)
            yield {"size": size, "format": name, "seconds": round(seconds, 3), "mb": round(runs[0][name][1] / 1e6, 2)}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encodings", description=__doc__)
    parser.add_argument("photo", type=Path, help="a photograph of at least 12 megapixels, or it is enlarged")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each format")
    options = parser.parse_args(argv)
    with Image.open(options.photo) as photo:
        for line in measure(photo, options.repeats):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
