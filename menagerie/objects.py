"""Objects: each has a face, a state (open, closed, arms up, arms down) and a viewpoint."""

import skia

from menagerie.attributes import Action, Identity
from menagerie.brush import (
    INK,
    Colors,
    box,
    draw_shape,
    ellipse,
    fill_paint,
    limb,
    polygon,
    shade,
    stroke_paint,
)
from menagerie.face import TURN, bow, eye, glasses, hat, mouth

Point = tuple[float, float]


def draw_object(canvas: skia.Canvas, identity: Identity, action: Action, side: int) -> None:
    """Draw around the origin, with the ground at y = 0. `side` is not used: an object's viewpoint is its action."""
    colors, turn = Colors.of(identity), TURN[action.head]
    spacing = 1 + 0.1 * identity.head_size
    face, top, r = _BODIES[identity.class_noun](canvas, colors, turn, action.pose, spacing)
    _face(canvas, identity, colors, action, face, top, r)


def _face(
    canvas: skia.Canvas, identity: Identity, colors: Colors, action: Action, face: Point, top: Point, r: float
) -> None:
    turn = TURN[action.head]
    x, y = face
    gap = r * (0.55 if turn == 0 else 0.42)
    eyes = [(x - gap, y), (x + gap, y)]
    for ex, ey in eyes:
        eye(canvas, ex, ey, r * 0.27, action.expression, turn)
    mouth(canvas, x + turn * r * 0.1, y + r * 0.58, r * 0.38, action.expression)
    if identity.accessory == "glasses":
        glasses(canvas, eyes, r * 0.38, colors.accessory, 0)
    elif identity.accessory == "hat":
        hat(canvas, *top, 17, colors.accessory)
    elif identity.accessory == "bow":
        bow(canvas, top[0] - (turn or -1) * 12, top[1] + 3, 9, colors.accessory)


def _backpack(canvas: skia.Canvas, colors: Colors, turn: int, pose: str, wide: float) -> tuple[Point, Point, float]:
    half = (27 if turn == 0 else 20) * wide
    for s in (-1, 1) if turn == 0 else (-turn,):
        draw_shape(canvas, ellipse(s * half, -28, 7, 20), shade(colors.main, 0.6))
    if pose == "open":
        draw_shape(
            canvas,
            polygon((-half + 2, -60), (-half - 4, -86), (half + 4, -86), (half - 2, -60)),
            shade(colors.main, 0.8),
        )
    else:
        canvas.drawPath(ellipse(0, -74, 8, 7), stroke_paint(shade(colors.main, 0.5), 3.5))
    colors.draw_part(canvas, box(-half, -72 if pose == "closed" else -66, half, 0, 12), (0, -34, half, 36))
    if pose == "open":
        draw_shape(canvas, ellipse(0, -65, half - 1, 7), INK)
    else:
        canvas.drawLine(-half + 3, -56, half - 3, -56, stroke_paint(shade(colors.main, 0.4), 2))
    px = turn * half * 0.72
    draw_shape(canvas, box(px - 17, -23, px + 17, -3, 5), colors.second, shade(colors.main, 0.4))
    return (turn * 7, -43), (0, -84 if pose == "open" else -72), 19


def _robot(canvas: skia.Canvas, colors: Colors, turn: int, pose: str, wide: float) -> tuple[Point, Point, float]:
    half = (19 if turn == 0 else 14) * wide
    dark = shade(colors.main, 0.6)
    for s in (-1, 1):
        draw_shape(canvas, box(s * half * 0.55 - 5.5, -18, s * half * 0.55 + 5.5, 0, 3), dark)
        hand = (s * (half + 15), -72) if pose == "arms up" else (s * (half + 10), -18)
        draw_shape(canvas, limb(s * (half - 1), -42, *hand, 8), dark)
        draw_shape(canvas, ellipse(*hand, 6, 6), colors.second, shade(colors.main, 0.4))
    colors.draw_part(canvas, box(-half, -50, half, -14, 5), (0, -32, half, 18))
    draw_shape(canvas, box(turn * 4 - 8, -41, turn * 4 + 8, -25, 3), colors.second, shade(colors.main, 0.4))
    draw_shape(canvas, limb(0, -86, 0, -94, 2.5), INK)
    draw_shape(canvas, ellipse(0, -95, 3.6, 3.6), colors.second)
    colors.draw_part(canvas, box(-23, -88, 23, -51, 7), (0, -69, 23, 18))
    if turn:
        draw_shape(canvas, box(turn * 22 - 5, -74, turn * 22 + 5, -60, 3), colors.second, shade(colors.main, 0.4))
    return (turn * 7, -73), (0, -87), 20


def _car(canvas: skia.Canvas, colors: Colors, turn: int, pose: str, wide: float) -> tuple[Point, Point, float]:
    half = (30 if turn == 0 else 44) * (1 + (wide - 1) / 2)
    glass = (205, 230, 245)
    if turn == 0:
        wheels, roof = (-half + 7, half - 7), polygon((-24, -40), (-19, -66), (19, -66), (24, -40))
        face, lid = (0.0, -50.0), (-17, -67, 17, -67)
    else:
        wheels = (-half * 0.6, half * 0.6)
        roof = polygon((-turn * 36, -36), (-turn * 30, -66), (turn * 8, -66), (turn * 24, -36))
        face, lid = (-turn * 8.0 + turn * 3, -50.0), (-turn * 26, -67, turn * 8, -67)
    if pose == "open":
        hinge = (lid[0], lid[1]) if turn else (-17, -67)
        draw_shape(canvas, limb(*hinge, hinge[0] + (turn or 1) * 12, -94, 6.5), shade(colors.main, 0.75))
        for s in (-1, 1) if turn == 0 else ():
            draw_shape(
                canvas,
                polygon((s * half, -40), (s * (half + 19), -48), (s * (half + 19), -22), (s * half, -14)),
                shade(colors.main, 0.75),
            )
        if turn:
            draw_shape(
                canvas,
                polygon(
                    (turn * half * 0.5, -38),
                    (turn * half * 0.98, -60),
                    (turn * half, -54),
                    (turn * half * 0.95, -36),
                ),
                shade(colors.main, 0.75),
            )
    colors.draw_part(canvas, roof, (0, -52, 28, 14))
    canvas.drawPath(ellipse(face[0], face[1] + 1, 19, 13), fill_paint(glass))
    colors.draw_part(canvas, box(-half, -40, half, -9, 9), (0, -24, half, 15))
    draw_shape(canvas, box(-half, -19, half, -11, 3), colors.second, shade(colors.main, 0.4))
    for s in (-1, 1) if turn == 0 else (turn,):
        draw_shape(canvas, ellipse(s * (half - 7), -28, 5.5 if turn == 0 else 4, 5.5), (255, 246, 180), INK)
    for x in wheels:
        draw_shape(canvas, ellipse(x, -9, 7 if turn == 0 else 10, 10), INK)
        draw_shape(canvas, ellipse(x, -9, 3, 4), (200, 200, 205))
    return (face[0], -52), (-turn * 10, -66), 17


def _teapot(canvas: skia.Canvas, colors: Colors, turn: int, pose: str, wide: float) -> tuple[Point, Point, float]:
    rx = 33 * (1 + (wide - 1) / 2)
    if turn:
        canvas.drawPath(ellipse(-turn * (rx + 2), -34, 13, 17), stroke_paint(shade(colors.main, 0.4), 8))
        canvas.drawPath(ellipse(-turn * (rx + 2), -34, 13, 17), stroke_paint(colors.second, 5))
        spout = polygon(
            (turn * (rx - 8), -16), (turn * (rx + 19), -52), (turn * (rx + 10), -57), (turn * (rx - 10), -40)
        )
        draw_shape(canvas, spout, colors.second, shade(colors.main, 0.4))
    draw_shape(canvas, box(-19, -7, 19, 0, 3), colors.second, shade(colors.main, 0.4))
    colors.draw_part(canvas, ellipse(0, -33, rx, 30), (0, -33, rx, 30))
    if turn == 0:
        draw_shape(canvas, ellipse(0, -11, 8, 7), colors.second, shade(colors.main, 0.4))
        canvas.drawPath(ellipse(0, -11, 4, 3.5), fill_paint(INK))
    lift, lean = (20, 16) if pose == "open" else (0, 0)
    if pose == "open":
        draw_shape(canvas, ellipse(0, -60, 16, 5), INK)
    canvas.save()
    canvas.translate(0, -lift)
    canvas.rotate(lean)
    draw_shape(canvas, ellipse(0, -61, 19, 6.5), colors.second, shade(colors.main, 0.4))
    draw_shape(canvas, ellipse(0, -69, 4.5, 4.5), colors.second, shade(colors.main, 0.4))
    canvas.restore()
    return (turn * 9, -40), (lift * 0.5, -66 - lift), 21


_BODIES = {"backpack": _backpack, "robot": _robot, "car": _car, "teapot": _teapot}
