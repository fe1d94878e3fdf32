"""Faces: eyes, mouth and accessories, for every kind of subject."""

import skia

from menagerie.brush import INK, RGB, box, draw_shape, ellipse, fill_paint, polygon, shade, stroke_paint

TURN = {"camera": 0, "left": -1, "right": 1}
_MOUTH: RGB = (150, 24, 40)
_WHITE: RGB = (252, 252, 252)


def eye(canvas: skia.Canvas, x: float, y: float, r: float, expression: str, gaze: float = 0.0) -> None:
    """One eye of radius `r`: closed when asleep, wide when surprised. `gaze` in [-1, 1] moves the pupil."""
    if expression == "asleep":
        lid = skia.Path()
        lid.addArc(skia.Rect.MakeLTRB(x - r, y - r * 0.8, x + r, y + r * 0.8), 10, 160)
        canvas.drawPath(lid, stroke_paint(INK, 2.2))
        return
    wide = 1.4 if expression == "surprised" else 1.0
    draw_shape(canvas, ellipse(x, y, r * 0.9 * wide, r * wide), _WHITE, INK)
    canvas.drawCircle(x + gaze * r * 0.35, y, r * 0.55, fill_paint(INK))


def mouth(canvas: skia.Canvas, x: float, y: float, r: float, expression: str) -> None:
    """A mouth of half-width `r`: a short line, an open smile, or a circle."""
    if expression == "smiling":
        smile = skia.Path()
        smile.moveTo(x - r, y - r * 0.25)
        smile.lineTo(x + r, y - r * 0.25)
        smile.arcTo(skia.Rect.MakeLTRB(x - r, y - r * 1.25, x + r, y + r * 0.85), 0, 180, False)
        smile.close()
        draw_shape(canvas, smile, _MOUTH, INK)
    elif expression == "surprised":
        draw_shape(canvas, ellipse(x, y + r * 0.1, r * 0.5, r * 0.7), _MOUTH, INK)
    else:
        canvas.drawLine(x - r * 0.5, y, x + r * 0.5, y, stroke_paint(INK, 1.8))


def glasses(canvas: skia.Canvas, eyes: list[tuple[float, float]], r: float, color: RGB, temple: float) -> None:
    """Rings around the eyes. `temple` is the x at which the arm ends, 0 for no arm."""
    edge, rim = stroke_paint(INK, 4.6), stroke_paint(color, 2.8)
    for x, y in eyes:
        canvas.drawCircle(x, y, r, edge)
        canvas.drawCircle(x, y, r, rim)
    (x0, y0), (x1, _) = eyes[0], eyes[-1]
    if len(eyes) > 1:
        canvas.drawLine(x0 + r, y0, x1 - r, y0, rim)
    if temple:
        canvas.drawLine((x1 if temple > 0 else x0) + (r if temple > 0 else -r), y0, temple, y0 - 1, rim)


def hat(canvas: skia.Canvas, x: float, y: float, r: float, color: RGB) -> None:
    """A top hat with its brim at (x, y)."""
    draw_shape(canvas, box(x - r * 0.58, y - r * 0.85, x + r * 0.58, y, 2), color)
    canvas.drawPath(box(x - r * 0.58, y - r * 0.3, x + r * 0.58, y - r * 0.06, 0), fill_paint(shade(color, 0.55)))
    draw_shape(canvas, box(x - r * 0.98, y - r * 0.12, x + r * 0.98, y + r * 0.12, 2.5), color)


def bow(canvas: skia.Canvas, x: float, y: float, r: float, color: RGB) -> None:
    """A ribbon tied at (x, y)."""
    for side in (-1, 1):
        draw_shape(canvas, polygon((x, y), (x + side * r, y - r * 0.75), (x + side * r, y + r * 0.75)), color)
    draw_shape(canvas, ellipse(x, y, r * 0.34, r * 0.34), shade(color, 0.75))


def collar(canvas: skia.Canvas, x: float, y: float, r: float, color: RGB) -> None:
    """A thin band with a golden tag."""
    draw_shape(canvas, box(x - r, y - 2.6, x + r, y + 2.6, 2.5), color)
    draw_shape(canvas, ellipse(x, y + 5, 3.6, 3.6), (252, 206, 40))


def scarf(canvas: skia.Canvas, x: float, y: float, r: float, color: RGB, side: int) -> None:
    """A thick band with one loose end."""
    end = x + side * r * 0.45
    draw_shape(canvas, box(end - 4.5, y, end + 4.5, y + 19, 2), color)
    canvas.drawLine(end - 3.5, y + 14, end + 3.5, y + 14, stroke_paint(shade(color, 0.55), 1.8))
    draw_shape(canvas, box(x - r * 1.05, y - 5.2, x + r * 1.05, y + 5.2, 5), color)
