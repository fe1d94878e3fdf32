"""Colours and shapes that all drawings share: filled shapes with a darker outline, and a subject's colours."""

from dataclasses import dataclass

import numpy as np
import skia

from menagerie.attributes import Identity

RGB = tuple[int, int, int]
PALETTE: dict[str, RGB] = {
    "red": (212, 44, 48),
    "orange": (244, 140, 36),
    "yellow": (250, 218, 64),
    "green": (58, 160, 74),
    "blue": (52, 112, 220),
    "purple": (148, 82, 190),
    "white": (246, 246, 246),
    "brown": (120, 76, 44),
}
INK: RGB = (36, 30, 34)
OUTLINE = 1.5


def shade(color: RGB, factor: float) -> RGB:
    """The colour darkened (factor < 1) or lightened (factor > 1)."""
    return tuple(int(np.clip(c * factor if factor <= 1 else 255 - (255 - c) * (2 - factor), 0, 255)) for c in color)  # type: ignore[return-value]


def fill_paint(color: RGB, alpha: int = 255) -> skia.Paint:
    return skia.Paint(AntiAlias=True, Color=skia.Color(*color, alpha))


def stroke_paint(color: RGB, width: float) -> skia.Paint:
    paint = skia.Paint(AntiAlias=True, Color=skia.Color(*color), Style=skia.Paint.kStroke_Style, StrokeWidth=width)
    paint.setStrokeCap(skia.Paint.kRound_Cap)
    paint.setStrokeJoin(skia.Paint.kRound_Join)
    return paint


def ellipse(cx: float, cy: float, rx: float, ry: float, degrees: float = 0.0) -> skia.Path:
    path = skia.Path()
    path.addOval(skia.Rect.MakeLTRB(cx - rx, cy - ry, cx + rx, cy + ry))
    return rotated(path, degrees, cx, cy)


def box(left: float, top: float, right: float, bottom: float, radius: float = 3.0) -> skia.Path:
    path = skia.Path()
    path.addRoundRect(skia.Rect.MakeLTRB(left, top, right, bottom), radius, radius)
    return path


def limb(x0: float, y0: float, x1: float, y1: float, width: float) -> skia.Path:
    """A bar with round ends from one point to another."""
    length, angle = float(np.hypot(x1 - x0, y1 - y0)), float(np.degrees(np.arctan2(y1 - y0, x1 - x0)))
    path = box(x0 - width / 2, y0 - width / 2, x0 + length + width / 2, y0 + width / 2, width / 2)
    return rotated(path, angle, x0, y0)


def polygon(*points: tuple[float, float]) -> skia.Path:
    path = skia.Path()
    path.moveTo(*points[0])
    for point in points[1:]:
        path.lineTo(*point)
    path.close()
    return path


def rotated(path: skia.Path, degrees: float, cx: float, cy: float) -> skia.Path:
    if degrees:
        path.transform(skia.Matrix.RotateDeg(degrees, skia.Point(cx, cy)))
    return path


def draw_shape(canvas: skia.Canvas, path: skia.Path, color: RGB, outline: RGB | None = None) -> None:
    """Fill a shape and draw its outline. The default outline is a darker tone of the fill colour."""
    canvas.drawPath(path, fill_paint(color))
    canvas.drawPath(path, stroke_paint(outline or shade(color, 0.45), OUTLINE))


@dataclass(frozen=True)
class Colors:
    """A subject's colours and pattern. The pattern is placed in the coordinates of each body part."""

    main: RGB
    second: RGB
    accessory: RGB
    pattern: str
    seed: int

    @staticmethod
    def of(identity: Identity) -> "Colors":
        tint = np.array(identity.tint) * 10
        main, second = (
            tuple(int(c) for c in np.clip(np.array(PALETTE[name]) + tint, 0, 255))
            for name in (identity.color, identity.second_color)
        )
        return Colors(main, second, PALETTE[identity.accessory_color], identity.pattern, identity.pattern_seed)  # type: ignore[arg-type]

    def draw_part(
        self,
        canvas: skia.Canvas,
        path: skia.Path,
        frame: tuple[float, float, float, float],
        degrees: float = 0.0,
    ) -> None:
        """Draw a body part whose centre and half-sizes are `frame` = (cx, cy, rx, ry), rotated by `degrees`."""
        cx, cy, rx, ry = frame
        canvas.drawPath(path, fill_paint(self.main))
        canvas.save()
        canvas.clipPath(path, True)
        canvas.translate(cx, cy)
        canvas.rotate(degrees)
        _PATTERNS.get(self.pattern, _plain)(canvas, rx, ry, self)
        canvas.restore()
        canvas.drawPath(path, stroke_paint(shade(self.main, 0.4), OUTLINE))


def _plain(canvas: skia.Canvas, rx: float, ry: float, colors: Colors) -> None:
    pass


def _spotted(canvas: skia.Canvas, rx: float, ry: float, colors: Colors) -> None:
    rng = np.random.default_rng(colors.seed)
    pitch = 13.0
    for row, y in enumerate(np.arange(-ry, ry + pitch, pitch)):
        for x in np.arange(-rx, rx + pitch, pitch):
            dx, dy, r = rng.uniform(-1.5, 1.5), rng.uniform(-1.5, 1.5), rng.uniform(3.8, 4.6)
            canvas.drawCircle(x + dx + (row % 2) * pitch / 2, y + dy, r, fill_paint(colors.second))


def _striped(canvas: skia.Canvas, rx: float, ry: float, colors: Colors) -> None:
    phase = np.random.default_rng(colors.seed).uniform(0, 4)
    for x in np.arange(-rx - 12 + phase, rx + 12, 13.0):
        canvas.drawPath(
            polygon((x, -ry - 2), (x + 6, -ry - 2), (x + 8, ry + 2), (x + 2, ry + 2)), fill_paint(colors.second)
        )


def _patched(canvas: skia.Canvas, rx: float, ry: float, colors: Colors) -> None:
    side = 1 if colors.seed % 2 else -1
    canvas.drawPath(ellipse(side * rx * 0.7, -ry * 0.3, rx * 0.75, ry * 1.0), fill_paint(colors.second))


_PATTERNS = {"spotted": _spotted, "striped": _striped, "patched": _patched}
