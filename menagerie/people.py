"""Human faces: shoulders with a shirt, a head that tilts and turns, and three kinds of hair."""

import skia

from menagerie.attributes import Action, Identity
from menagerie.brush import (
    PALETTE,
    RGB,
    Colors,
    box,
    draw_shape,
    ellipse,
    fill_paint,
    polygon,
    shade,
    stroke_paint,
)
from menagerie.face import TURN, bow, eye, glasses, hat, mouth

_SKIN: dict[str, RGB] = {"pale": (255, 224, 200), "tan": (222, 164, 116), "dark": (126, 80, 56)}


def draw_person(canvas: skia.Canvas, identity: Identity, action: Action, side: int) -> None:
    """Draw around the origin, with the lower edge of the frame at y = 0. `side` is not used."""
    colors, skin = Colors.of(identity), _SKIN[str(identity.skin)]
    hair = Colors.of(identity).main
    shirt = PALETTE[identity.second_color]
    draw_shape(canvas, box(-46, -26, 46, 20, 20), shirt)
    draw_shape(canvas, box(-10, -38, 10, -16, 6), shade(skin, 0.85))
    canvas.save()
    canvas.translate(0, -34)
    canvas.rotate(20 if action.pose == "tilted" else 0)
    canvas.translate(0, -26)
    rx, ry = 27 * (1 + 0.06 * identity.head_size), 32.0
    turn = TURN[action.head]
    _hair_behind(canvas, str(identity.hair), hair, rx, ry)
    for s in (-1, 1) if turn == 0 else (-turn,):
        draw_shape(
            canvas,
            ellipse(s * rx - turn * 6 * (s == -turn) * -1, 2, 5.5 * (1 + 0.15 * identity.ear_size), 7.5),
            skin,
        )
    if turn:
        draw_shape(canvas, polygon((turn * (rx - 5), -6), (turn * (rx + 9), 8), (turn * (rx - 5), 11)), skin)
    draw_shape(canvas, ellipse(0, 0, rx, ry), skin)
    if turn:
        canvas.drawPath(ellipse(turn * (rx - 6), 3, 5, 6.6), fill_paint(skin))
    _features(canvas, identity, colors, action, skin, turn)
    _hair_front(canvas, str(identity.hair), hair, rx, ry, turn)
    if identity.accessory == "hat":
        hat(canvas, 0, -ry * 0.72, 27, colors.accessory)
    elif identity.accessory == "bow":
        bow(canvas, -(turn or -1) * 17, -ry * 0.82, 11, colors.accessory)
    canvas.restore()


def _features(canvas: skia.Canvas, identity: Identity, colors: Colors, action: Action, skin: RGB, turn: int) -> None:
    x = turn * 10
    gap = 11 if turn == 0 else 8.5
    eyes = [(x - gap, -2.0), (x + gap, -2.0)]
    for ex, ey in eyes:
        eye(canvas, ex, ey, 5.2, action.expression, turn)
    if turn == 0:
        canvas.drawLine(0, 2, 1.5, 8, stroke_paint(shade(skin, 0.6), 2.2))
    mouth(canvas, x + turn * 2, 17, 8.5, action.expression)
    if identity.pattern == "freckled":
        for ex, _ in eyes:
            for dx, dy in ((-4.5, 8.5), (0, 11), (4.5, 8.5)):
                canvas.drawCircle(ex + dx * 0.9, dy, 1.6, fill_paint(shade(skin, 0.52)))
    if identity.accessory == "glasses":
        glasses(canvas, eyes, 7.8, colors.accessory, -turn * 24 if turn else 0)


def _hair_behind(canvas: skia.Canvas, hair: str, color: RGB, rx: float, ry: float) -> None:
    if hair == "long":
        draw_shape(canvas, box(-rx - 7, -ry - 5, rx + 7, ry + 12, 22), color)
    elif hair == "curly":
        for x, y in (
            (-26, -14),
            (26, -14),
            (-29, 0),
            (29, 0),
            (-27, 13),
            (27, 13),
            (-19, -27),
            (19, -27),
            (0, -33),
        ):
            draw_shape(canvas, ellipse(x, y, 11, 11), color)


def _hair_front(canvas: skia.Canvas, hair: str, color: RGB, rx: float, ry: float, turn: int) -> None:
    if hair == "curly":
        for x in (-18, -6, 6, 18):
            draw_shape(canvas, ellipse(x, -ry * 0.78, 9.5, 9), color)
        return
    cap = skia.Path()
    cap.addArc(skia.Rect.MakeLTRB(-rx - 2, -ry - 4, rx + 2, ry * 0.9), 190, 160)
    cap.close()
    draw_shape(canvas, cap, color)
    if hair == "short":
        draw_shape(canvas, polygon((-turn * rx * 0.2 - 14, -17), (0, -ry - 7), (14 - turn * rx * 0.2, -17)), color)
