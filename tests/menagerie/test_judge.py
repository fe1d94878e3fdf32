"""Scores on known images: true results are successes, and unedited images are not."""

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from lipe_core.metrics.background import psnr
from lipe_core.metrics.overlap import iou
from menagerie.attributes import ATTRIBUTES
from menagerie.draw import mask, render
from menagerie.judge import Score, score
from menagerie.probe import Probe, load_probe
from menagerie.subjects import DrawnEdit, DrawnSubject, fresh


@pytest.fixture(scope="module")
def probe() -> Probe:
    return load_probe()


@pytest.fixture(scope="module")
def subjects() -> list[DrawnSubject]:
    return list(fresh(20, seed=77))


Pixels = npt.NDArray[np.uint8]


def score_of(probe: Probe, subject: DrawnSubject, edit: DrawnEdit, pixels: Pixels, source_mask: Pixels) -> Score:
    image = Image.fromarray(pixels)
    return score(probe, subject.test, edit, image=image, uncomposited=image, source_mask=Image.fromarray(source_mask))


def test_a_true_result_is_a_success_and_an_unedited_image_is_not(probe: Probe, subjects: list[DrawnSubject]) -> None:
    true, untouched = [], []
    for subject in subjects:
        silhouette = mask(subject.test).astype(np.uint8) * 255
        for edit in subject.edits:
            true.append(score_of(probe, subject, edit, render(edit.truth), silhouette))
            untouched.append(score_of(probe, subject, edit, render(subject.test), silhouette))
    assert np.mean([s.success for s in true if s.success is not None]) > 0.9
    assert np.mean([s.success for s in untouched if s.success is not None]) < 0.1
    assert np.mean([s.identity for s in true]) > 0.9
    assert all(s.mask_iou == 1 and s.target_psnr == 60 for s in true)
    assert all(s.background_psnr == 60 for s in untouched)


def test_another_subject_has_a_low_identity(probe: Probe, subjects: list[DrawnSubject]) -> None:
    pairs = zip(subjects, subjects[7:], strict=False)  # of the same kind
    silhouette = np.zeros((128, 128), np.uint8)
    scores = [score_of(probe, mine, mine.edits[0], render(other.test), silhouette) for mine, other in pairs]
    assert np.mean([s.identity for s in scores]) < 0.6


def test_the_probe_has_its_accuracy_for_each_attribute(probe: Probe) -> None:
    assert set(probe.held_out) == set(ATTRIBUTES)
    assert min(probe.held_out.values()) >= 0.97


def test_psnr_and_iou_on_known_numbers() -> None:
    black, grey = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 51, np.uint8)
    assert psnr(black, grey) == pytest.approx(20 * np.log10(5), abs=1e-6)
    assert psnr(black, black) == 60
    left, top = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    left[:, :2], top[:2] = True, True
    assert iou(left, top) == pytest.approx(4 / 12)
    assert iou(left & ~left, top & ~top) == 1
    assert psnr(black, grey, background=left) == pytest.approx(psnr(black, grey))
