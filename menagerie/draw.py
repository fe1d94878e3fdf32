"""Render a `Drawing` to an image and to the true mask of its subject. Pure and deterministic."""

import numpy as np
import numpy.typing as npt
import skia

from menagerie.animals import draw_animal
from menagerie.attributes import Drawing
from menagerie.brush import ellipse, fill_paint
from menagerie.objects import draw_object
from menagerie.people import draw_person
from menagerie.scenery import SIDE, draw_scenery

_DRAW = {"animal": draw_animal, "object": draw_object, "face": draw_person}
_GROUND = 117.0


def render(drawing: Drawing, size: int = 128) -> npt.NDArray[np.uint8]:
    """The image as (size, size, 3) RGB bytes."""
    surface, canvas = _surface(size)
    _draw_ground(canvas, drawing)
    _draw_subject(canvas, drawing)
    return surface[:, :, :3].copy()


def render_ground(drawing: Drawing, size: int = 128) -> npt.NDArray[np.uint8]:
    """The image without its subject, but with the subject's shadow: (size, size, 3) RGB bytes."""
    surface, canvas = _surface(size)
    _draw_ground(canvas, drawing)
    return surface[:, :, :3].copy()


def mask(drawing: Drawing, size: int = 128) -> npt.NDArray[np.bool_]:
    """The subject's silhouette without its shadow: (size, size), true inside."""
    surface, canvas = _surface(size)
    canvas.clear(skia.ColorTRANSPARENT)
    _draw_subject(canvas, drawing)
    return np.asarray(surface[:, :, 3] > 127)


def _surface(size: int) -> tuple[npt.NDArray[np.uint8], skia.Canvas]:
    pixels = np.zeros((size, size, 4), np.uint8)
    canvas = skia.Surface(pixels, colorType=skia.kRGBA_8888_ColorType).getCanvas()
    canvas.scale(size / SIDE, size / SIDE)
    return pixels, canvas


def _draw_ground(canvas: skia.Canvas, drawing: Drawing) -> None:
    draw_scenery(canvas, drawing.scene)
    if drawing.identity.kind != "face":
        is_jumping = drawing.action.pose == "jumping"
        _move_to_subject(canvas, drawing)
        canvas.drawPath(ellipse(0, 0, 27 if is_jumping else 36, 3.5), fill_paint((20, 20, 30), 60))
        canvas.restore()


def _move_to_subject(canvas: skia.Canvas, drawing: Drawing) -> None:
    """Move the canvas's origin to the subject's place on the ground. The caller restores the canvas."""
    scene = drawing.scene
    canvas.save()
    canvas.translate(SIDE / 2 + 6 * scene.x, SIDE if drawing.identity.kind == "face" else _GROUND)
    canvas.scale(scene.scale, scene.scale)


def _draw_subject(canvas: skia.Canvas, drawing: Drawing) -> None:
    _move_to_subject(canvas, drawing)
    _DRAW[drawing.identity.kind](canvas, drawing.identity, drawing.action, drawing.scene.side)
    canvas.restore()
