"""A visible label in the image's lower right corner that says that a model edited the image.

Light text lies on a dark plate with a light edge, so that it is legible on light, dark and busy images. Its size
follows the image's, so that it stays legible when the image is shown smaller.
"""

from math import ceil

from PIL import Image, ImageDraw, ImageFont

from provenance.edit_manifest import Region

TEXT = "AI-edited"
LIGHT, DARK = (255, 255, 255), (24, 24, 24)
SIZE = 0.036
"""The height of the font, as a share of the side of a square with the image's area."""
LARGEST = 0.1
"""The largest height of the font, as a share of the image's shorter side: for panoramas."""
SMALLEST_PIXELS = 12
PADDING, DISTANCE, EDGE = 0.45, 0.6, 0.08
"""Lengths as shares of the font's height: around the text, to the image's border, and the width of the edge."""


def label_region(size: tuple[int, int]) -> Region:
    """The rectangle of the label in an image of this width and height, in pixels."""
    return _layout(size)[0]


def add_label(image: Image.Image) -> Image.Image:
    """The RGB image with the label. All pixels outside `label_region` keep their values."""
    region, font, height = _layout(image.size)
    plate, edge = Image.new("RGB", (region.width, region.height), DARK), max(1, round(EDGE * height))
    draw = ImageDraw.Draw(plate)
    draw.rectangle((0, 0, region.width - 1, region.height - 1), outline=LIGHT, width=edge)
    draw.text((region.width / 2, region.height / 2), TEXT, LIGHT, font, anchor="mm")
    labelled = image.copy()
    labelled.paste(plate, (region.left, region.top))
    return labelled


def _layout(size: tuple[int, int]) -> tuple[Region, ImageFont.FreeTypeFont, float]:
    """The label's rectangle, its font and the font's height in pixels."""
    width, height = size
    pixels = max(SMALLEST_PIXELS, min(SIZE * (width * height) ** 0.5, LARGEST * min(size)))
    font = ImageFont.load_default(pixels)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("the visible label needs a Pillow with FreeType, as its wheels have it")
    left, top, right, bottom = font.getbbox(TEXT)
    padding, distance = ceil(PADDING * pixels), round(DISTANCE * pixels)
    plate = (ceil(right - left) + 2 * padding, ceil(bottom - top) + 2 * padding)
    return Region(max(0, width - distance - plate[0]), max(0, height - distance - plate[1]), *plate), font, pixels
