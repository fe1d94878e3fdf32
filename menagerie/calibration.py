"""Compare the judge's verdict `clean` with labels of a person who has not seen the names of the systems.

``python -m menagerie.calibration sheets EDITS OUT`` writes numbered sheets of the shuffled edits of a folder. Each edit
has its source and its true result beside it. The person writes ``{"clean": [numbers]}`` to OUT/labels.json: the edits
to keep. ``python -m menagerie.calibration keep EDITS OUT`` adds the labelled edits to this package, and without
arguments the tool prints the agreement on all kept edits. EDITS holds images and an index.json of the entries.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from menagerie.captions import describe_change
from menagerie.draw import render
from menagerie.judge import Judge, Score, load_judge, score
from menagerie.sheet import Cell, contact_sheet
from menagerie.subjects import DrawnEdit, DrawnSubject, benchmark, fresh

FOLDER = Path(__file__).parent / "labelled"
_SIDE, _COLUMNS = 128, 14
_QUALITY = 80  # of the kept AVIF, with full chroma: the judge takes the colours of WebP for smears
_PER_ROW = 2


@dataclass(frozen=True)
class Entry:
    """One edit: its subject (number `subject` of `fresh` with this seed, or of the benchmark), its system and its file.

    Truth and source are rendered again from these numbers. The system `redrawn` is the true result with noise, denoised
    with the prior of the subject: it has edits of every quality.
    """

    seed: int | None
    subject: int
    edit: int
    system: str
    file: str = ""
    clean: bool | None = None

    def drawn(self) -> tuple[DrawnSubject, DrawnEdit]:
        """The subject and the edit."""
        subject = _subjects(self.seed, self.subject)
        return subject, subject.edits[self.edit]

    @property
    def is_held_out(self) -> bool:
        """Whether the edit measures the agreement. The thresholds of the judge are tuned on the other subjects."""
        return self.subject % 2 == 1


@cache
def _subjects(seed: int | None, number: int) -> DrawnSubject:
    return benchmark()[number] if seed is None else list(fresh(number + 1, seed))[number]


def write_sheets(edits: Path, out: Path, per_sheet: int, seed: int) -> None:
    """Write the numbered sheets, and order.json with the entry of each number."""
    entries = [Entry(**fields) for fields in json.loads((edits / "index.json").read_text())]
    order = [entries[k] for k in np.random.default_rng(seed).permutation(len(entries))]
    out.mkdir(parents=True, exist_ok=True)
    (out / "order.json").write_text(json.dumps([asdict(entry) for entry in order], indent=1))
    for start in range(0, len(order), per_sheet):
        numbers = range(start, min(start + per_sheet, len(order)))
        rows = [
            ("", [cell for n in numbers[k : k + _PER_ROW] for cell in _cells(n, order[n], edits)])
            for k in range(0, len(numbers), _PER_ROW)
        ]
        sheet = contact_sheet("Keep an edit if it is clean: source, true result, edit", rows, side=256)
        sheet.save(out / f"sheet-{start // per_sheet:02d}.png")


def _cells(number: int, entry: Entry, edits: Path) -> list[Cell]:
    subject, edit = entry.drawn()
    images = [Image.fromarray(render(drawing)) for drawing in (subject.test, edit.truth)]
    labels = ("source", describe_change(subject.test.action, edit.truth.action), f"number {number}")
    return [Cell(image, label) for image, label in zip([*images, Image.open(edits / entry.file)], labels, strict=True)]


def keep(edits: Path, out: Path, folder: Path = FOLDER) -> None:
    """Add the labelled edits to the kept ones: the images as tiles of one AVIF file, the labels as JSON."""
    clean = set(json.loads((out / "labels.json").read_text())["clean"])
    order = [Entry(**fields) for fields in json.loads((out / "order.json").read_text())]
    kept = list(kept_edits(folder)) if (folder / "labels.json").exists() else []
    for number, entry in enumerate(order):
        with Image.open(edits / entry.file) as opened:
            kept.append((replace(entry, file="", clean=number in clean), opened.convert("RGB")))
    tiles = Image.new("RGB", (_SIDE * _COLUMNS, _SIDE * -(-len(kept) // _COLUMNS)))
    for k, (_, image) in enumerate(kept):
        tiles.paste(image, (_SIDE * (k % _COLUMNS), _SIDE * (k // _COLUMNS)))
    folder.mkdir(exist_ok=True)
    tiles.save(folder / "edits.avif", quality=_QUALITY, subsampling="4:4:4")
    rows = [{name: value for name, value in asdict(entry).items() if name != "file"} for entry, _ in kept]
    (folder / "labels.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


def kept_edits(folder: Path = FOLDER) -> Iterator[tuple[Entry, Image.Image]]:
    """The kept edits with their labels."""
    rows = json.loads((folder / "labels.json").read_text())
    with Image.open(folder / "edits.avif") as tiles:
        for k, row in enumerate(rows):
            left, top = _SIDE * (k % _COLUMNS), _SIDE * (k // _COLUMNS)
            yield Entry(**row), tiles.crop((left, top, left + _SIDE, top + _SIDE)).convert("RGB")


def scores(judge: Judge, edits: Sequence[tuple[Entry, Image.Image]]) -> list[Score]:
    """The judge's scores of the edits. Their masks are not known, so `mask_iou` has no meaning."""
    no_mask = Image.new("L", (_SIDE, _SIDE))
    drawn = [(*entry.drawn(), image) for entry, image in edits]
    return [
        score(judge, subject.test, edit, image=image, uncomposited=image, source_mask=no_mask)
        for subject, edit, image in drawn
    ]


def kappa(pairs: Sequence[tuple[bool, bool]]) -> float:
    """Cohen's kappa of (verdict, label) pairs: 1 is full agreement, 0 is that of chance.

    Cohen, A coefficient of agreement for nominal scales, https://doi.org/10.1177/001316446002000104.
    """
    verdicts, labels = np.array(pairs, dtype=float).T
    agreement = float((verdicts == labels).mean())
    chance = float(verdicts.mean() * labels.mean() + (1 - verdicts.mean()) * (1 - labels.mean()))
    return 1.0 if chance == 1 else (agreement - chance) / (1 - chance)


def render_agreement(title: str, pairs: Sequence[tuple[bool, bool]]) -> str:
    """Kappa and the confusion table as text."""
    counts = Counter(pairs)
    lines = [f"{title}: {len(pairs)} edits, kappa {kappa(pairs):.3f}", f"{'':<18}{'kept':>8}{'rejected':>10}"]
    for name, verdict in (("judged clean", True), ("judged not clean", False)):
        lines.append(f"{name:<18}{counts[verdict, True]:>8}{counts[verdict, False]:>10}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    if options.command == "sheets":
        write_sheets(options.edits, options.out, options.per_sheet, options.seed)
        return
    if options.command == "keep":
        keep(options.edits, options.out)
    kept = list(kept_edits())
    verdicts = [one.clean for one in scores(load_judge(), kept)]
    for title, is_held_out in (("subjects of the tuning", False), ("held-out subjects", True)):
        pairs = [
            (verdict, bool(entry.clean))
            for verdict, (entry, _) in zip(verdicts, kept, strict=True)
            if entry.is_held_out == is_held_out
        ]
        print(render_agreement(title, pairs))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m menagerie.calibration", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    for name in ("sheets", "keep"):
        command = commands.add_parser(name)
        command.add_argument("edits", type=Path, help="folder of the edits and their index.json")
        command.add_argument("out", type=Path, help="folder of the sheets and labels")
    commands.choices["sheets"].add_argument("--per-sheet", type=int, default=6)
    commands.choices["sheets"].add_argument("--seed", type=int, default=0, help="seed of the order")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
