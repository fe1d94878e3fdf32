"""Example images for the first steps: ``python -m menagerie.example_images --out example``.

It draws one subject of the benchmark: references, and an image to edit. The miniature can work with these images.
"""

import argparse
from pathlib import Path

from PIL import Image

from menagerie.draw import render
from menagerie.subjects import DrawnSubject, benchmark

_EXAMPLE = 2  # index in the benchmark: the subject of `make demo`


def write_examples(subject: DrawnSubject, folder: Path) -> None:
    """Write reference-1.png and so on, and source.png, which is the image to edit."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"reference-{number}" for number in range(1, len(subject.references) + 1)]
    for name, drawing in zip([*names, "source"], [*subject.references, subject.test], strict=True):
        Image.fromarray(render(drawing)).save(folder / f"{name}.png")


def main(argv: list[str] | None = None) -> None:
    """Write the images and print what they show."""
    parser = argparse.ArgumentParser(prog="python -m menagerie.example_images", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("example"), help="output folder (default: example)")
    options = parser.parse_args(argv)
    subject = benchmark()[_EXAMPLE]
    write_examples(subject, options.out)
    print(f"{options.out}: {len(subject.references)} references of a {subject.identity.class_noun}, and source.png")


if __name__ == "__main__":
    main()
