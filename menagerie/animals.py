"""Animals: a body in one of four poses, a head turned in one of three directions, and a tail."""

from dataclasses import dataclass

import skia

from menagerie.attributes import Action, Identity
from menagerie.brush import INK, Colors, draw_shape, ellipse, fill_paint, limb, polygon, shade
from menagerie.face import TURN, bow, collar, eye, glasses, hat, mouth, scarf

Point = tuple[float, float]


@dataclass(frozen=True)
class _Build:
    """The proportions of a species."""

    bulk: float
    muzzle: tuple[float, float]
    head: float


_BUILDS = {
    "cat": _Build(0.9, (0.40, 0.28), 1.0),
    "dog": _Build(1.0, (0.54, 0.42), 1.0),
    "bear": _Build(1.22, (0.50, 0.38), 1.06),
    "rabbit": _Build(0.92, (0.38, 0.32), 0.94),
    "fox": _Build(0.9, (0.52, 0.30), 0.98),
}
#: The centre of the head and the root of the tail for each pose, of an animal that faces right.
_JOINTS: dict[str, tuple[Point, Point]] = {
    "sitting": ((7, -63), (-22, -8)),
    "standing": ((25, -59), (-31, -44)),
    "lying": ((25, -33), (-40, -14)),
    "jumping": ((28, -69), (-31, -35)),
}


def draw_animal(canvas: skia.Canvas, identity: Identity, action: Action, side: int) -> None:
    """Draw around the origin, with the ground at y = 0. With `side` = 1 the front of the body is on the right."""
    colors, build = Colors.of(identity), _BUILDS[identity.class_noun]
    (head_x, head_y), tail = _JOINTS[action.pose]
    canvas.save()
    canvas.scale(side, 1)
    _tail(canvas, identity.class_noun, colors, tail, action.pose)
    _BODIES[action.pose](canvas, colors, build, 1 + 0.1 * identity.limb_length)
    canvas.restore()
    radius = 20.5 * build.head * (1 + 0.07 * identity.head_size)
    center = (side * head_x, head_y)
    _neck_accessory(canvas, identity, colors, center, radius, side)
    _head(canvas, identity, colors, action, center, radius)


def _leg(canvas: skia.Canvas, colors: Colors, hip: Point, foot: Point, width: float, far: bool = False) -> None:
    color = shade(colors.main, 0.72) if far else colors.main
    draw_shape(canvas, limb(*hip, *foot, width), color, shade(colors.main, 0.4))


def _sitting(canvas: skia.Canvas, colors: Colors, build: _Build, length: float) -> None:
    wide = 19 * build.bulk
    _leg(canvas, colors, (14, -30), (17, -4), 8, far=True)
    colors.draw_part(canvas, ellipse(-5, -27, wide, 27), (-5, -27, wide, 27))
    draw_shape(canvas, ellipse(4, -26, wide * 0.5, 17, 8), colors.second, shade(colors.main, 0.4))
    colors.draw_part(canvas, ellipse(-13, -14, 14.5, 13.5), (-13, -14, 14.5, 13.5))
    _leg(canvas, colors, (-12, -4), (2, -4), 8.5)
    _leg(canvas, colors, (6, -32), (9, -4), 8.5)


def _standing(canvas: skia.Canvas, colors: Colors, build: _Build, length: float) -> None:
    high = 14.5 * build.bulk
    top = -37 - 2 * length
    for x in (-17, 18):
        _leg(canvas, colors, (x, top), (x, -4), 8, far=True)
    for x in (-27, 9):
        _leg(canvas, colors, (x, top), (x, -4), 8.5)
    colors.draw_part(canvas, ellipse(-5, top, 32, high), (-5, top, 32, high))
    draw_shape(canvas, ellipse(-5, top + high * 0.62, 20, high * 0.34), colors.second, colors.second)


def _lying(canvas: skia.Canvas, colors: Colors, build: _Build, length: float) -> None:
    high = 14 * build.bulk
    _leg(canvas, colors, (14, -4), (46, -4), 8, far=True)
    colors.draw_part(canvas, ellipse(-8, -high, 36, high), (-8, -high, 36, high))
    draw_shape(canvas, ellipse(-4, -high * 0.36, 22, high * 0.34), colors.second, colors.second)
    _leg(canvas, colors, (-30, -5), (-12, -4.5), 9)
    _leg(canvas, colors, (8, -4.5), (40, -4.5), 8.5)


def _jumping(canvas: skia.Canvas, colors: Colors, build: _Build, length: float) -> None:
    high = 13.5 * build.bulk
    _leg(canvas, colors, (-20, -34), (-42, -17), 8, far=True)
    _leg(canvas, colors, (16, -46), (44, -47), 8, far=True)
    colors.draw_part(canvas, ellipse(-3, -42, 32, high, -24), (-3, -42, 32, high), -24)
    draw_shape(canvas, ellipse(0, -42 + high * 0.6, 20, high * 0.34, -24), colors.second, colors.second)
    _leg(canvas, colors, (-22, -30), (-37, -10), 8.5)
    _leg(canvas, colors, (14, -42), (39, -36), 8.5)


_BODIES = {"sitting": _sitting, "standing": _standing, "lying": _lying, "jumping": _jumping}


def _tail(canvas: skia.Canvas, noun: str, colors: Colors, root: Point, pose: str) -> None:
    x, y = root
    drop = 8 if pose in ("sitting", "lying") else 0
    if noun == "fox":
        draw_shape(canvas, ellipse(x - 10, y - 8 + drop / 2, 15, 8, 35 - 3 * drop), colors.main)
        draw_shape(canvas, ellipse(x - 19, y - 13 + drop, 7, 6), colors.second)
    elif noun == "cat":
        draw_shape(canvas, limb(x, y, x - 10, y - 5, 5.5), colors.main)
        draw_shape(canvas, limb(x - 10, y - 5, x - 13, y - 22 + drop / 2, 5.5), colors.main)
    elif noun == "dog":
        draw_shape(canvas, limb(x + 2, y, x - 11, y - 12 + drop / 2, 6.5), colors.main)
    elif noun == "rabbit":
        draw_shape(canvas, ellipse(x - 3, y - 2, 8, 8), colors.second)
    else:
        draw_shape(canvas, ellipse(x - 2, y - 2, 5, 5), colors.main)


def _neck_accessory(
    canvas: skia.Canvas, identity: Identity, colors: Colors, center: Point, radius: float, side: int
) -> None:
    x, y = center[0] - side * 2, center[1] + radius * 0.92
    if identity.accessory == "collar":
        collar(canvas, x, y + 1.5, radius * 0.72, colors.accessory)
    elif identity.accessory == "scarf":
        scarf(canvas, x, y + 2, radius * 0.8, colors.accessory, -side)


def _ears(canvas: skia.Canvas, identity: Identity, colors: Colors, center: Point, r: float, turn: int) -> None:
    """Both ears, behind the head. They shift against the direction in which the head is turned."""
    noun, size = identity.class_noun, 1 + 0.12 * identity.ear_size
    x, y = center[0] - turn * r * 0.25, center[1]
    for s in (-1, 1):
        ex = x + s * r * 0.62
        if noun == "cat":
            draw_shape(
                canvas,
                polygon(
                    (ex - r * 0.36, y - r * 0.55),
                    (ex + s * r * 0.2, y - r * 1.42 * size),
                    (ex + r * 0.36, y - r * 0.55),
                ),
                colors.main,
            )
            draw_shape(
                canvas,
                polygon(
                    (ex - r * 0.15, y - r * 0.7),
                    (ex + s * r * 0.13, y - r * 1.18 * size),
                    (ex + r * 0.17, y - r * 0.7),
                ),
                colors.second,
                colors.second,
            )
        elif noun == "fox":
            tip = y - r * 1.62 * size
            draw_shape(
                canvas,
                polygon((ex - r * 0.44, y - r * 0.4), (ex + s * r * 0.3, tip), (ex + r * 0.44, y - r * 0.4)),
                colors.main,
            )
            draw_shape(
                canvas,
                polygon(
                    (ex - r * 0.12 + s * r * 0.14, y - r * 1.12 * size),
                    (ex + s * r * 0.3, tip),
                    (ex + r * 0.12 + s * r * 0.18, y - r * 1.12 * size),
                ),
                INK,
                INK,
            )
        elif noun == "bear":
            draw_shape(canvas, ellipse(ex + s * r * 0.1, y - r * 0.72, r * 0.4 * size, r * 0.4 * size), colors.main)
            draw_shape(
                canvas, ellipse(ex + s * r * 0.1, y - r * 0.72, r * 0.18, r * 0.18), colors.second, colors.second
            )
        elif noun == "rabbit":
            draw_shape(canvas, ellipse(x + s * r * 0.4, y - r * 1.35, r * 0.26, r * 0.72 * size, s * 10), colors.main)
            draw_shape(
                canvas,
                ellipse(x + s * r * 0.4, y - r * 1.35, r * 0.11, r * 0.5 * size, s * 10),
                colors.second,
                colors.second,
            )


def _head(canvas: skia.Canvas, identity: Identity, colors: Colors, action: Action, center: Point, r: float) -> None:
    x, y = center
    turn = TURN[action.head]
    _ears(canvas, identity, colors, center, r, turn)
    colors.draw_part(canvas, ellipse(x, y, r, r * 0.92), (x, y, r, r * 0.92))
    if identity.class_noun == "dog":
        for s in (-1, 1):
            ear = ellipse(
                x - turn * r * 0.3 + s * r * 0.88,
                y - r * 0.08,
                r * 0.26,
                r * 0.62 * (1 + 0.12 * identity.ear_size),
                -s * 14,
            )
            draw_shape(canvas, ear, shade(colors.main, 0.68), shade(colors.main, 0.4))
    wide, high = _BUILDS[identity.class_noun].muzzle
    mx, my = x + turn * r * 0.78, y + r * 0.38
    draw_shape(canvas, ellipse(mx, my, r * wide, r * high), colors.second, shade(colors.main, 0.4))
    canvas.drawPath(ellipse(mx + turn * r * wide * 0.72, my - r * high * 0.62, r * 0.17, r * 0.13), fill_paint(INK))
    mouth(canvas, mx + turn * r * 0.08, my + r * 0.14, r * 0.34, action.expression)
    eyes = [(x + s * r * 0.4, y - r * 0.22) for s in (-1, 1)] if turn == 0 else [(x + turn * r * 0.3, y - r * 0.24)]
    for ex, ey in eyes:
        eye(canvas, ex, ey, r * 0.25, action.expression, turn)
    if identity.accessory == "glasses":
        glasses(canvas, eyes, r * 0.38, colors.accessory, x - turn * r * 0.8 if turn else 0)
    elif identity.accessory == "hat":
        hat(canvas, x - turn * r * 0.1, y - r * 0.74, r * 0.86, colors.accessory)
    elif identity.accessory == "bow":
        bow(canvas, x - (turn or -1) * r * 0.62, y - r * 0.78, r * 0.44, colors.accessory)
