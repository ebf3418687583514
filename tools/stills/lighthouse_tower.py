"""The indoor shots of the storyboard `lighthouse`, 16:9: the keeper's room, the stair, the lamp."""

import math

import numpy as np

from tools.stills.figures import sailor_cap, walker
from tools.stills.paint import Floats, Painting, Point, Stencil, colour, smoothstep

_TURN = 2 * math.pi * 3.4  # the stair turns this often between the top and the viewer


def keepers_room(p: Painting) -> None:
    """2: the keeper at his window in the last blue light, the lamp burning on the table behind him."""
    p.wash([(0, "#120f18"), (450, "#1d1620"), (900, "#0d0a10")])
    view = p.cut(lambda s: s.box(330, 130, 830, 600))
    sky = p.gradient(
        [(120, "#1f3a63"), (300, "#4d7a9d"), (415, "#b7c9bd"), (450, "#e8c79a"), (455, "#6f93a6"), (600, "#233f5f")]
    )
    p.lay(view, sky)
    banks = smoothstep(0.48, 0.75, p.noise(420, 60, 5)) * p.band(100, 420)
    p.lay(view * banks, "#35527a", 0.75)
    p.light(view * smoothstep(0.6, 0.85, p.receding(455, 12, 5)) * (p.ys > 456), "#d8dcc8", 0.35)
    p.lay(view * p.below((440 + p.profile(0, 6, 90)) + 0.10 * np.abs(p.xs[0] - 900)), "#2b4767", 0.9)
    p.glow(580, 380, 420, "#7fa6c8", 0.20)
    p.glow(1185, 520, 430, "#ff9a3c", 0.42)
    wall = smoothstep(0.3, 0.8, p.noise(300, 240, 5)) * (1 - view)
    p.light(wall * np.exp(-((p.xs - 1185) ** 2 + (p.ys - 480) ** 2) / 420**2), "#c26a24", 0.22)
    p.lay(p.cut(_shelf), "#1b100d", 0.93)
    p.lay(p.cut(_window_frame), "#1c1519")
    p.rim(p.cut(_window_frame), (0, -3), "#ffae62", 0.35)
    p.light(
        p.cut(lambda s: s.poly([(330, 628), (830, 628), (1010, 900), (230, 900)]))
        * p.gradient([(628, "#ffffff"), (900, "#000000")])[..., 0],
        "#6f98bd",
        0.16,
    )
    keeper = p.cut(lambda s: (walker(s, 640, 850, 640, hat=False), sailor_cap(s, 640, 850, 640)))
    p.lay(keeper, "#0a0910")
    p.rim(keeper, (0, -4), "#ffb269", 0.75)
    p.rim(keeper, (0, 3), "#8fb6d6", 0.35)
    p.lay(p.cut(lambda s: _oil_lamp(s, glass=True)), "#ffd58a", 0.9)
    p.lay(p.cut(lambda s: _oil_lamp(s, glass=False)), "#1c0f0a")
    p.glow(1185, 515, 62, "#fff0c0", 1.0, 0.8)
    p.lay(p.cut(_table), "#0b0709")
    p.rim(p.cut(_table), (4, 0), "#ffb25c", 0.7)
    p.lay(
        p.cut(
            lambda s: s.blob([(0, 0), (190, -20), (205, 200), (150, 420), (215, 640), (180, 920), (-20, 940), (-20, 0)])
        ),
        "#0c0a12",
    )


def _window_frame(s: Stencil) -> None:
    s.box(296, 96, 864, 634).box(330, 130, 572, 356, 0).box(588, 130, 830, 356, 0)
    s.box(330, 372, 572, 600, 0).box(588, 372, 830, 600, 0).box(270, 612, 890, 640)


def _shelf(s: Stencil) -> None:
    s.box(1010, 236, 1500, 250).box(1010, 120, 1500, 132)
    for i, (h, w) in enumerate(
        ((72, 20), (84, 26), (66, 18), (90, 30), (78, 22), (84, 20), (60, 34), (88, 24), (70, 22))
    ):
        s.box(1030 + i * 40, 236 - h, 1030 + i * 40 + w, 236)
    s.oval(1455, 205, 30, 32).box(1070, 92, 1120, 120).oval(1300, 100, 44, 22)


def _table(s: Stencil) -> None:
    s.poly([(900, 640), (1600, 640), (1600, 676), (880, 676)]).box(925, 676, 965, 900).box(1480, 676, 1530, 900)
    s.poly([(960, 640), (970, 622), (1075, 612), (1080, 640)]).box(1330, 590, 1376, 640).oval(1384, 614, 16, 16)
    s.oval(1384, 614, 9, 10, 0)
    s.poly([(1440, 640), (1470, 560), (1500, 556), (1478, 640)])


def _oil_lamp(s: Stencil, *, glass: bool) -> None:
    if glass:
        s.blob([(1166, 560), (1150, 520), (1164, 470), (1172, 430), (1198, 430), (1206, 470), (1220, 520), (1204, 560)])
    else:
        s.blob([(1148, 600), (1160, 566), (1210, 566), (1222, 600), (1210, 626), (1160, 626)]).box(1140, 628, 1230, 640)
        s.box(1164, 552, 1206, 568)


def spiral_stair(p: Painting) -> None:
    """4: looking up the stair; the keeper climbs with his lantern."""
    eye = (860.0, 380.0)
    p.wash([(0, "#0b1018"), (900, "#0b1018")])
    p.mosaic(_treads(eye))
    p.glow(*eye, 150, "#e9f2f2", 0.95)
    p.light(p.cut(lambda s: s.oval(*eye, 56, 54)), "#f4fbff", 0.9)
    p.lay(p.cut(lambda s: _stair_rail(s, eye)), "#05070c")
    keeper = p.cut(lambda s: (walker(s, 826, 742, 138, hat=False), sailor_cap(s, 826, 742, 138)))
    p.glow(872, 672, 100, "#ffb45c", 0.75)
    p.lay(keeper, "#060608")
    p.rim(keeper, (0, -2), "#ffc880", 0.9)
    p.lay(p.cut(_hand_lantern), "#120a06")
    p.glow(866, 677, 20, "#fff2cc", 1.0)


def _hand_lantern(s: Stencil) -> None:
    s.line([(846, 655), (866, 652)], 7).line([(866, 652), (866, 664)], 2).box(858, 664, 875, 690)


def _treads(eye: Point) -> list[tuple[list[Point], Floats]]:
    tiles: list[tuple[list[Point], Floats]] = []
    for i in range(112):
        share, after = i / 74, (i + 1.04) / 74
        a, b = _TURN * share + 0.9, _TURN * after + 0.9
        ring = [_polar(eye, 110 + 1080 * share**2.1, a), _polar(eye, 110 + 1080 * after**2.1, b)]
        ring += [_polar(eye, 62 + 430 * after**2.0, b), _polar(eye, 62 + 430 * share**2.0, a)]
        warm = float(np.exp(-(((share - 0.645) / 0.055) ** 2)))
        fade = max(0.0, 1 - share) ** 1.5
        tread = (colour("#566b7f") * fade + colour("#141b28") * (1 - fade)) * (0.84 + 0.24 * (i % 2))
        tiles.append((ring, tread + colour("#e08a34") * warm * 0.75))
        inner, outer = _polar(eye, 62 + 430 * share**2.0, a + 0.05), _polar(eye, 110 + 1080 * share**2.1, a + 0.05)
        tiles.append(([ring[0], ring[3], inner, outer], tread * 0.35 + colour("#7a3d10") * warm * 0.6))
    return tiles


def _stair_rail(s: Stencil, eye: Point) -> None:
    for q in 1.52 * np.linspace(0, 1, 4200) ** 0.75:
        rail = _polar(eye, 58 + 415 * q**2.0, _TURN * q + 0.9)
        s.oval(*rail, 1.5 + 8 * q, 1.5 + 8 * q)
    for i in range(2, 112):
        q = i / 74
        angle = _TURN * q + 0.9
        s.line([_polar(eye, 58 + 415 * q**2.0, angle), _polar(eye, 64 + 468 * q**2.0, angle)], 1 + 7 * q)


def _polar(centre: Point, radius: float, angle: float) -> Point:
    return (centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle) * 0.86)


def lamp_room(p: Painting) -> None:
    """5: the keeper tends the great lens while rain runs down the panes."""
    lamp = (800.0, 400.0)
    p.wash([(0, "#0e1826"), (420, "#27415a"), (640, "#1a2c3e"), (900, "#070b12")])
    p.clouds(p.band(-300, 760) * 0.95, "#16273a", "#54738c", (800.0, 380.0), (560, 200))
    streaks = smoothstep(0.66, 0.8, p.noise(5, 150, 3))
    p.light(streaks * p.band(-200, 800), "#8fb0c8", 0.16)
    p.glow(*lamp, 380, "#ffbf66", 0.8)
    for angle in (4, 178):
        p.beam(lamp[0], lamp[1], angle, 13, "#ffe2a8", 0.75)
    bars = p.cut(_lantern_bars)
    p.lay(bars, "#0d1119")
    p.rim(bars, (0, -4), "#ffb867", 0.3)
    p.rim(bars, (0, 4), "#ffb867", 0.3)
    _great_lens(p, lamp)
    p.lay(p.cut(lambda s: s.poly([(640, 676), (960, 676), (925, 735), (900, 900), (700, 900), (675, 735)])), "#0e0b0d")
    p.rim(p.cut(lambda s: s.box(640, 676, 960, 690)), (4, 0), "#ffcf8a", 0.9)
    p.lay(p.cut(lambda s: s.box(0, 815, 1600, 900)), "#06070b")
    keeper = p.cut(_tending_keeper)
    p.lay(keeper, "#07080c")
    p.rim(keeper * (p.ys < 815), (0, 5), "#ffc074", 0.85)
    p.lay(p.cut(lambda s: s.box(0, 0, 90, 900).poly([(90, 0), (190, 0), (90, 120)]).box(1530, 0, 1600, 900)), "#04060a")


def _great_lens(p: Painting, lamp: Point) -> None:
    barrel = [(690, 150), (800, 118), (910, 150), (968, 400), (910, 650), (800, 684), (690, 650), (632, 400)]
    lens = p.cut(lambda s: s.blob(barrel))
    away = np.hypot(p.xs - lamp[0], (p.ys - lamp[1]) * 0.85)
    p.lay(lens, p.gradient([(0, "#fffbe6"), (90, "#ffe9ae"), (190, "#f2a94e"), (300, "#8c4a1e")], away), 0.86)
    prism = (0.5 + 0.5 * np.sin(away / 5.6)).astype(np.float32)
    rings = lens * smoothstep(62, 84, away)
    p.lay(rings * smoothstep(0.62, 1.0, prism), "#6b3512", 0.5)
    p.light(rings * smoothstep(0.7, 1.0, 1 - prism), "#fff3cc", 0.45)
    p.lay(p.cut(_lens_frame), "#1a0f0a")
    p.glow(*lamp, 96, "#fffaf0", 1.0)


def _tending_keeper(s: Stencil) -> None:
    walker(s, 1210, 905, 560, hat=False)
    sailor_cap(s, 1210, 905, 560)
    s.poly([(1150, 470), (1085, 505), (1030, 440), (1012, 452), (1062, 560), (1092, 572), (1160, 545)])


def _lantern_bars(s: Stencil) -> None:
    for x, lean in ((250, -50), (520, -18), (1080, 18), (1350, 50)):
        s.line([(x + lean, 0), (x, 830)], 16)
    for y in (70, 330, 600):
        s.line([(0, y + 14), (400, y), (1200, y), (1600, y + 14)], 10)


def _lens_frame(s: Stencil) -> None:
    for bend in (-1.0, -0.5, 0.5, 1.0):
        s.line([(800 + 172 * bend * (1 - ((y - 400) / 420) ** 2), y) for y in range(128, 680, 8)], 6)
    s.oval(800, 400, 70, 82).oval(800, 400, 61, 73, 0)
    for y in (240, 560):
        s.line([(650, y), (950, y)], 6)
    s.blob([(680, 150), (720, 108), (800, 92), (880, 108), (920, 150), (800, 140)]).box(790, 20, 810, 100)
