"""The city shots of the storyboard `last-train`, 9:16: a platform, a clock, a train that does come."""

from collections.abc import Sequence

import numpy as np

from tools.stills.figures import suitcase, walker
from tools.stills.paint import Floats, Painting, Point, Stencil, smoothstep


def empty_platform(p: Painting) -> None:
    """1: one passenger under the roof of an empty platform, rain beyond the edge."""
    gone = (560.0, 800.0)
    p.wash([(0, "#0b1226"), (560, "#1d2a4c"), (780, "#47507a"), (830, "#6b6a8c"), (900, "#1c2340")])
    _towers(p, 800, ((480, 46, "#39426b"), (310, 62, "#28305a")), "#ffd890")
    p.glow(*gone, 190, "#8fb0ff", 0.35)
    p.mist(640, 860, "#8b8fc0", 0.4)
    track = p.cut(lambda s: s.poly([gone, (575, 800), (900, 1010), (900, 1600), (640, 1600)]))
    p.lay(track, p.gradient([(800, "#4a5378"), (1000, "#2b3358"), (1600, "#20284c")]))
    p.light(p.cut(lambda s: _rails(s, gone)), "#a9bbe8", 0.55)
    floor = p.cut(lambda s: s.poly([(545, 800), (562, 800), (690, 1600), (0, 1600), (0, 1120)]))
    p.lay(floor, p.gradient([(800, "#6a6a8c"), (960, "#3a4064"), (1600, "#262b4a")]))
    p.lay(p.cut(lambda s: s.poly([(560, 800), (564, 800), (742, 1600), (690, 1600)])), "#c8a85e", 0.75)
    lamps = [_toward(gone, (250.0, 330.0), q) for q in (0.0, 0.42, 0.66, 0.80, 0.88)]
    wet = smoothstep(0.46, 0.8, p.receding(800, 9, 3))
    for i, (x, y) in enumerate(lamps):
        size = abs(gone[1] - y) / 470
        foot = 800 + (800 - y) * 1.02
        column = np.exp(-(((p.xs - x) / (64 * size + 4)) ** 2) - ((p.ys - foot) / (330 * size + 10)) ** 2)
        p.light(floor * (0.25 + wet) * column, "#ffca7a", 0.85 - 0.1 * i)
    p.lay(p.cut(lambda s: _roof(s, gone)), "#0a0e1d")
    for x, y in reversed(lamps):
        size = abs(gone[1] - y) / 470
        p.lay(p.cut(lambda s, x=x, y=y, size=size: s.box(x - 3 * size, y - 120 * size, x + 3 * size, y)), "#070a14")
        cone = np.clip(1 - np.abs(p.xs - x) / ((p.ys - y) * 0.55 + 20 * size), 0, 1) * (p.ys > y)
        p.light(cone * np.exp(-(p.ys - y) / (300 * size)), "#ffc779", 0.42)
        p.glow(x, y, 50 * size, "#ffe1a6", 1.0)
    passenger = p.cut(lambda s: (walker(s, 400, 1330, 430), suitcase(s, 505, 1330, 430)))
    p.lay(_reflected(passenger, 1330) * floor, "#0a0c1a", 0.55)
    p.lay(passenger, "#080a15")
    p.rim(passenger, (3, 4), "#ffce8a", 0.75)
    p.lay(
        p.cut(
            lambda s: s.box(0, 0, 78, 1600).box(58, 180, 110, 210).poly([(78, 330), (78, 250), (190, 200), (190, 214)])
        ),
        "#05070f",
    )
    _rain(p, 0.2, p.cut(lambda s: s.poly([(600, 0), (900, 0), (900, 1600), (760, 1600), (575, 800)])))


def _toward(gone: Point, start: Point, share: float) -> Point:
    return (start[0] + (gone[0] - start[0]) * share, start[1] + (gone[1] - start[1]) * share)


def _roof(s: Stencil, gone: Point) -> None:
    s.poly([(0, 0), (700, 0), gone, (552, 796), (0, 250)])
    for q in (0.18, 0.5, 0.7, 0.82, 0.9):
        (x, y), (_, foot) = _toward(gone, (40.0, 170.0), q), _toward(gone, (40.0, 1500.0), q)
        s.line([(x, y), (x, foot)], 26 * (1 - q))


def _rails(s: Stencil, gone: Point) -> None:
    for x in (770, 830, 1130, 1230):
        s.poly([(gone[0] + 2, gone[1]), (gone[0] + 3, gone[1]), (x + 10, 1600), (x, 1600)])


def _reflected(mask: Floats, foot: int) -> Floats:
    mirror = np.zeros_like(mask)
    depth = min(foot, mask.shape[0] - foot)
    mirror[foot : foot + depth] = mask[foot - depth : foot][::-1]
    return mirror


def _rain(p: Painting, strength: float, where: Floats) -> None:
    drops = smoothstep(0.72, 0.84, p.noise(6, 80, 2))
    slanted = np.stack([np.roll(row, -int(y * 0.16)) for y, row in enumerate(drops)])
    p.light(slanted * where, "#b9c8ea", strength)


def _towers(p: Painting, foot: float, ranks: Sequence[tuple[float, float, str]], lit: str) -> None:
    """Ranks of buildings, far to near: how tall and how wide the houses are, and their colour."""
    for tall, broad, tint in ranks:
        houses: list[tuple[float, float, float]] = []
        x = float(p.rng.uniform(-broad, 0))
        while x < p.width:
            wide = float(p.rng.uniform(0.6, 1.6)) * broad
            houses.append((x, x + wide, foot - tall * float(p.rng.uniform(0.5, 1.0))))
            x += wide + float(p.rng.choice([0, 0, broad * 0.25]))
        mask = p.cut(lambda s, houses=houses: [s.box(a, top, b, foot) for a, b, top in houses])
        p.lay(mask, p.gradient([(foot - tall, tint), (foot, "#5a5f8a")]))
        panes = p.stencil()
        for a, b, top in houses:
            for cx in np.arange(a + 6, b - 7, broad / 5):
                for cy in np.arange(top + 12, foot - 12, broad / 4):
                    if p.rng.random() < 0.20:
                        panes.box(cx, cy, cx + broad / 11, cy + broad / 8)
        p.light(panes.mask() * mask, lit, 0.75)


def station_clock(p: Painting) -> None:
    """2: two minutes to midnight on the station clock, the city out of reach behind it."""
    p.wash([(0, "#0a1230"), (700, "#243064"), (1150, "#6a4f86"), (1400, "#c77d7f"), (1600, "#3a2c50")])
    p.clouds(p.band(-200, 1250) * 0.7, "#1a2450", "#7f6aa0", (450.0, 1300.0), (520, 170))
    p.light(
        p.cut(lambda s: s.oval(735, 255, 58, 58)) * (1 - p.cut(lambda s: s.oval(765, 238, 52, 52))), "#fff6dc", 0.95
    )
    p.glow(715, 262, 120, "#c8d4ff", 0.35)
    _towers(p, 1600, ((760, 60, "#4d467c"), (560, 84, "#332f62"), (330, 120, "#211f48")), "#ffcf87")
    p.mist(1250, 1640, "#d08c8f", 0.4)
    centre = (430.0, 690.0)
    p.lay(p.cut(_clock_bracket), "#080a16")
    p.glow(*centre, 380, "#ffdf9d", 0.45)
    p.lay(p.cut(lambda s: s.oval(*centre, 292, 292)), "#090b17")
    face = p.cut(lambda s: s.oval(*centre, 262, 262))
    away = np.hypot(p.xs - centre[0], p.ys - centre[1])
    p.lay(face, p.gradient([(0, "#fff7dd"), (160, "#ffeab8"), (262, "#e9b66c")], away))
    p.lay(p.cut(lambda s: _hands(s, centre)), "#15121c")
    p.rim(p.cut(lambda s: s.oval(*centre, 292, 292)), (5, 0), "#9fb2e6", 0.5)
    p.lay(p.cut(lambda s: s.oval(*centre, 15, 15)), "#a33a2c")


def _clock_bracket(s: Stencil) -> None:
    s.box(405, 0, 455, 420).oval(430, 400, 60, 26).box(0, 150, 900, 176).box(0, 60, 900, 72)
    for x in range(-60, 960, 120):
        s.line([(x, 66), (x + 60, 163)], 9).line([(x + 60, 163), (x + 120, 66)], 9)
    s.poly([(0, 0), (900, 0), (900, 62), (0, 62)]).oval(430, 990, 34, 24)


def _hands(s: Stencil, centre: Point) -> None:
    for minute in range(60):
        angle, inner = np.radians(minute * 6), (196 if minute % 5 == 0 else 224)
        tip = (centre[0] + 240 * np.sin(angle), centre[1] - 240 * np.cos(angle))
        s.line(
            [(centre[0] + inner * np.sin(angle), centre[1] - inner * np.cos(angle)), tip], 13 if minute % 5 == 0 else 4
        )
    for degrees, length, width in ((359, 128, 20), (348, 206, 12)):
        angle = np.radians(degrees)
        back = (centre[0] - 40 * np.sin(angle), centre[1] + 40 * np.cos(angle))
        s.line([back, (centre[0] + length * np.sin(angle), centre[1] - length * np.cos(angle))], width)


def headlights(p: Painting) -> None:
    """3: the train comes out of the fog; the passenger has picked up the suitcase."""
    light = (560.0, 800.0)
    p.wash([(0, "#0a1220"), (500, "#1c3040"), (820, "#5b7272"), (1050, "#26383f"), (1600, "#070b12")])
    p.glow(*light, 420, "#fff0c4", 0.8)
    for level, tint in ((520, "#2b4450"), (610, "#1d323e")):
        row = p.cut(
            lambda s, level=level: [
                s.line([(x, 800), (x, level)], 9).line([(x, level), (x + 150, level)], 5) for x in (90, 210, 760, 850)
            ]
        )
        p.lay(row, tint, 0.6)
    p.lay(
        p.cut(lambda s: s.line([(0, 240), (560, 640), (900, 330)], 3).line([(0, 330), (556, 660), (900, 420)], 2)),
        "#0b141d",
        0.8,
    )
    train = p.cut(_train_front)
    p.lay(train, "#14222b", 0.88)
    p.light(
        p.cut(
            lambda s: s.poly([(478, 655), (552, 650), (552, 730), (476, 735)]).poly(
                [(568, 650), (642, 655), (644, 735), (568, 730)]
            )
        ),
        "#ffe3a0",
        0.45,
    )
    p.lay(p.below(np.full(p.width, 950.0, np.float32)), p.gradient([(950, "#2a3d44"), (1600, "#070b12")]))
    for x in (495, 625):
        p.light(
            p.cut(
                lambda s, x=x: s.poly(
                    [(x - 2, 950), (x + 2, 950), (x + (x - 560) * 5 + 14, 1600), (x + (x - 560) * 5 - 14, 1600)]
                )
            ),
            "#fff0c4",
            0.6,
        )
    for x in (500, 620):
        p.glow(x, 830, 74, "#fffbe8", 1.0)
        p.glow(x, 830, 400, "#ffe9b0", 0.35, 2.0)
    p.light(
        smoothstep(0.45, 0.8, p.receding(950, 12, 3)) * np.exp(-(((p.xs - 560) / 240) ** 2)) * (p.ys > 950),
        "#ffefc2",
        0.6,
    )
    p.mist(560, 1180, "#e2dcc0", 0.5, 520)
    p.mist(820, 1300, "#cfd2c4", 0.35, 360)
    edge = p.cut(lambda s: s.poly([(0, 1180), (330, 1130), (395, 1130), (250, 1600), (0, 1600)]))
    p.lay(edge, "#0b1016")
    p.rim(edge, (3, -4), "#ffe6b0", 0.75)
    passenger = p.cut(lambda s: (walker(s, 205, 1470, 720), suitcase(s, 362, 1350, 640)))
    p.lay(passenger, "#05080d")
    p.rim(passenger, (3, -5), "#ffedc0", 0.95)
    _rain(p, 0.2, np.ones_like(p.pixels[..., 0]))


def _train_front(s: Stencil) -> None:
    s.blob([(440, 940), (432, 760), (446, 640), (490, 600), (560, 592), (630, 600), (674, 640), (688, 760), (680, 940)])
    s.box(450, 900, 670, 965).poly([(470, 965), (650, 965), (625, 1000), (495, 1000)])
