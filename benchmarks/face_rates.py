"""How often the face detector misses: `python -m benchmarks.face_rates`, a minute on one core.

The faces and the crops without a face are the 200 of Labeled Faces in the Wild that scikit-image ships (25 x 25 pixels,
enlarged and padded); the other photos are scikit-image's, and the drawn images are the benchmark's.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import skimage
from PIL import Image
from skimage import data

from api.faces import count_faces
from menagerie.draw import render
from menagerie.subjects import benchmark

FACE_SIDE, PADDING = 120, 60
FACES = 100
"""The first images of the set are faces."""
PHOTOS = (
    "chelsea", "coffee", "rocket", "coins", "moon", "brick", "grass", "gravel", "page", "text", "clock",
    "hubble_deep_field", "immunohistochemistry", "retina",
)  # fmt: skip


def crops() -> list[Image.Image]:
    """100 faces, then 100 parts of photos without one."""
    stored = np.load(Path(skimage.__file__).parent / "data" / "lfw_subset.npy")
    made = []
    for levels in stored:
        small = Image.fromarray((levels * 255).astype(np.uint8)).resize(
            (FACE_SIDE, FACE_SIDE), Image.Resampling.BICUBIC
        )
        made.append(Image.fromarray(np.pad(np.asarray(small), PADDING, mode="edge")).convert("RGB"))
    return made


def photos() -> Iterator[Image.Image]:
    """Photos of scikit-image without people; those that it would have to download are left out."""
    for name in PHOTOS:
        try:
            yield Image.fromarray(getattr(data, name)()).convert("RGB")
        except (ConnectionError, ModuleNotFoundError, OSError):
            continue


def drawn() -> Iterator[Image.Image]:
    """The references and test images of the drawn benchmark."""
    for subject in benchmark():
        for drawing in (*subject.references, subject.test):
            yield Image.fromarray(render(drawing))


def found(images: Sequence[Image.Image]) -> str:
    """How many of the images have a face, as the detector says."""
    return f"{sum(count_faces(image) > 0 for image in images)} of {len(images)}"


def main() -> None:
    """Print a line for each kind of image."""
    small = crops()
    kinds = {
        "faces": small[:FACES], "parts of photos without a face": small[FACES:],
        "other photos": list(photos()), "drawn images": list(drawn()),
    }  # fmt: skip
    for kind, images in kinds.items():
        print(f"{kind}: a face found in {found(images)}", flush=True)


if __name__ == "__main__":
    main()
