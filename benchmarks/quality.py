"""Compare all systems on the same edits: ``python -m benchmarks.quality --systems "lipe; masactrl" --subjects 28``.

Each system learns the benchmark's drawn subjects from their references and edits them. The scores compare the edits
with the drawn truth. Runs that are already in OUT are not repeated, so that the command can be interrupted and systems
can be added. It writes table.md, table.json, a sheet of each subject and a plot.
"""

import argparse
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from benchmarks.judges import add_metrics, load_judges
from benchmarks.measure import ResourceMonitor
from benchmarks.quality_report import Run, write_report
from benchmarks.systems import SYSTEMS, System
from lipe_core.adapters.prior import Prior, load_prior, save_prior
from lipe_core.backbone import BaseModel
from lipe_core.errors import InvalidPrior
from lipe_core.methods.mystyle import face_generator
from lipe_core.methods.registry import METHODS
from lipe_core.methods.request import Edit
from lipe_core.recipe import Recipe, load_recipe
from menagerie.experiment import CATEGORIES, DataVariant, edit_request, learn
from menagerie.judge import Judge, Score, load_judge, score
from menagerie.miniatures import add_options, load_chosen
from menagerie.subjects import DrawnSubject, benchmark, fresh
from menagerie.vision_models import CLIP, DINOV2

_ROLES = ("image", "edit_mask", "source_mask")


def run(
    model: BaseModel,
    judge: Judge,
    drawn: DrawnSubject,
    name: str,
    seed: int,
    out: Path,
) -> Run:
    """One system on one subject, from OUT if it is there with the same weights and settings."""
    system, recipe = SYSTEMS[name], load_recipe(model.checkpoint)
    recipe = replace(recipe, prior={**recipe.prior, **system.training})
    config = config_of(system, recipe)
    prior_settings = _prior_settings(system, recipe, drawn)
    key = [drawn.name, name, seed, asdict(config), prior_settings, model.fingerprint, judge.held_out]
    key += [field.name for kept in (Run, Score) for field in fields(kept)]  # a run that lacks a field is repeated
    if not METHODS[system.method].has_prior:
        key.append(face_generator.fingerprint(Path(model.checkpoint) / face_generator.FOLDER))
    folder = out / "runs" / hashlib.sha256(json.dumps(key, default=str).encode()).hexdigest()[:16]
    if not (folder / "run.json").exists():
        prior = load_or_learn(model, recipe, drawn, system.prior, out / "priors") if system.prior else None
        request, monitor = edit_request(drawn, seed), ResourceMonitor(model.device.type)
        start_mb = monitor.reset_peak()
        edits = METHODS[system.method].edit(model, request, config, prior=prior)
        _save(folder, drawn, name, judge, edits, monitor.peak_mb() - start_mb)
    return Run.read(folder)


def config_of(system: System, recipe: Recipe) -> Any:
    """The method settings of the checkpoint's recipe, with the changes of the system."""
    return replace(recipe.method_config(system.method), **system.changes)


def load_or_learn(model: BaseModel, recipe: Recipe, drawn: DrawnSubject, data: DataVariant, folder: Path) -> Prior:
    """The subject's prior, from the folder if it is there with the same weights and settings."""
    settings = json.dumps([_recipe_settings(recipe, drawn), model.fingerprint, data])
    prior_folder = folder / f"{drawn.name}-{hashlib.sha256(settings.encode()).hexdigest()[:16]}"
    try:
        return load_prior(prior_folder, model.fingerprint)
    except InvalidPrior:
        prior, _ = learn(model, recipe, drawn, folder / "regularization", data=data)
        return save_prior(prior.adapter, prior.manifest, prior_folder)


def _save(folder: Path, drawn: DrawnSubject, name: str, judge: Judge, edits: Sequence[Edit], peak_mb: float) -> None:
    """Score the edits and write them. run.json is written last, and atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    scores = []
    for k, edit in enumerate(edits):
        scores.append(asdict(score(
            judge, drawn.test, drawn.edits[k],
            image=edit.image, uncomposited=edit.uncomposited, source_mask=edit.source_mask,
        )))  # fmt: skip
        for role in _ROLES:
            image: Image.Image = getattr(edit, role)
            image.save(folder / f"{role}-{k}.png")
    facts = {
        "subject": drawn.name,
        "kind": drawn.identity.kind,
        "system": name,
        "seconds": sum(edits[0].timings.values()) / len(edits),
        "evaluations": edits[0].evaluations,
        "peak_mb": peak_mb,
        "scores": scores,
    }
    partial_file = folder / "run.partial"
    partial_file.write_text(json.dumps(facts, indent=2))
    os.replace(partial_file, folder / "run.json")


def _recipe_settings(recipe: Recipe, drawn: DrawnSubject) -> list[dict[str, Any]]:
    return [asdict(recipe.prior_config(CATEGORIES[drawn.identity.kind])), asdict(recipe.regularization_config())]


def _prior_settings(system: System, recipe: Recipe, drawn: DrawnSubject) -> list[Any]:
    return [system.prior, *_recipe_settings(recipe, drawn)] if system.prior else []


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    judge, model = load_judge(), load_chosen(options)
    judges = load_judges(options.clip, options.dinov2, options.lpips, options.device)
    subjects = list(fresh(options.subjects, options.seed)) if options.fresh else benchmark()[: options.subjects]
    runs: list[Run] = []
    systems = [name for name in options.systems if METHODS[SYSTEMS[name].method].fits(model.family)]
    work = [(drawn, name) for drawn in subjects for name in systems if SYSTEMS[name].edits(drawn.identity.kind)]
    if not work:
        raise SystemExit(f"none of the systems edits one of the {len(subjects)} subjects: choose more of either")
    with tqdm(total=len(work), unit="run", desc="quality") as bar:
        for drawn, name in work:
            bar.set_postfix_str(f"{drawn.name}: {name}")
            finished = run(model, judge, drawn, name, options.seed, options.out)
            runs.append(add_metrics(finished, drawn, judges))
            bar.update()
    print(write_report(runs, subjects, judge.held_out, options.out))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument(
        "--systems",
        type=parse_systems,
        default=list(SYSTEMS),
        help="systems, separated by semicolons; one that the backbone has not is left out: " + "; ".join(SYSTEMS),
    )
    parser.add_argument("--subjects", type=int, default=28, help="number of subjects")
    parser.add_argument(
        "--fresh", action="store_true", help="use random subjects of the seed, not those of the benchmark"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the edits, and of fresh subjects")
    parser.add_argument("--out", type=Path, default=Path("out/quality"), help="output folder")
    add_options(parser)
    parser.add_argument("--clip", default=CLIP, help="model of CLIP-I, CLIP-T and CLIP-D: a folder or a hub id")
    parser.add_argument("--dinov2", default=DINOV2, help="model of DINOv2-I: a folder or a hub id")
    parser.add_argument(
        "--lpips", type=Path, help="weights of LPIPS (lipe_core/metrics/lpips.py); without them LPIPS is not measured"
    )
    return parser.parse_args(argv)


def parse_systems(text: str) -> list[str]:
    """Split names at semicolons, because some names contain a comma."""
    names = [name.strip() for name in text.split(";") if name.strip()]
    if unknown := sorted(set(names) - set(SYSTEMS)):
        raise argparse.ArgumentTypeError(f"unknown systems {unknown}: choose from {'; '.join(SYSTEMS)}")
    return names


if __name__ == "__main__":
    main()
