"""Bounds on the quality of LIPE's edits: three of the benchmark's subjects, one of each kind.

Priors are learned without images of the class, to be fast: the benchmark's "lipe, no regularization".
`python -m tests.benchmarks.test_bounds` prints the figures. Each bound is below the printed figure by the effect of one
edit or more, because the rounding of another machine can change one.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import pytest

from lipe_core import sdxl
from lipe_core.methods.nima import edit as nima
from lipe_core.recipe import load_recipe
from menagerie.draw import render
from menagerie.experiment import edit_request, learn
from menagerie.judge import Score, load_judge, outside_mask, score
from menagerie.models import CHECKPOINT
from menagerie.subjects import benchmark

SUBJECTS = (0, 14, 20)
BOUNDS = {"clean": 0.0, "success": 0.75, "identity": 0.92, "outside_mask_psnr": 31.0, "mask_iou": 0.88}
"""Of the means over all edits. The bound of `clean` is provisional: it is 0 until the next weights are measured."""
SUBJECT_BOUNDS = {"clean": 0.0, "success": 0.25, "identity": 0.75, "outside_mask_psnr": 28.0, "mask_iou": 0.7}
"""Of the means over the edits of one subject."""

Scored = tuple[Score, float]
"""The judge's score of an edit, and the PSNR outside its mask before compositing."""

ScoresOf = Callable[[int], list[Scored]]


@pytest.fixture(scope="session")
def scores_of(tmp_path_factory: pytest.TempPathFactory) -> ScoresOf:
    """The scores of a subject's edits. Each subject is learned and edited once in a session."""
    return make_scores_of(tmp_path_factory.mktemp("bounds"))


@pytest.mark.parametrize("number", SUBJECTS)
def test_no_figure_of_a_subject_has_fallen_below_its_bound(scores_of: ScoresOf, number: int) -> None:
    found = figures(scores_of(number))
    assert {name: value for name, value in found.items() if value < SUBJECT_BOUNDS[name]} == {}, found


def test_no_mean_has_fallen_below_its_bound(scores_of: ScoresOf) -> None:
    found = figures([scored for number in SUBJECTS for scored in scores_of(number)])
    assert {name: value for name, value in found.items() if value < BOUNDS[name]} == {}, found


def figures(scored: list[Scored]) -> dict[str, float]:
    """Means over the edits."""
    return {
        "clean": mean(score.clean for score, _ in scored),
        "success": mean(score.success for score, _ in scored if score.success is not None),
        "identity": mean(score.identity for score, _ in scored),
        "outside_mask_psnr": mean(psnr for _, psnr in scored),
        "mask_iou": mean(score.mask_iou for score, _ in scored),
    }


def make_scores_of(folder: Path) -> ScoresOf:
    """A function that learns a subject, edits its test image and scores the four edits, once per subject."""
    model, recipe, judge = sdxl.load(CHECKPOINT), load_recipe(CHECKPOINT), load_judge()

    @cache
    def scores_of(number: int) -> list[Scored]:
        drawn = benchmark()[number]
        prior, _ = learn(model, recipe, drawn, folder, data="no_regularization")
        edits = nima.edit(model, edit_request(drawn), recipe.method_config("nima"), prior=prior)
        return [
            (
                score(
                    judge, drawn.test, drawn_edit,
                    image=edit.image, uncomposited=edit.uncomposited, source_mask=edit.source_mask,
                ),
                outside_mask(render(drawn.test), edit)[0],
            )
            for drawn_edit, edit in zip(drawn.edits, edits, strict=True)
        ]  # fmt: skip

    return scores_of


if __name__ == "__main__":
    with TemporaryDirectory() as scratch:
        scores_of_subject = make_scores_of(Path(scratch))
        for number in SUBJECTS:
            print(number, figures(scores_of_subject(number)))
        print("all", figures([scored for number in SUBJECTS for scored in scores_of_subject(number)]))
