"""Contact sheets: labelled images in rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

_GAP = 12
_LINE = 17
_BACKGROUND, _TEXT, _NOTE = (250, 249, 246), (34, 34, 40), (120, 120, 128)


@dataclass(frozen=True)
class Cell:
    """One image with a label and, in grey below it, a note. Both are wrapped to the width of the image."""

    image: Image.Image
    label: str
    note: str = ""


def contact_sheet(title: str, rows: Sequence[tuple[str, Sequence[Cell]]], side: int = 192) -> Image.Image:
    """Arrange rows of (heading, cells) on one sheet. Each image is scaled to fit `side` x `side` pixels."""
    bold, plain = ImageFont.load_default(16), ImageFont.load_default(13)
    texts = [
        (heading, [(cell.image, _wrap(cell.label, plain, side), _wrap(cell.note, plain, side)) for cell in cells])
        for heading, cells in rows
    ]
    lines = [max((len(label) + len(note) for _, label, note in cells), default=0) for _, cells in texts]
    heights = [side + _LINE * (2 + count) + _GAP for count in lines]
    width = max(len(cells) for _, cells in rows) * (side + _GAP) + _GAP
    sheet = Image.new("RGB", (width, sum(heights) + 3 * _LINE), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), title, fill=_TEXT, font=bold)
    y = _GAP + 2 * _LINE
    for (heading, cells), height in zip(texts, heights, strict=True):
        draw.text((_GAP, y), heading, fill=_TEXT, font=bold)
        for k, (image, label, note) in enumerate(cells):
            x, top = _GAP + k * (side + _GAP), y + _LINE + 6
            sheet.paste(_fit(image, side), (x, top))
            for line, text in enumerate([*label, *note]):
                ink = _TEXT if line < len(label) else _NOTE
                draw.text((x, top + side + 3 + _LINE * line), text, fill=ink, font=plain)
        y += height
    return sheet


def success_label(edit: str, success: bool | None) -> str:
    """The name of an edit with the probe's verdict; `success` is None if the probe cannot judge the edit."""
    return f"{edit}: {'not judged' if success is None else 'done' if success else 'not done'}"


def _fit(image: Image.Image, side: int) -> Image.Image:
    scale = side / max(image.size)
    fitted = image.convert("RGB").resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS
    )
    tile = Image.new("RGB", (side, side), _BACKGROUND)
    tile.paste(fitted, ((side - fitted.width) // 2, (side - fitted.height) // 2))
    return tile


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
