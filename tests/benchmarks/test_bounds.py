"""LIPE on six of the benchmark's subjects, two of each kind: a change that costs quality fails here.

Priors are learned without images of the class, to be done in minutes: the benchmark's "lipe, no regularization".
`python -m tests.benchmarks.test_bounds` prints the figures; each bound is below what it printed by what an edit or more
would move, as the rounding of another machine may.
"""

from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

from lipe_core import sdxl
from lipe_core.methods.nima import edit as nima
from lipe_core.recipe import load_recipe
from menagerie.experiment import edit_request, learn
from menagerie.judge import Score, score
from menagerie.models import CHECKPOINT
from menagerie.probe import load_probe
from menagerie.subjects import benchmark

SUBJECTS = (0, 4, 12, 14, 20, 24)
BOUNDS = {"success": 0.83, "identity": 0.92, "background_psnr": 34.0, "mask_iou": 0.91}


def test_no_figure_has_fallen_below_its_bound(tmp_path: Path) -> None:
    found = figures(tmp_path)
    assert {name: value for name, value in found.items() if value < BOUNDS[name]} == {}, found


def figures(folder: Path) -> dict[str, float]:
    """Means over all edits of all six."""
    scores = [judged for number in SUBJECTS for judged in edited(number, folder)]
    return {
        "success": mean(each.success for each in scores if each.success is not None),
        "identity": mean(each.identity for each in scores),
        "background_psnr": mean(each.background_psnr for each in scores),
        "mask_iou": mean(each.mask_iou for each in scores),
    }


def edited(number: int, folder: Path) -> list[Score]:
    """One subject, learned, and its four edits judged."""
    drawn, model, recipe, probe = benchmark()[number], sdxl.load(CHECKPOINT), load_recipe(CHECKPOINT), load_probe()
    prior, _ = learn(model, recipe, drawn, folder, data="no_regularization")
    made = nima.edit(model, edit_request(drawn), recipe.method_config("nima"), prior=prior)
    return [
        score(
            probe, drawn.test, wanted,
            image=edit.image, uncomposited=edit.uncomposited, source_mask=edit.source_mask,
        )
        for wanted, edit in zip(drawn.edits, made, strict=True)
    ]  # fmt: skip


if __name__ == "__main__":
    with TemporaryDirectory() as scratch:
        print(figures(Path(scratch)))
