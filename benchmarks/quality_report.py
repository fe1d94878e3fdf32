"""The report of the quality benchmark: a table, a sheet of each subject, and a plot of quality against time."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lipe_core.metrics.bootstrap import Interval, bootstrap_mean
from menagerie.draw import mask
from menagerie.experiment import image_of
from menagerie.sheet import Cell, contact_sheet, success_label
from menagerie.subjects import DrawnSubject

Scores = list[dict[str, Any]]


@dataclass(frozen=True)
class Run:
    """One system on one subject. `seconds` and `evaluations` are per edit; `scores` has one entry per edit.

    `peak_mb` is the peak memory of all edits of the request, without the weights. A score has the fields of
    `menagerie.judge.Score`, and of `benchmarks.judges` after `add_metrics`.
    """

    subject: str
    kind: str
    system: str
    seconds: float
    evaluations: int
    peak_mb: float
    scores: Scores
    folder: Path

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """Read a run that `benchmarks.quality` wrote."""
        return cls(**json.loads((folder / "run.json").read_text()), folder=folder)

    def image(self, role: str, k: int) -> Image.Image:
        """The `image`, `edit_mask` or `source_mask` of edit k."""
        with Image.open(self.folder / f"{role}-{k}.png") as image:
            return image.copy()


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _mean_of(name: str) -> Callable[[Run], float | None]:
    return lambda run: _mean([float(score[name]) for score in run.scores if score.get(name) is not None])


def _identity_given_success(run: Run) -> float | None:
    return _mean([score["identity"] for score in run.scores if score["success"]])


def _clean_identity_background(run: Run) -> float | None:
    return _mean([score["clean"] * score["identity"] * score["background_psnr_composite"] for score in run.scores])


#: The columns, each with a function that gives its figure for a run, or None.
COLUMNS: Mapping[str, Callable[[Run], float | None]] = {
    "clean": _mean_of("clean"),
    "edit success": _mean_of("success"),
    "identity": _mean_of("identity"),
    "identity given success": _identity_given_success,
    "background dB": _mean_of("background_psnr"),
    "composited dB": _mean_of("background_psnr_composite"),
    "clean x identity x composited dB": _clean_identity_background,
    "composited SSIM": _mean_of("background_ssim"),
    "composited LPIPS": _mean_of("background_lpips"),
    "mask IoU": _mean_of("mask_iou"),
    "dB to the truth": _mean_of("target_psnr"),
    "placed dB": _mean_of("placed_psnr"),
    "ghosts": _mean_of("ghost_share"),
    "whole": _mean_of("whole"),
    "accessory kept": _mean_of("accessory_kept"),
    "DINOv2-I": _mean_of("dinov2_i"),
    "DINOv2-I whole": _mean_of("dinov2_i_whole"),
    "CLIP-I": _mean_of("clip_i"),
    "CLIP-I whole": _mean_of("clip_i_whole"),
    "CLIP-T": _mean_of("clip_t"),
    "CLIP-D": _mean_of("clip_d"),
    "seconds": lambda run: run.seconds,
    "evaluations": lambda run: float(run.evaluations),
    "peak MB": lambda run: run.peak_mb,
}


def table(runs: Sequence[Run]) -> dict[str, dict[str, Interval]]:
    """For each system and column, the mean over subjects with its 95 % bootstrap interval."""
    systems = list(dict.fromkeys(run.system for run in runs))
    cells: dict[str, dict[str, Interval]] = {}
    for system in systems:
        own = [run for run in runs if run.system == system]
        columns = {name: [value for run in own if (value := of(run)) is not None] for name, of in COLUMNS.items()}
        cells[system] = {name: bootstrap_mean(values) for name, values in columns.items() if values}
    return cells


#: The columns in which the first system is compared with each other system.
LEADS = ("clean", "edit success", "identity", "accessory kept", "ghosts", "placed dB", "composited dB")


def leads(runs: Sequence[Run]) -> dict[str, dict[str, Interval]]:
    """The figures of the first run's system minus those of each other, paired by subject, with 95 % intervals."""
    run_of: dict[str, dict[str, Run]] = {}
    for run in runs:
        run_of.setdefault(run.system, {})[run.subject] = run
    first, *others = run_of
    cells: dict[str, dict[str, Interval]] = {}
    for other in others:
        pairs = [(run_of[first][subject], run) for subject, run in run_of[other].items() if subject in run_of[first]]
        columns = {name: _differences(pairs, COLUMNS[name]) for name in LEADS}
        cells[other] = {name: bootstrap_mean(values) for name, values in columns.items() if values}
    return cells


def _differences(pairs: Sequence[tuple[Run, Run]], of: Callable[[Run], float | None]) -> list[float]:
    return [a - b for run, other in pairs if (a := of(run)) is not None and (b := of(other)) is not None]


def as_markdown(
    cells: Mapping[str, Mapping[str, Interval]],
    held_out: Mapping[str, float],
    subjects: int,
    fewer: Mapping[str, int] = {},
) -> str:
    """The table, with the accuracy of the judge below it.

    `fewer` maps the systems that did not edit all subjects to the number that they edited.
    """
    names = {system: f"{system} ({fewer[system]} of {subjects})" if system in fewer else system for system in cells}
    lines = _table("system", tuple(COLUMNS), {names[system]: row for system, row in cells.items()})
    judged = ", ".join(f"{name} {value:.1%}" for name, value in held_out.items())
    notes = (
        f"{subjects} subjects, 4 edits each; 95 % bootstrap. Judge, held out: {judged}.",
        "DINOv2-I and CLIP-I: crop of the subject against the references; whole: image against the test image. "
        "Peak MB: without the weights, all edits of an image at once.",
    )
    return "\n".join([*lines, "", *notes])


def leads_as_markdown(first: str, cells: Mapping[str, Mapping[str, Interval]]) -> str:
    """The table of `leads`, with a line that explains it."""
    note = f"{first} minus the system of the row, paired by subject; 95 % bootstrap. Fewer ghosts are better."
    return "\n".join([*_table(f"{first} minus", LEADS, cells), "", note])


def _table(title: str, columns: Sequence[str], rows: Mapping[str, Mapping[str, Interval]]) -> list[str]:
    lines = [f"| {title} | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for name, row in rows.items():
        cells = (_shown(row[column]) if column in row else "-" for column in columns)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _shown(cell: Interval) -> str:
    digits = 2 if abs(cell.mean) < 10 else 1
    return f"{cell.mean:z.{digits}f} ({cell.low:z.{digits}f} to {cell.high:z.{digits}f})"


def write_report(
    runs: Sequence[Run], subjects: Sequence[DrawnSubject], held_out: Mapping[str, float], out: Path
) -> str:
    """Write table.md, table.json, quality.png and the sheets. Returns the tables."""
    cells, compared = table(runs), leads(runs)
    edited = Counter(run.system for run in runs)
    fewer = {system: count for system, count in edited.items() if count < len(subjects)}
    text = as_markdown(cells, held_out, len(subjects), fewer)
    if compared:
        text += "\n\n" + leads_as_markdown(runs[0].system, compared)
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.md").write_text(text + "\n")
    figures = {"systems": _plain(cells), "leads": _plain(compared), "probe": dict(held_out)}
    (out / "table.json").write_text(json.dumps(figures, indent=2) + "\n")
    plot(cells, out / "quality.png")
    (out / "sheets").mkdir(exist_ok=True)
    for drawn in subjects:
        if own := [run for run in runs if run.subject == drawn.name]:
            sheet(drawn, own).save(out / "sheets" / f"{drawn.name}.png")
    return text


def _plain(cells: Mapping[str, Mapping[str, Interval]]) -> dict[str, dict[str, dict[str, float]]]:
    return {system: {name: asdict(cell) for name, cell in row.items()} for system, row in cells.items()}


def plot(cells: Mapping[str, Mapping[str, Interval]], path: Path) -> None:
    """Plot three metrics of each system against its seconds per edit, with the intervals as bars."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    names = ("clean", "identity given success", "background dB")
    figure = Figure(figsize=(16, 5), layout="constrained")
    plots = figure.subplots(1, len(names))
    for number, (system, row) in enumerate(cells.items()):
        # 7 markers and 10 colours: a pair repeats after 70 systems only.
        style = {"color": f"C{number % 10}", "fmt": "os^Dv*P"[number % 7], "capsize": 3}
        for axes, name in zip(plots, names, strict=True):
            if name in row:
                x, y = row["seconds"].mean, row[name]
                label = system if axes is plots[0] else None
                axes.errorbar(x, y.mean, yerr=[[y.mean - y.low], [y.high - y.mean]], label=label, **style)
    for axes, name in zip(plots, names, strict=True):
        axes.set(xscale="log", xlabel="seconds per edit", title=name)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(True, alpha=0.3)
    figure.legend(loc="outside right center")
    figure.savefig(path, dpi=90)


def sheet(drawn: DrawnSubject, runs: Sequence[Run]) -> Image.Image:
    """A sheet with the references, the test image and true results, then one row per system with its masks."""
    truths = [Cell(image_of(edit.truth), f"true result: {edit.name}") for edit in drawn.edits]
    references = [Cell(image_of(drawing), f"reference {k}") for k, drawing in enumerate(drawn.references, start=1)]
    true_mask = Cell(Image.fromarray(mask(drawn.test)), "true mask")
    rows = [
        ("references", references),
        ("test image and true results", [Cell(image_of(drawn.test), "test image"), true_mask, *truths]),
    ]
    for run in runs:
        cells = [_mask(run, "source_mask", "source mask"), _mask(run, "edit_mask", "edit mask")]
        for k, score in enumerate(run.scores):
            verdict = "clean" if score["clean"] else "not clean"
            note = (
                f"{verdict}, identity {score['identity']:.0%}, background {score['background_psnr_composite']:.0f} dB"
            )
            cells.append(_cell(run, "image", k, success_label(score["edit"], score["success"]), note))
        rows.append((run.system, cells))
    return contact_sheet(drawn.name, rows)


def _mask(run: Run, role: str, label: str) -> Cell:
    image = run.image(role, 0)
    return Cell(image, label, "whole image" if image.getextrema() == (255, 255) else "")


def _cell(run: Run, role: str, k: int, label: str, note: str = "") -> Cell:
    return Cell(run.image(role, k), label, note)
