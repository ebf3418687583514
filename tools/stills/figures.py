"""Shapes of the scenes, for a stencil: people, a lighthouse, ships, a train, birds. Knows no colours."""

import math
from collections.abc import Sequence

from tools.stills.paint import Point, Stencil

_COAT: Sequence[Point] = (
    (0.03, -0.845), (0.075, -0.825), (0.125, -0.795), (0.148, -0.73), (0.16, -0.62), (0.17, -0.50), (0.172, -0.43),
    (0.155, -0.415), (0.142, -0.44), (0.15, -0.33), (0.165, -0.20), (0.09, -0.185), (0.0, -0.18),
)  # fmt: skip


def _mirrored(half: Sequence[Point]) -> list[Point]:
    return [*half, *[(-x, y) for x, y in reversed(half) if x]]


def _placed(points: Sequence[Point], x: float, y: float, height: float) -> list[Point]:
    return [(x + px * height, y + py * height) for px, py in points]


def walker(s: Stencil, x: float, y: float, height: float, hat: bool = True) -> None:
    """Someone in a long coat, seen from behind or in front; (x, y) is between the feet."""
    for side in (-1, 1):
        leg = [
            (0.082, -0.22),
            (0.010, -0.22),
            (0.024, -0.035),
            (0.020, 0.0),
            (0.098, 0.0),
            (0.092, -0.018),
            (0.070, -0.04),
        ]
        s.poly(_placed([(side * px, py) for px, py in leg], x, y, height))
    s.blob(_placed(_mirrored(_COAT), x, y, height))
    s.box(x - 0.032 * height, y - 0.89 * height, x + 0.032 * height, y - 0.82 * height)
    s.poly(_placed([(-0.085, -0.80), (-0.045, -0.872), (0.045, -0.872), (0.085, -0.80)], x, y, height))
    s.oval(x, y - 0.912 * height, 0.052 * height, 0.066 * height)
    if hat:
        s.oval(x, y - 0.942 * height, 0.098 * height, 0.015 * height)
        crown = [(-0.062, -0.945), (-0.057, -1.0), (-0.02, -1.015), (0.03, -1.012), (0.057, -0.995), (0.062, -0.945)]
        s.poly(_placed(crown, x, y, height))


def sailor_cap(s: Stencil, x: float, y: float, height: float) -> None:
    """Draw a keeper's peaked cap, on `walker` without a hat."""
    crown = [(-0.055, -0.935), (-0.078, -0.972), (-0.062, -0.995), (0.0, -1.004), (0.062, -0.995), (0.078, -0.972)]
    s.blob(_placed([*crown, (0.055, -0.935)], x, y, height))
    s.box(x - 0.056 * height, y - 0.955 * height, x + 0.056 * height, y - 0.928 * height)


def suitcase(s: Stencil, x: float, y: float, height: float) -> None:
    """Draw a suitcase that stands on y beside someone of this height."""
    s.box(x - 0.11 * height, y - 0.19 * height, x + 0.11 * height, y)
    s.line(_placed([(-0.04, -0.19), (-0.035, -0.225), (0.035, -0.225), (0.04, -0.19)], x, y, height), 0.016 * height)


def bust(s: Stencil, x: float, y: float, height: float, facing: int) -> None:
    """Head and shoulders in profile, cut off at y; facing -1 looks left, 1 right. `height` is chin to crown."""
    face = [
        (-0.02, -1.02), (0.20, -0.99), (0.34, -0.88), (0.385, -0.72), (0.375, -0.60), (0.40, -0.54), (0.475, -0.40),
        (0.455, -0.36), (0.405, -0.345), (0.41, -0.29), (0.435, -0.245), (0.415, -0.21), (0.425, -0.165),
        (0.40, -0.12), (0.395, -0.03), (0.34, 0.02), (0.24, 0.01), (0.12, 0.06), (0.10, 0.30),
        (0.22, 0.46), (0.44, 0.62), (0.60, 0.90), (0.68, 1.6), (-1.0, 1.6), (-0.93, 0.86), (-0.74, 0.56),
        (-0.48, 0.40), (-0.37, 0.22), (-0.38, -0.05), (-0.46, -0.30), (-0.47, -0.55), (-0.42, -0.78), (-0.28, -0.95),
    ]  # fmt: skip
    s.blob([(x + facing * px * height, y + py * height) for px, py in face])


def lighthouse(s: Stencil, x: float, y: float, height: float) -> None:
    """Draw a tower with gallery, lantern room and dome; the lamp is at 0.875 of its height."""
    tower = [(-0.105, 0), (-0.085, -0.25), (-0.07, -0.52), (-0.062, -0.78), (0.062, -0.78), (0.07, -0.52)]
    s.poly(_placed([*tower, (0.085, -0.25), (0.105, 0)], x, y, height))
    s.poly(
        _placed(
            [(-0.062, -0.76), (-0.10, -0.80), (-0.10, -0.815), (0.10, -0.815), (0.10, -0.80), (0.062, -0.76)],
            x,
            y,
            height,
        )
    )
    s.line(_placed([(-0.098, -0.85), (0.098, -0.85)], x, y, height), 0.006 * height)
    for post in range(-4, 5):
        s.line(_placed([(post * 0.0243, -0.85), (post * 0.0243, -0.81)], x, y, height), 0.004 * height)
    s.box(x - 0.055 * height, y - 0.93 * height, x + 0.055 * height, y - 0.81 * height)
    s.poly(
        _placed(
            [(-0.07, -0.925), (-0.05, -0.955), (-0.02, -0.98), (0.02, -0.98), (0.05, -0.955), (0.07, -0.925)],
            x,
            y,
            height,
        )
    )
    s.line(_placed([(0, -0.97), (0, -1.05)], x, y, height), 0.008 * height)


def lantern_room(s: Stencil, x: float, y: float, height: float) -> None:
    """Draw the panes of `lighthouse`'s lantern room, to be lit."""
    for pane in (-1, 0, 1):
        cx = x + pane * 0.0275 * height
        s.box(cx - 0.0095 * height, y - 0.912 * height, cx + 0.0095 * height, y - 0.842 * height)


def gull(s: Stencil, x: float, y: float, span: float, lift: float = 0.35) -> None:
    """Draw a gliding bird."""
    wing = [(0.0, 0.03), (0.16, -lift * 0.55), (0.30, -lift * 0.62), (0.5, -lift * 0.30), (0.30, -lift * 0.46)]
    wing += [(0.16, -lift * 0.34), (0.03, 0.10)]
    for side in (-1, 1):
        s.poly([(x + side * px * span, y + py * span) for px, py in wing])
    s.oval(x, y + 0.06 * span, 0.035 * span, 0.05 * span)


def schooner(s: Stencil, at: Point, length: float, heel_deg: float = 0.0, *, sails: bool = True) -> None:
    """Draw a two-masted ship; `at` is amidships on the waterline."""
    cos, sin = math.cos(math.radians(heel_deg)), math.sin(math.radians(heel_deg))

    def heeled(*points: Point) -> list[Point]:
        return [(at[0] + length * (x * cos - y * sin), at[1] + length * (x * sin + y * cos)) for x, y in points]

    hull = heeled((-0.46, -0.085), (-0.40, 0.0), (-0.34, 0.05), (0.33, 0.05), (0.42, -0.02), (0.52, -0.115))
    s.poly([*hull, *heeled((0.30, -0.07), (-0.2, -0.06))])
    s.line(heeled((0.45, -0.10), (0.74, -0.19)), 0.012 * length)
    for mast, top in ((-0.17, -0.78), (0.17, -0.86)):
        s.line(heeled((mast, -0.05), (mast, top)), 0.014 * length)
    for rope in (((0.17, -0.84), (0.72, -0.185)), ((-0.17, -0.76), (-0.45, -0.09)), ((-0.17, -0.76), (0.17, -0.84))):
        s.line(heeled(*rope), 0.005 * length)
    if sails:
        s.poly(heeled((-0.155, -0.13), (-0.155, -0.62), (-0.24, -0.69), (-0.47, -0.15)))
        s.poly(heeled((0.155, -0.13), (0.155, -0.66), (0.06, -0.74), (-0.13, -0.15)))
        s.poly(heeled((0.19, -0.20), (0.19, -0.74), (0.44, -0.18)))
        s.poly(heeled((0.30, -0.17), (0.22, -0.74), (0.66, -0.19)))
    else:
        for mast, top in ((-0.17, -0.60), (0.17, -0.66)):
            s.poly(heeled((mast + 0.005, -0.13), (mast + 0.005, top * 0.42), (mast - 0.26, -0.13)))


def railing(s: Stencil, left: Point, right: Point, height: float, posts: int) -> None:
    """Draw a railing between two points of its foot line."""
    for share in (1.0, 0.55):
        s.line([(left[0], left[1] - height * share), (right[0], right[1] - height * share)], height * 0.055 + 2)
    for i in range(posts + 1):
        x = left[0] + (right[0] - left[0]) * i / posts
        y = left[1] + (right[1] - left[1]) * i / posts
        s.line([(x, y), (x, y - height)], height * 0.05)
        s.oval(x, y - height, height * 0.05, height * 0.05)
