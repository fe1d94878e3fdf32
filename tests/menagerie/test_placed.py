"""Placed PSNR and ghosts on known images."""

import numpy as np
import pytest

from menagerie.draw import mask, render
from menagerie.placed import ghost_share, placed_psnr
from menagerie.subjects import DrawnEdit, DrawnSubject, fresh

SUBJECT = next(fresh(1, seed=78))
POSE = SUBJECT.edits[0]


def ghosts_of(image: np.ndarray, subject: DrawnSubject = SUBJECT, edit: DrawnEdit = POSE) -> float:
    source, truth = render(subject.test), render(edit.truth)
    return ghost_share(image, source, truth, mask(subject.test), mask(edit.truth))


def test_a_moved_image_has_the_psnr_of_its_best_placement() -> None:
    truth, silhouette = render(POSE.truth), mask(POSE.truth)
    assert placed_psnr(truth, truth, silhouette) == 60
    assert placed_psnr(np.roll(truth, (2, -3), axis=(0, 1)), truth, silhouette) == 60
    assert placed_psnr(np.roll(truth, (0, 8), axis=(0, 1)), truth, silhouette) < 25


def test_the_true_result_and_one_that_is_moved_a_little_have_no_ghost() -> None:
    truth = render(POSE.truth)
    assert ghosts_of(truth) == 0
    assert ghosts_of(np.roll(truth, (2, -2), axis=(0, 1))) == 0


def test_a_whole_subject_beside_its_true_place_is_no_ghost_but_its_remainder_is() -> None:
    truth, source, old = render(POSE.truth), render(SUBJECT.test), mask(SUBJECT.test)
    beside = np.roll(truth, (0, -10), axis=(0, 1))
    assert ghosts_of(beside) < 0.01
    remains = np.where((old & ~np.roll(mask(POSE.truth), (0, -10), axis=(0, 1)))[..., None], source, beside)
    assert ghosts_of(remains) > 0.5


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_a_remainder_of_the_source_is_a_ghost(strength: float) -> None:
    truth, source, old = render(POSE.truth), render(SUBJECT.test), mask(SUBJECT.test)
    blended = truth + strength * old[..., None] * (source.astype(float) - truth)
    assert ghosts_of(blended.round().astype(np.uint8)) > 0.5


def test_the_untouched_source_is_a_ghost_and_other_colours_are_not() -> None:
    truth, source, old = render(POSE.truth), render(SUBJECT.test), mask(SUBJECT.test)
    assert ghosts_of(source) > 0.9
    opposite = np.where(old[..., None], 2 * truth.astype(float) - source, truth).clip(0, 255)
    assert ghosts_of(opposite.round().astype(np.uint8)) < 0.1


def test_an_edit_that_moves_no_part_has_no_ghost() -> None:
    assert ghosts_of(render(SUBJECT.test), SUBJECT, SUBJECT.edits[2]) == 0
