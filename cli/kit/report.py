"""The table, the sheets and the page of a bench."""

import html
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from cli.kit.measures import SCORES
from cli.kit.runs import Run
from cli.kit.subjects import PhotoSubject, open_photo
from cli.kit.vision_judge import Verdict
from lipe_core.metrics.bootstrap import bootstrap_mean

_CELL = 320
_GAP = 8
_HEADING = 26
_PAPER = "LIPE in its paper: DINOv2-I 0.88, CLIP-I 0.92, CLIP-D 0.08 (arXiv 2406.17236, other photos and edits)."
_STYLE = """:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;
padding:0 1rem}
table{border-collapse:collapse;display:block;overflow-x:auto}td,th{padding:.25rem .75rem;text-align:right;
border-bottom:1px solid #8886}td:first-child,th:first-child{text-align:left}img{max-width:100%;height:auto}"""


@dataclass(frozen=True)
class Measured:
    """A run with the scores and the verdicts of its edits; a verdict is None where no judge was asked."""

    run: Run
    scores: list[dict[str, float]]
    verdicts: list[Verdict | None]


def write_report(measured: Sequence[Measured], subjects: Sequence[PhotoSubject], judges: str, out: Path) -> str:
    """Write table.json, table.md, a sheet of each subject and index.html. Returns the table."""
    table = table_of(measured)
    rows = [
        {"subject": m.run.subject, "system": m.run.system, "prompt": prompt, **scores, **_verdict(verdict)}
        for m in measured
        for prompt, scores, verdict in zip(m.run.prompts, m.scores, m.verdicts, strict=True)
    ]
    _write(out / "table.json", json.dumps(rows, indent=2))
    note = f"Judges: {judges}. Brackets: 95 % intervals over subjects. {_PAPER}"
    _write(out / "table.md", f"{_markdown(table)}\n\n{note}\n")
    sheets = []
    for subject in subjects:
        runs = [m for m in measured if m.run.subject == subject.name]
        sheets.append(Path("sheets") / f"{subject.name}.jpg")
        (out / "sheets").mkdir(exist_ok=True)
        sheet(subject, [m.run for m in runs]).save(out / sheets[-1], quality=90)
    _write(out / "index.html", page(table, note, sheets, list(dict.fromkeys(m.run.system for m in measured))))
    return _markdown(table)


def table_of(measured: Sequence[Measured]) -> list[list[str]]:
    """A header and a row for each system: the mean over subjects of each score, with its interval."""
    has_verdicts = any(verdict for m in measured for verdict in m.verdicts)
    judged = ["clean", "done", "dinov2_i if done"] if has_verdicts else []
    rows = [["system", "subjects", *judged, *SCORES, "seconds"]]
    for system in dict.fromkeys(m.run.system for m in measured):
        own = [m for m in measured if m.run.system == system]
        cells = [system, str(len(own))]
        if has_verdicts:
            cells += [_cell([_share(m, "is_clean") for m in own]), _cell([_share(m, "done") for m in own])]
            cells += [_cell([_if_done(m) for m in own])]
        cells += [_cell([_mean([score[name] for score in m.scores]) for m in own]) for name in SCORES]
        rows.append([*cells, f"{_mean([m.run.seconds for m in own]):.1f}"])
    return rows


def _share(measured: Measured, answer: str) -> float:
    return _mean([float(getattr(verdict, answer)) for verdict in measured.verdicts if verdict])


def _if_done(measured: Measured) -> float:
    """The identity of the edits that were done: a copy of the input has a perfect identity and is no edit."""
    scored = zip(measured.scores, measured.verdicts, strict=True)
    return _mean([scores["dinov2_i"] for scores, verdict in scored if verdict and verdict.done])


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _cell(values: Sequence[float]) -> str:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "-"
    interval = bootstrap_mean(known)
    if len(known) < 2:
        return f"{interval.mean:.3g}"
    return f"{interval.mean:.3g} [{interval.low:.3g}, {interval.high:.3g}]"


def _verdict(verdict: Verdict | None) -> dict[str, bool]:
    return vars(verdict) | {"clean": verdict.is_clean} if verdict else {}


def _markdown(table: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]])


def sheet(subject: PhotoSubject, runs: Sequence[Run]) -> Image.Image:
    """The references and the photo in the first row, then the edits, a row for each system, each with a heading."""
    rows = {
        "references, and the photo that is edited": [open_photo(f) for f in (*subject.references[:4], subject.test)]
    }
    rows |= {run.system: [run.image("image", k) for k in range(len(run.prompts))] for run in runs}
    columns, step = max(map(len, rows.values())), _CELL + _GAP
    canvas = Image.new("RGB", (columns * step + _GAP, len(rows) * (step + _HEADING) + _GAP), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(_HEADING - 8)
    for number, (heading, row) in enumerate(rows.items()):
        top = _GAP + number * (step + _HEADING)
        draw.text((_GAP, top), heading, fill="black", font=font)
        for column, image in enumerate(row):
            canvas.paste(ImageOps.contain(image, (_CELL, _CELL)), (_GAP + column * step, top + _HEADING))
    return canvas


def page(table: Sequence[Sequence[str]], note: str, sheets: Sequence[Path], systems: Sequence[str]) -> str:
    """The page, which needs no other file than the sheets."""

    def cells(row: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"

    scores = "".join(f"<li><b>{name}</b>: {html.escape(text)}</li>" for name, text in SCORES.items())
    images = "".join(
        f'<h2>{html.escape(path.stem)}</h2><img src="{html.escape(path.as_posix())}" '
        f'alt="References and photo of {html.escape(path.stem)}, then the edits of each system" loading="lazy">'
        for path in sheets
    )
    order = html.escape("; ".join(systems))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>LIPE bench</title><style>{_STYLE}</style>'
        f'<meta name="viewport" content="width=device-width"><h1>LIPE bench</h1>'
        f"<table>{cells(table[0], 'th')}{''.join(cells(row, 'td') for row in table[1:])}</table>"
        f"<p>{html.escape(note)}</p><ul>{scores}</ul>"
        f"<p>Rows of each sheet: references and photo, then {order}.</p>{images}</html>"
    )


def _write(file: Path, text: str) -> None:
    unfinished = file.with_name(f"{file.name}.part")
    unfinished.write_text(text)
    os.replace(unfinished, file)
