import cv2
import numpy as np
from PIL import Image

from lipe_core.grain import add_grain

WORKING = (160, 200)


def photo(grain: float) -> Image.Image:
    """400 x 320, smooth colors and noise of that deviation, blurred as a camera's is."""
    draw = np.random.default_rng(0)
    colors = Image.fromarray(draw.integers(60, 200, (3, 4, 3), dtype=np.uint8)).resize(
        (400, 320), Image.Resampling.BICUBIC
    )
    noise = cv2.GaussianBlur(draw.standard_normal((320, 400)), (0, 0), 0.7)
    return Image.fromarray(
        (np.asarray(colors) + grain * (noise / noise.std())[..., None]).clip(0, 255).astype(np.uint8)
    )


def smoothed(image: Image.Image) -> Image.Image:
    """The image after it was scaled to the working size and back."""
    return image.resize(WORKING[::-1], Image.Resampling.LANCZOS).resize(image.size, Image.Resampling.LANCZOS)


def fine_scales(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image.convert("L"), float)
    return pixels - cv2.GaussianBlur(pixels, (0, 0), 1.5)


def test_a_smoothed_photo_gets_its_noise_back() -> None:
    source = photo(grain=6.0)
    smooth = smoothed(source)
    grainy = add_grain(smooth, source, WORKING)
    wanted = fine_scales(source).std()
    assert fine_scales(smooth).std() < 0.7 * wanted
    assert 0.85 * wanted < fine_scales(grainy).std() < 1.1 * wanted
    # the same shape of spectrum: neighbors are alike as in the photo
    correlation = [np.corrcoef(f[:, 1:].ravel(), f[:, :-1].ravel())[0, 1] for f in map(fine_scales, (source, grainy))]
    assert abs(correlation[0] - correlation[1]) < 0.1


def test_a_photo_without_grain_gets_at_most_its_rounding_errors() -> None:
    source = photo(grain=0.0)
    smooth = smoothed(source)
    difference = np.asarray(add_grain(smooth, source, WORKING), float) - np.asarray(smooth, float)
    assert difference.std() < 0.7


def test_an_image_that_was_not_scaled_down_stays() -> None:
    source = photo(grain=6.0)
    assert add_grain(source, source, (320, 400)) is source


def test_grain_is_the_same_at_each_call() -> None:
    source = photo(grain=6.0)
    assert add_grain(source, source, WORKING) == add_grain(source, source, WORKING)
