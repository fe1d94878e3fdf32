"""Evaluate NIMA on drawn subjects: ``python -m menagerie.evaluate --subjects 12 --seed 1 --json FILE``.

Each fresh subject is learned from its references alone (`menagerie.experiment`). Four runs share test images, prompts
and priors: NIMA, the paper's single pass, NIMA without its mask, and NIMA without the prior. With `--backbone flux2`,
two more runs read the source and the references as tokens, without and with the prior. The judge's own accuracy is
printed with the results: no score can exceed it.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from lipe_core.backbone import BaseModel
from lipe_core.methods.registry import METHODS
from lipe_core.methods.request import Edit
from lipe_core.recipe import Recipe, load_recipe
from menagerie.draw import render
from menagerie.experiment import edit_request, image_of, learn
from menagerie.judge import Judge, Score, load_judge, outside_mask, score
from menagerie.miniatures import add_options, load_chosen
from menagerie.sheet import Cell, contact_sheet, success_label
from menagerie.subjects import EDITS, DrawnSubject, fresh


class Run(NamedTuple):
    """A method, changes of its settings, and whether it has the subject's prior."""

    method: str
    changes: Mapping[str, Any] = {}
    has_prior: bool = True


RUNS: Mapping[str, Run] = {
    "nima": Run("nima"),
    "single_pass": Run("nima_single_pass"),
    "unmasked": Run("nima", {"mask_mode": "none", "composite": False}),
    "no_prior": Run("nima", has_prior=False),
    "tokens": Run("reference_tokens", {"images": "both"}, has_prior=False),
    "tokens_prior": Run("reference_tokens", {"images": "both"}),
}
#: Least values of the run `nima` on 12 fresh subjects, shown in the table.
TARGETS = {
    "clean": 0.70,
    "edit_success": 0.93,
    "identity": 0.95,
    "accessory_kept": 0.90,
    "no_ghost": 0.95,
    "outside_mask_psnr": 31.0,
}


@dataclass
class RunScores:
    """The scores and seconds of one run."""

    scores: list[Score] = field(default_factory=list)
    outside_mask: list[tuple[float, bool]] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def figures(self) -> dict[str, float | dict[str, float]]:
        """Means over all edits. `seconds` are per stage and subject."""
        judged = [s for s in self.scores if s.success is not None]
        posed = [s for s in judged if s.edit == "pose"]
        return {
            "clean": _mean([s.clean for s in self.scores]),
            "edit_success": _mean([s.success for s in judged]),
            "pose_success": _mean([s.success for s in posed]),
            **{
                name: _mean([value for s in self.scores if (value := getattr(s, name)) is not None])
                for name in (f.name for f in fields(Score))
                if name not in ("edit", "clean", "success")
            },
            "no_ghost": _mean([s.ghost_share < 0.01 for s in self.scores]),
            "outside_mask_psnr": _mean([psnr for psnr, _ in self.outside_mask if psnr == psnr]),
            "outside_mask_exact": _mean([exact for _, exact in self.outside_mask]),
            "by_edit": {name: _mean([s.success for s in judged if s.edit == name]) for name in EDITS},
            "clean_by_edit": {name: _mean([s.clean for s in self.scores if s.edit == name]) for name in EDITS},
            "seconds": {stage: _mean(values) for stage, values in self.seconds.items()},
        }


def _mean(values: Sequence[float | bool | None]) -> float:
    return round(float(np.mean(np.array(values, dtype=float))), 4) if values else float("nan")


def evaluate(
    model: BaseModel, recipe: Recipe, judge: Judge, subjects: Sequence[DrawnSubject], cache: Path, sheets: Path | None
) -> dict[str, RunScores]:
    """Learn and edit every subject in all runs. With `sheets`, write a contact sheet of each subject to that folder."""
    results = {name: RunScores() for name, run in RUNS.items() if METHODS[run.method].fits(model.family)}
    with tqdm(total=len(subjects) * len(results), unit="run", desc="evaluating") as bar:
        for drawn in subjects:
            prior, training_seconds = learn(model, recipe, drawn, cache, on_step=partial(_show_step, bar, drawn.name))
            rows = []
            for name, result in results.items():
                bar.set_postfix_str(f"{drawn.name}: {name}")
                run = RUNS[name]
                config = recipe.method_config(run.method, run.changes)
                method, used = METHODS[run.method], prior if run.has_prior else None
                edits = method.edit(model, edit_request(drawn), config, prior=used)
                scores = [_score(judge, drawn, k, edit) for k, edit in enumerate(edits)]
                result.scores += scores
                result.outside_mask += [outside_mask(render(drawn.test), edit) for edit in edits]
                for stage, seconds in {**(training_seconds if name == "nima" else {}), **edits[0].timings}.items():
                    result.seconds[stage].append(seconds)
                rows.append((name, _cells(drawn, edits, scores)))
                bar.update()
            if sheets is not None:
                sheets.mkdir(parents=True, exist_ok=True)
                contact_sheet(drawn.name, [_references(drawn), *rows]).save(sheets / f"{drawn.name}.png")
    return results


def _show_step(bar: tqdm, name: str, step: int, steps: int, loss: float) -> None:
    bar.set_postfix_str(f"{name}: training step {step}/{steps}, loss {loss:.3f}")


def _score(judge: Judge, drawn: DrawnSubject, k: int, edit: Edit) -> Score:
    return score(
        judge,
        drawn.test,
        drawn.edits[k],
        image=edit.image,
        uncomposited=edit.uncomposited,
        source_mask=edit.source_mask,
    )


def _references(drawn: DrawnSubject) -> tuple[str, list[Cell]]:
    cells = [Cell(image_of(drawing), f"reference {k}") for k, drawing in enumerate(drawn.references, start=1)]
    true_results = [Cell(image_of(edit.truth), f"true result: {edit.name}") for edit in drawn.edits]
    return "references and true results", [*cells, *true_results]


def _cells(drawn: DrawnSubject, edits: list[Edit], scores: list[Score]) -> list[Cell]:
    source_mask = Cell(edits[0].source_mask, f"source mask, IoU {scores[0].mask_iou:.2f}")
    cells = [Cell(image_of(drawn.test), "test image"), source_mask]
    for edit, score_of_edit in zip(edits, scores, strict=True):
        cells.append(
            Cell(
                edit.image,
                success_label(score_of_edit.edit, score_of_edit.success),
                f"{'clean' if score_of_edit.clean else 'not clean'}, identity {score_of_edit.identity:.0%}",
            )
        )
    return [*cells, Cell(edits[-1].edit_mask, "edit mask of the last edit")]


def render_table(results: dict[str, dict[str, Any]]) -> str:
    """The figures as a text table."""
    names = [name for name in results["nima"] if name not in ("seconds", "by_edit", "clean_by_edit")]
    runs = [name for name in RUNS if name in results]
    lines = [f"{'':<26}" + "".join(f"{run:>14}" for run in runs) + f"{'target':>10}"]
    for name in names:
        target = f"{TARGETS[name]:>10.2f}" if name in TARGETS else ""
        lines.append(f"{name:<26}" + "".join(f"{results[run][name]:>14.3f}" for run in runs) + target)
    for label, table in (("clean", "clean_by_edit"), ("success", "by_edit")):
        for name in EDITS:
            values = "".join(f"{results[run][table][name]:>14.3f}" for run in runs)
            lines.append(f"  {f'{label}: {name}':<24}{values}")
    lines.append("seconds: " + ", ".join(f"{k} {v:.1f}" for k, v in results["nima"]["seconds"].items()))
    lines.append("judge accuracy: " + ", ".join(f"{k} {v:.1%}" for k, v in results["probe"].items()))
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    judge = load_judge()
    model = load_chosen(options)
    recipe = load_recipe(model.checkpoint)
    subjects = list(fresh(options.subjects, options.seed))
    results = evaluate(model, recipe, judge, subjects, options.cache, options.sheets)
    figures = {run: result.figures() for run, result in results.items()} | {"probe": judge.held_out}
    print(render_table(figures))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m menagerie.evaluate", description=__doc__)
    parser.add_argument("--subjects", type=int, default=12, help="number of fresh subjects")
    parser.add_argument("--seed", type=int, default=1, help="seed of the subjects")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--sheets", type=Path, help="write a contact sheet of each subject to this folder")
    add_options(parser)
    parser.add_argument(
        "--cache", type=Path, default=Path("out/regularization"), help="cache of the regularization sets"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
