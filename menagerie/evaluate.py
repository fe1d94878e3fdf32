"""Does it work? ``python -m menagerie.evaluate --subjects 12 --seed 1 --json FILE``: the drawn truth judges real edits.

Fresh subjects are learnt from their references alone (``study``). Three runs share test pictures, prompts and priors:
NIMA, NIMA without its mask, and NIMA on the untuned base. All runs' figures come with the probe's own accuracy, which
is their ceiling.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lipe_core import sdxl
from lipe_core.methods.nima import edit as nima
from lipe_core.methods.request import Edit
from lipe_core.recipe import Recipe, load_recipe
from lipe_core.sdxl import BaseModel
from menagerie.experiment import edit_request, learn, picture
from menagerie.judge import Score, score
from menagerie.models import CHECKPOINT
from menagerie.probe import Probe, load_probe
from menagerie.sheet import Cell, contact_sheet
from menagerie.subjects import EDITS, DrawnSubject, fresh

RUNS = ("nima", "unmasked", "no_prior")
#: What the issue of the first release asks of 12 fresh subjects, for the table; (run, figure) -> at least.
TARGETS = {"edit_success": 0.75, "pose_success": 0.80, "identity": 0.85, "background_psnr": 30.0, "mask_iou": 0.65}


@dataclass
class Tally:
    """The scores and seconds of one run."""

    scores: list[Score] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def figures(self) -> dict[str, float | dict[str, float]]:
        """Means over all edits; ``seconds`` are a subject's, per stage."""
        judged = [s for s in self.scores if s.success is not None]
        posed = [s for s in judged if s.edit == "pose"]
        return {
            "edit_success": _mean([s.success for s in judged]),
            "pose_success": _mean([s.success for s in posed]),
            **{
                name: _mean([getattr(s, name) for s in self.scores])
                for name in (f.name for f in fields(Score))
                if name not in ("edit", "success")
            },
            "by_edit": {name: _mean([s.success for s in judged if s.edit == name]) for name in EDITS},
            "seconds": {stage: _mean(values) for stage, values in self.seconds.items()},
        }


def _mean(values: Sequence[float | bool | None]) -> float:
    return round(float(np.mean(np.array(values, dtype=float))), 4) if values else float("nan")


def evaluate(
    model: BaseModel, recipe: Recipe, probe: Probe, subjects: Sequence[DrawnSubject], cache: Path, sheets: Path | None
) -> dict[str, Tally]:
    """Learn and edit every subject in all runs; with ``sheets``, one picture of each subject's results."""
    tallies = {run: Tally() for run in RUNS}
    nima_config = recipe.method_config("nima")
    configs = {"nima": nima_config, "unmasked": replace(nima_config, mask_mode="none", composite=False)}
    with tqdm(total=len(subjects) * len(RUNS), unit="run", desc="evaluating") as bar:
        for drawn in subjects:
            prior, learning = learn(model, recipe, drawn, cache, on_step=partial(_show, bar, drawn.name))
            rows = []
            for run, tally in tallies.items():
                bar.set_postfix_str(f"{drawn.name}: {run}")
                config, used = configs.get(run, nima_config), None if run == "no_prior" else prior
                made = nima.edit(model, edit_request(drawn), config, prior=used)
                judged = [_judge(probe, drawn, k, edit) for k, edit in enumerate(made)]
                tally.scores += judged
                for stage, seconds in {**(learning if run == "nima" else {}), **made[0].timings}.items():
                    tally.seconds[stage].append(seconds)
                rows.append((run, _cells(drawn, made, judged)))
                bar.update()
            if sheets is not None:
                sheets.mkdir(parents=True, exist_ok=True)
                contact_sheet(drawn.name, [_references(drawn), *rows]).save(sheets / f"{drawn.name}.png")
    return tallies


def _show(bar: tqdm, name: str, step: int, steps: int, loss: float) -> None:
    bar.set_postfix_str(f"{name}: learning {step}/{steps}, {loss:.3f}")


def _judge(probe: Probe, drawn: DrawnSubject, k: int, edit: Edit) -> Score:
    return score(
        probe,
        drawn.test,
        drawn.edits[k],
        image=edit.image,
        uncomposited=edit.uncomposited,
        source_mask=edit.source_mask,
    )


def _references(drawn: DrawnSubject) -> tuple[str, list[Cell]]:
    cells = [Cell(picture(drawing), f"reference {k}") for k, drawing in enumerate(drawn.references, start=1)]
    return "references and truth", [*cells, *(Cell(picture(edit.truth), f"truth: {edit.name}") for edit in drawn.edits)]


def _cells(drawn: DrawnSubject, made: list[Edit], judged: list[Score]) -> list[Cell]:
    cells = [Cell(picture(drawn.test), "test"), Cell(made[0].source_mask, f"source mask, IoU {judged[0].mask_iou:.2f}")]
    for edit, seen in zip(made, judged, strict=True):
        verdict = "not judged" if seen.success is None else "done" if seen.success else "not done"
        cells.append(Cell(edit.image, f"{seen.edit}: {verdict}", f"identity {seen.identity:.0%}"))
    return [*cells, Cell(made[-1].edit_mask, "last edit's mask")]


def render_table(results: dict[str, dict]) -> str:
    """The figures for a terminal."""
    names = [name for name in results["nima"] if name not in ("seconds", "by_edit")]
    lines = [f"{'':<26}" + "".join(f"{run:>10}" for run in RUNS) + f"{'target':>10}"]
    for name in names:
        target = f"{TARGETS[name]:>10.2f}" if name in TARGETS else ""
        lines.append(f"{name:<26}" + "".join(f"{results[run][name]:>10.3f}" for run in RUNS) + target)
    for name in EDITS:
        lines.append(f"  success of {name:<13}" + "".join(f"{results[run]['by_edit'][name]:>10.3f}" for run in RUNS))
    lines.append("seconds: " + ", ".join(f"{k} {v:.1f}" for k, v in results["nima"]["seconds"].items()))
    lines.append("probe, held out: " + ", ".join(f"{k} {v:.1%}" for k, v in results["probe"].items()))
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    probe = load_probe()
    model = sdxl.load(options.checkpoint, device=options.device)
    recipe = load_recipe(options.checkpoint)
    subjects = list(fresh(options.subjects, options.seed))
    tallies = evaluate(model, recipe, probe, subjects, options.cache, options.sheets)
    results = {run: tally.figures() for run, tally in tallies.items()} | {"probe": probe.held_out}
    print(render_table(results))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=2) + "\n")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m menagerie.evaluate", description=__doc__)
    parser.add_argument("--subjects", type=int, default=12, help="how many fresh subjects are drawn")
    parser.add_argument("--seed", type=int, default=1, help="decides the subjects")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--sheets", type=Path, help="a folder for one contact sheet per subject")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--cache", type=Path, default=Path("out/regularization"), help="painted class pictures")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
