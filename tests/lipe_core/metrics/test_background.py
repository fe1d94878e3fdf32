import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from lipe_core.metrics.background import outside, psnr, ssim

Pixels = npt.NDArray[np.uint8]


def noise(seed: int, height: int = 24, width: int = 20) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def flat(value: int, height: int = 24, width: int = 20) -> Pixels:
    return np.full((height, width, 3), value, dtype=np.uint8)


@pytest.mark.parametrize("offset", [1, 5, 255])
def test_psnr_of_a_known_offset(offset: int) -> None:
    assert psnr(flat(offset), flat(0)) == pytest.approx(20 * np.log10(255 / offset))
    assert psnr(flat(0), flat(offset)) == pytest.approx(20 * np.log10(255 / offset))


def test_psnr_counts_the_background_alone() -> None:
    background = np.zeros((24, 20), bool)
    background[:6] = True
    edited = flat(0)
    edited[:3] = 10
    edited[6:] = 200
    assert psnr(edited, flat(0), background) == pytest.approx(10 * np.log10(255**2 / 50))
    assert psnr(edited, flat(0)) < psnr(edited, flat(0), background)


@pytest.mark.parametrize("background", [None, np.eye(24, 20, dtype=bool)])
def test_equal_images_have_the_best_figures(background: npt.NDArray[np.bool_] | None) -> None:
    assert psnr(noise(0), noise(0), background) == 60
    assert ssim(noise(0), noise(0), background) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("a", "b"), [(0, 255), (100, 120), (7, 7)])
def test_ssim_of_flat_images_is_its_closed_form(a: int, b: int) -> None:
    c1 = (0.01 * 255) ** 2
    assert ssim(flat(a), flat(b)) == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1))


def test_ssim_is_wangs_formula_window_by_window() -> None:
    edited, source = noise(1, 13, 12), (noise(1, 13, 12) // 2 + noise(2, 13, 12) // 3).astype(np.uint8)
    expected = _ssim_window_by_window(edited, source)
    assert ssim(edited, source) == pytest.approx(expected.mean(), abs=1e-12)
    assert ssim(source, edited) == pytest.approx(expected.mean(), abs=1e-12)
    background = np.zeros((13, 12), bool)
    background[6, 5:7] = True
    unmasked = np.where(background[..., None], edited, source)
    expected = _ssim_window_by_window(unmasked, source)[1]
    assert ssim(edited, source, background) == pytest.approx(expected.mean(), abs=1e-12)


def _ssim_window_by_window(edited: Pixels, source: Pixels) -> npt.NDArray[np.float64]:
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    height, width, channels = edited.shape
    quality = np.zeros((height - 10, width - 10, channels))
    for y, x, c in np.ndindex(*quality.shape):
        a, b = (image[y : y + 11, x : x + 11, c].astype(float) for image in (edited, source))
        mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
        var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
        covariance = (weights * (a - mean_a) * (b - mean_b)).sum()
        quality[y, x, c] = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
        quality[y, x, c] /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return quality.mean(axis=-1)


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_pixels_inside_the_mask_have_no_effect(measure) -> None:
    background = np.ones((24, 20), bool)
    background[4:20, 6:15] = False
    source, edited = noise(3), (noise(3) // 2 + noise(4) // 4).astype(np.uint8)
    before = measure(edited, source, background)
    edited[~background] = 255 - edited[~background]
    assert measure(edited, source, background) == before
    edited[0:12, 0:6] = 128
    assert measure(edited, source, background) != before


def test_more_noise_is_worse() -> None:
    source = noise(5)
    edited = [
        np.clip(source.astype(int) + strength * (noise(6) % 3 - 1.0), 0, 255).astype(np.uint8)
        for strength in (4, 16, 64)
    ]
    for measure in (psnr, ssim):
        figures = [measure(image, source) for image in edited]
        assert figures == sorted(figures, reverse=True)


def test_the_background_is_outside_all_masks() -> None:
    left, top = np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint8)
    left[:, :2], top[:1] = 255, 128
    top[3] = 127
    expected = np.ones((4, 6), bool)
    expected[:, :2], expected[:1] = False, False
    assert np.array_equal(outside(Image.fromarray(left), Image.fromarray(top)), expected)
    assert outside(Image.fromarray(left)).sum() == 16


def test_no_background_and_images_too_small_are_refused() -> None:
    nothing = np.zeros((24, 20), bool)
    for measure in (psnr, ssim):
        with pytest.raises(ValueError, match="no background"):
            measure(noise(0), noise(1), nothing)
    rim = nothing.copy()
    rim[0] = True  # no window inside the image has its centre there
    with pytest.raises(ValueError, match="no background"):
        ssim(noise(0), noise(1), rim)
    with pytest.raises(ValueError, match="11 x 11"):
        ssim(noise(0, 10, 30), noise(1, 10, 30))
