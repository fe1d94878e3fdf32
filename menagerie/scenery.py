"""Six kinds of background. The scene's seed decides the positions of their objects."""

import numpy as np
import skia

from menagerie.attributes import Scene
from menagerie.brush import RGB, box, draw_shape, ellipse, fill_paint, polygon, shade, stroke_paint

SIDE = 128.0


def draw_scenery(canvas: skia.Canvas, scene: Scene) -> None:
    """Draw the background over the whole 128 x 128 frame."""
    _BACKGROUNDS[scene.background](canvas, scene.horizon * SIDE, np.random.default_rng(scene.seed))


def _ground(canvas: skia.Canvas, above: RGB, below: RGB, horizon: float) -> None:
    canvas.drawColor(skia.Color(*above))
    canvas.drawRect(skia.Rect.MakeLTRB(0, horizon, SIDE, SIDE), fill_paint(below))


def _spread(rng: np.random.Generator, n: int) -> list[float]:
    """`n` horizontal positions, one in each of `n` equal parts of the frame, in a random order."""
    xs = [(k + rng.uniform(0.2, 0.8)) * SIDE / n for k in range(n)]
    rng.shuffle(xs)
    return xs


def _meadow(canvas: skia.Canvas, horizon: float, rng: np.random.Generator) -> None:
    _ground(canvas, (150, 208, 244), (124, 196, 92), horizon)
    sun, *trees = _spread(rng, 4)
    canvas.drawCircle(sun, rng.uniform(14, 24), 10, fill_paint((255, 236, 120)))
    for x in trees[: int(rng.integers(1, 4))]:
        h = rng.uniform(20, 28)
        canvas.drawPath(box(x - 2.5, horizon - h * 0.6, x + 2.5, horizon + 4, 1), fill_paint((130, 96, 66)))
        canvas.drawPath(ellipse(x, horizon - h, 12, 13), fill_paint((70, 150, 70)))


def _beach(canvas: skia.Canvas, horizon: float, rng: np.random.Generator) -> None:
    _ground(canvas, (172, 222, 248), (242, 220, 160), horizon)
    canvas.drawRect(skia.Rect.MakeLTRB(0, horizon - 18, SIDE, horizon), fill_paint((44, 150, 190)))
    sun, boat, cloud = _spread(rng, 3)
    canvas.drawCircle(sun, rng.uniform(14, 22), 9, fill_paint((255, 240, 140)))
    y = horizon - 14
    canvas.drawPath(polygon((boat, y), (boat, y - 16), (boat + 11, y)), fill_paint((255, 255, 255)))
    canvas.drawPath(
        polygon((boat - 9, y), (boat + 13, y), (boat + 8, y + 6), (boat - 5, y + 6)),
        fill_paint((160, 70, 60)),
    )
    canvas.drawPath(ellipse(cloud, 18, 14, 5.5), fill_paint((255, 255, 255)))


def _desert(canvas: skia.Canvas, horizon: float, rng: np.random.Generator) -> None:
    _ground(canvas, (252, 214, 164), (226, 164, 96), horizon)
    dune, *cacti = _spread(rng, 4)
    canvas.drawPath(ellipse(dune, horizon + 2, 42, 13), fill_paint((214, 148, 84)))
    canvas.drawRect(skia.Rect.MakeLTRB(0, horizon + 2, SIDE, SIDE), fill_paint((226, 164, 96)))
    for x in cacti[: int(rng.integers(1, 3))]:
        green = fill_paint((80, 140, 84))
        h = rng.uniform(26, 36)
        canvas.drawPath(box(x - 4, horizon - h, x + 4, horizon + 6, 4), green)
        canvas.drawPath(box(x - 13, horizon - h * 0.62, x + 2, horizon - h * 0.62 + 6, 3), green)
        canvas.drawPath(box(x - 13, horizon - h * 0.9, x - 7, horizon - h * 0.5, 3), green)
        canvas.drawPath(box(x - 2, horizon - h * 0.5, x + 13, horizon - h * 0.5 + 6, 3), green)
        canvas.drawPath(box(x + 7, horizon - h * 0.76, x + 13, horizon - h * 0.4, 3), green)


def _snow(canvas: skia.Canvas, horizon: float, rng: np.random.Generator) -> None:
    _ground(canvas, (186, 200, 216), (236, 242, 250), horizon)
    for x in _spread(rng, 4)[: int(rng.integers(2, 4))]:
        h = rng.uniform(30, 40)
        for k in range(3):
            top = horizon - h + k * h * 0.27
            half = 7 + 3.5 * k
            canvas.drawPath(
                polygon((x, top), (x - half, top + h * 0.42), (x + half, top + h * 0.42)),
                fill_paint((60, 116, 106)),
            )
    for x, y in rng.uniform((0, 0), (SIDE, horizon), (7, 2)):
        canvas.drawCircle(x, y, 2.2, fill_paint((255, 255, 255)))


def _night(canvas: skia.Canvas, horizon: float, rng: np.random.Generator) -> None:
    _ground(canvas, (26, 30, 74), (44, 66, 74), horizon)
    moon, hill, other = _spread(rng, 3)
    for x, y in rng.uniform((4, 4), (SIDE - 4, horizon - 24), (6, 2)):
        canvas.drawCircle(x, y, 1.6, fill_paint((255, 255, 220)))
    for x in (hill, other):
        canvas.drawPath(ellipse(x, horizon + 2, 34, 16), fill_paint((36, 50, 84)))
    canvas.drawRect(skia.Rect.MakeLTRB(0, horizon + 1, SIDE, SIDE), fill_paint((44, 66, 74)))
    y = rng.uniform(15, 24)
    canvas.drawCircle(moon, y, 11, fill_paint((250, 240, 190)))
    canvas.drawCircle(moon + 5, y - 3, 8.5, fill_paint((26, 30, 74)))


def _room(canvas: skia.Canvas, horizon: float, rng: np.random.Generator) -> None:
    _ground(canvas, (236, 206, 196), (176, 122, 88), horizon)
    canvas.drawRect(skia.Rect.MakeLTRB(0, horizon - 3, SIDE, horizon + 2), fill_paint((250, 240, 230)))
    window, poster = _spread(rng, 2)
    draw_shape(canvas, box(window - 17, 12, window + 17, 48, 1), (176, 220, 246), (250, 250, 250))
    cross = stroke_paint((250, 250, 250), 2.5)
    canvas.drawLine(window, 12, window, 48, cross)
    canvas.drawLine(window - 17, 30, window + 17, 30, cross)
    draw_shape(canvas, box(poster - 11, 16, poster + 11, 34, 1), (120, 160, 130), shade((176, 122, 88), 0.7))
    canvas.drawPath(ellipse(64 + rng.uniform(-10, 10), SIDE - 13, 52, 11), fill_paint((150, 72, 84)))


_BACKGROUNDS = {
    "meadow": _meadow,
    "beach": _beach,
    "desert": _desert,
    "snow": _snow,
    "night": _night,
    "room": _room,
}
