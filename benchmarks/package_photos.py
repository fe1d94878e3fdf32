"""A folder for `lipe bench run` from the photographs in the package scikit-image, for tests of the kit without a GPU.

    python -m benchmarks.package_photos --photos SITE_PACKAGES/skimage/data --out out/photos

Licences, from the package: chelsea.png is CC0 (Stefan van der Walt), coffee.png is CC0 (Rachel Michetti), astronaut.png
is in the public domain (NASA). Each is one photograph, so that the references are parts of the image that is edited:
such figures say nothing of identity. They show that nothing breaks, and that the background stays.
"""

import argparse
from pathlib import Path

import yaml
from PIL import Image, ImageDraw

SUBJECTS = {
    "cat": ("chelsea.png", "cat", "animal", "a photo of a cat with its mouth open"),
    "cup": ("coffee.png", "cup", "object", "a photo of a cup lying on its side"),
    "woman": ("astronaut.png", "woman", "person", "a photo of a woman with closed eyes"),
}
_PARTS = ((0.0, 0.0, 0.8, 0.8), (0.2, 0.0, 1.0, 0.8), (0.1, 0.2, 0.9, 1.0))
"""The references as parts of the photo: left, upper, right and lower edge, as fractions of its sides."""

_MASK = (0.25, 0.2, 0.75, 0.9)
"""The edges of an ellipse where the photo may change. Random weights find no subject, and would change everything."""


def write_folder(photos: Path, out: Path, names: tuple[str, ...] = tuple(SUBJECTS)) -> None:
    """Write a folder in LIPE's layout for each of the named subjects."""
    for name in names:
        file, noun, category, prompt = SUBJECTS[name]
        photo = Image.open(photos / file).convert("RGB")
        references = out / name / "references"
        references.mkdir(parents=True, exist_ok=True)
        for number, part in enumerate(_PARTS, start=1):
            box = tuple(round(edge * side) for edge, side in zip(part, photo.size * 2, strict=True))
            photo.crop(box).save(references / f"{number}.png")  # type: ignore[arg-type]
        photo.save(out / name / "test.png")
        mask = Image.new("L", photo.size)
        ImageDraw.Draw(mask).ellipse(
            [round(edge * side) for edge, side in zip(_MASK, photo.size * 2, strict=True)], 255
        )
        mask.save(out / name / "mask.png")
        facts = {"class_noun": noun, "category": category, "edits": [prompt]}
        (out / name / "edits.yaml").write_text(yaml.safe_dump(facts, sort_keys=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="the folder skimage/data of scikit-image")
    parser.add_argument("--out", type=Path, default=Path("out/photos"), help="the folder to write")
    parser.add_argument("--subjects", default=",".join(SUBJECTS), help="names, separated by commas")
    options = parser.parse_args()
    write_folder(options.photos, options.out, tuple(options.subjects.split(",")))


if __name__ == "__main__":
    main()
