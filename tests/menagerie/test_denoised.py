"""A miniature is judged by the true drawings that it denoises."""

import pytest
from PIL import Image

from menagerie import denoised
from menagerie.denoised import LEVELS
from menagerie.draw import render
from menagerie.pool import drawing_of
from menagerie.wholeness import load_wholeness


def test_the_miniature_keeps_drawings_without_noise_whole_and_loses_some_with_it() -> None:
    found = denoised.main(["--images", "3"])
    assert list(found) == list(LEVELS)
    assert found[0.0].whole == 1.0
    assert found[0.0].psnr > found[0.25].psnr > found[0.5].psnr > 10


def test_the_true_drawing_is_whole_and_another_one_is_not() -> None:
    first, second = (drawing_of(4242, k) for k in range(2))
    images = [Image.fromarray(render(drawing)) for drawing in (first, second)]
    wholeness = load_wholeness()
    assert denoised.judge(wholeness, [first, second], images).whole == 1.0
    assert denoised.judge(wholeness, [second, first], images).whole == 0.0


def test_no_images_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        denoised.main(["--images", "0"])
    assert "--images must be at least 1" in capsys.readouterr().err
