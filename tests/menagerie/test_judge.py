"""Scores on known images: true results are clean; unedited, mixed and incomplete images are not."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from lipe_core.metrics.background import psnr
from lipe_core.metrics.overlap import iou
from menagerie.attributes import ATTRIBUTES
from menagerie.draw import mask, render
from menagerie.judge import Judge, Score, load_judge, score
from menagerie.subjects import DrawnEdit, DrawnSubject, fresh

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def judge() -> Judge:
    return load_judge()


@pytest.fixture(scope="module")
def subjects() -> list[DrawnSubject]:
    return list(fresh(20, seed=77))


def score_of(
    judge: Judge, subject: DrawnSubject, edit: DrawnEdit, pixels: Pixels, source_mask: Pixels | None = None
) -> Score:
    image = Image.fromarray(pixels)
    silhouette = np.zeros((128, 128), np.uint8) if source_mask is None else source_mask
    return score(judge, subject.test, edit, image=image, uncomposited=image, source_mask=Image.fromarray(silhouette))


def scores_of(
    judge: Judge, subjects: list[DrawnSubject], make: Callable[[DrawnSubject, DrawnEdit], Pixels]
) -> list[Score]:
    """The scores of made images, one for each edit of each subject."""
    return [score_of(judge, subject, edit, make(subject, edit)) for subject in subjects for edit in subject.edits]


def test_a_true_result_is_a_success_and_an_unedited_image_is_not(judge: Judge, subjects: list[DrawnSubject]) -> None:
    true, untouched = [], []
    for subject in subjects[:8]:
        silhouette = mask(subject.test).astype(np.uint8) * 255
        for edit in subject.edits:
            true.append(score_of(judge, subject, edit, render(edit.truth), silhouette))
            untouched.append(score_of(judge, subject, edit, render(subject.test), silhouette))
    assert np.mean([s.success for s in true if s.success is not None]) > 0.9
    assert np.mean([s.success for s in untouched if s.success is not None]) < 0.1
    assert np.mean([s.identity for s in true]) > 0.9
    assert all(s.mask_iou == 1 and s.target_psnr == 60 == s.placed_psnr for s in true)
    assert all(s.background_psnr == 60 for s in untouched)
    assert np.mean([s.clean for s in true]) > 0.95
    assert np.mean([s.clean for s in untouched]) < 0.02


def test_a_true_result_that_is_moved_by_two_pixels_is_clean(judge: Judge, subjects: list[DrawnSubject]) -> None:
    moved = scores_of(judge, subjects[:10], lambda _, edit: np.roll(render(edit.truth), (1, 2), axis=(0, 1)))
    assert np.mean([s.whole for s in moved]) > 0.9
    assert np.mean([s.clean for s in moved]) > 0.85


def test_a_pose_with_the_old_limbs_is_neither_whole_nor_without_a_ghost(
    judge: Judge, subjects: list[DrawnSubject]
) -> None:
    animals = [subject for subject in subjects if subject.identity.kind == "animal"]

    def with_old_limbs(subject: DrawnSubject, edit: DrawnEdit) -> Pixels:
        return np.where(mask(subject.test)[..., None], render(subject.test), render(edit.truth))

    posed = [score_of(judge, a, edit, with_old_limbs(a, edit)) for a in animals for edit in (a.edits[0], a.edits[3])]
    assert np.mean([s.whole for s in posed]) < 0.05
    assert np.mean([s.ghost_share for s in posed]) > 0.9
    assert not any(s.clean for s in posed)


def test_two_blended_images_are_not_clean_although_each_of_them_is_whole(
    judge: Judge, subjects: list[DrawnSubject]
) -> None:
    def blended(subject: DrawnSubject, edit: DrawnEdit) -> Pixels:
        return ((render(subject.test).astype(int) + render(edit.truth)) // 2).astype(np.uint8)

    scores = scores_of(judge, subjects[:10], blended)
    assert np.mean([s.whole for s in scores]) < 0.1
    assert sum(s.clean for s in scores) <= 1


@pytest.mark.slow
def test_a_lost_accessory_is_seen(judge: Judge, subjects: list[DrawnSubject]) -> None:
    dressed = [subject for subject in subjects if subject.identity.accessory != "none"]
    bare = [subject for subject in subjects if subject.identity.accessory == "none"]

    def undressed(_: DrawnSubject, edit: DrawnEdit) -> Pixels:
        return render(replace(edit.truth, identity=replace(edit.truth.identity, accessory="none")))

    lost = scores_of(judge, dressed, undressed)
    assert np.mean([bool(s.accessory_kept) for s in lost]) < 0.02
    assert not any(s.clean for s in lost)
    assert all(s.accessory_kept for s in scores_of(judge, dressed[:5], lambda _, edit: render(edit.truth)))
    assert {s.accessory_kept for s in scores_of(judge, bare[:3], lambda _, edit: render(edit.truth))} == {None}


def test_another_subject_has_a_low_identity(judge: Judge, subjects: list[DrawnSubject]) -> None:
    pairs = zip(subjects, subjects[7:], strict=False)  # of the same kind
    scores = [score_of(judge, mine, mine.edits[0], render(other.test)) for mine, other in pairs]
    assert np.mean([s.identity for s in scores]) < 0.6


def test_the_networks_have_their_accuracies(judge: Judge) -> None:
    assert set(judge.probe.held_out) == set(ATTRIBUTES)
    assert min(judge.probe.held_out.values()) >= 0.97
    assert min(judge.wholeness.held_out.values()) >= 0.8


def test_psnr_and_iou_on_known_numbers() -> None:
    black, grey = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 51, np.uint8)
    assert psnr(black, grey) == pytest.approx(20 * np.log10(5), abs=1e-6)
    assert psnr(black, black) == 60
    left, top = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    left[:, :2], top[:2] = True, True
    assert iou(left, top) == pytest.approx(4 / 12)
    assert iou(left & ~left, top & ~top) == 1
    assert psnr(black, grey, background=left) == pytest.approx(psnr(black, grey))
