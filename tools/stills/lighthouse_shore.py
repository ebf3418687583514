"""The outdoor shots of the storyboard `lighthouse`, 16:9: the headland, the storm, the ship that comes home."""

from collections.abc import Sequence

import numpy as np

from tools.stills.figures import gull, lantern_room, lighthouse, railing, sailor_cap, schooner, walker
from tools.stills.paint import Floats, Painting, Stencil, colour, shifted, smoothstep


def headland_at_dusk(p: Painting) -> None:
    """1: the light is lit on its headland while the sun goes down behind the stacks."""
    sun = (560.0, 520.0)
    p.wash([(0, "#1f2f57"), (180, "#51507f"), (340, "#b9697a"), (450, "#ee9a6a"), (530, "#ffd596"), (560, "#f6b27c")])
    p.glow(*sun, 300, "#ffcf8a", 0.8, 1.25)
    p.clouds(p.band(-160, 470) * 0.78, "#4a456f", "#ffb184", sun, (620, 110))
    p.light(p.cut(lambda s: s.oval(*sun, 46, 46)), "#fff2cf", 0.95)
    sea = p.gradient([(540, "#f3b780"), (600, "#b7748a"), (720, "#5b5484"), (900, "#232c56")])
    p.lay(p.below(np.full(p.width, 541.0, np.float32)), sea)
    trail = np.exp(-(((p.xs - sun[0]) / (90 + np.maximum(p.ys - 541, 0) * 0.45)) ** 2))
    p.light(smoothstep(0.55, 0.8, p.receding(541, 13, 5)) * trail * (p.ys > 541), "#ffdca0", 0.95)
    for left, right, top, tint in ((150, 300, 405, "#8f6a86"), (318, 395, 468, "#94708a"), (800, 985, 440, "#7d5d80")):
        stack = p.cut(lambda s, left=left, right=right, top=top: p.rock(s, left, right, top, 549))
        p.lay(stack, tint, 0.94)
        p.rim(stack, (0, -4 if right < sun[0] else 4), "#ffc79a", 0.6)
    p.mist(490, 590, "#ffc49a", 0.4)
    tower = p.cut(lambda s: lighthouse(s, 1250, 600, 410))
    p.lay(tower, "#2c2a50")
    p.rim(tower, (0, 6), "#ffb98a", 0.75)
    panes = p.cut(lambda s: lantern_room(s, 1250, 600, 410))
    p.light(panes, "#fff0c4", 1.0)
    p.beam(1250, 241, 172, 9, "#ffe9b0", 0.55)
    p.glow(1250, 241, 42, "#ffdf9c", 0.95)
    p.lay(tower * (1 - panes) * smoothstep(480, 300, p.ys), "#2c2a50", 0.92)
    house = p.cut(
        lambda s: s.poly(
            [(1318, 600), (1318, 500), (1306, 500), (1340, 464), (1436, 464), (1470, 500), (1458, 500), (1458, 600)]
        ).box(1410, 442, 1425, 480)
    )
    p.lay(house, "#2a284c")
    p.light(p.cut(lambda s: s.box(1346, 510, 1364, 532).box(1404, 510, 1422, 532)), "#ffcf7d", 0.9)
    far = 930 - 390 * smoothstep(690, 1330, p.xs[0]) + p.profile(0, 16, 150, rough=0.55)
    p.lay(p.below(far), p.gradient([(500, "#5d4a72"), (700, "#3a3760"), (900, "#1c2246")]))
    p.rim(p.below(far), (3, 1), "#ffb183", 0.5)
    near = (
        870
        - 150 * smoothstep(620, 0, p.xs[0])
        - 90 * smoothstep(1150, 1600, p.xs[0])
        + p.profile(0, 22, 210, rough=0.6)
    )
    p.mist(600, 820, "#a9748f", 0.3)
    p.lay(p.below(near), p.gradient([(700, "#1c1c3c"), (900, "#0d1028")]))
    p.lay(p.cut(lambda s: _grass(p, s, near)), "#171835")
    p.lay(
        p.cut(
            lambda s: [gull(s, x, y, w) for x, y, w in ((690, 250, 46), (760, 225, 34), (835, 262, 28), (640, 300, 22))]
        ),
        "#33305a",
        0.9,
    )


def _grass(p: Painting, s: Stencil, skyline: Floats) -> None:
    for x in p.rng.uniform(0, p.width, 420):
        y = skyline[int(x)] + 6
        h, lean = p.rng.uniform(12, 42), p.rng.uniform(-14, 20)
        s.poly([(x - 1.6, y), (x + 1.6, y), (x + lean, y - h)])


def storm_front(p: Painting) -> None:
    """3: the weather comes in; a schooner runs before it."""
    p.wash([(0, "#11161f"), (260, "#26313c"), (430, "#5d6b68"), (540, "#b9b48e"), (585, "#d9c795"), (620, "#6f7f78")])
    p.glow(1120, 590, 420, "#f1dca0", 0.5, 2.2)
    p.clouds(p.band(-420, 560) * 1.05, "#161c27", "#8f9587", (1180.0, 520.0), (520, 190))
    p.clouds(p.band(-500, 330) * 1.1, "#0c1019", "#4a525a", (1180.0, 420.0), (800, 260))
    slant = p.xs + 0.32 * p.ys
    streaks = 0.5 + 0.5 * np.interp(slant, np.arange(2200), p.rng.random(2200)).astype(np.float32)
    for left, right, amount in ((60, 520, 0.75), (640, 860, 0.35)):
        curtain = smoothstep(left, left + 120, slant) * (1 - smoothstep(right - 160, right, slant)) * p.band(250, 800)
        p.lay(curtain * streaks, "#2a3440", amount)
    p.lay(
        p.below(np.full(p.width, 600.0, np.float32)), p.gradient([(600, "#8d9580"), (660, "#47575c"), (900, "#0d151e")])
    )
    p.light(
        smoothstep(0.5, 0.85, p.receding(600, 12, 5)) * np.exp(-(((p.xs - 1120) / 300) ** 2)) * (p.ys > 600),
        "#e9d9a6",
        0.7,
    )
    bolt = [(402.0, 250.0), (424, 300), (398, 345), (420, 398), (388, 452), (404, 500), (376, 552), (384, 600)]
    p.glow(400, 430, 190, "#a9c3dd", 0.55, 0.55)
    p.light(
        p.cut(
            lambda s: (
                s.line(bolt, 3.2)
                .line([(420, 398), (470, 440), (462, 482), (498, 520)], 1.6)
                .line([(398, 345), (352, 380), (340, 420)], 1.5)
            )
        ),
        "#f4f8ff",
        1.0,
    )
    ship = p.cut(lambda s: schooner(s, (1010, 622), 190, -7))
    p.lay(ship, "#20262c")
    p.rim(ship, (0, -2), "#f0dfae", 0.5)
    _swell(
        p,
        ((640, 9, 90, "#4c5b5c"), (690, 17, 150, "#33434a"), (765, 30, 240, "#1d2a35"), (850, 42, 360, "#0c131d")),
        "#b9bda6",
    )


def beam_over_the_storm(p: Painting) -> None:
    """6: at the height of the storm the beam finds the ship."""
    p.wash([(0, "#060b14"), (380, "#142536"), (560, "#24424f"), (640, "#16303d")])
    p.clouds(p.band(-320, 620) * 1.0, "#0a1320", "#3e5a6a", (250.0, 200.0), (560, 200))
    p.beam(170, 205, -15, 8, "#f5efc8", 0.95)
    p.beam(170, 205, -15, 3.2, "#fffbe2", 0.5)
    p.beam(170, 205, 165, 6, "#f5efc8", 0.4)
    _swell(p, ((585, 14, 150, "#23404c"), (625, 22, 210, "#1b3441")), "#a9c3c4")
    ship = p.cut(lambda s: schooner(s, (1080, 640), 330, 17, sails=False))
    p.glow(1090, 500, 230, "#f6eec6", 0.30)
    p.lay(ship, "#0a1017")
    p.rim(ship, (2, 3), "#f8eec4", 0.9)
    cliff = 560 + 500 * smoothstep(190, 520, p.xs[0]) + p.profile(0, 26, 120, rough=0.62)
    tower, panes = p.cut(lambda s: lighthouse(s, 170, 590, 440)), p.cut(lambda s: lantern_room(s, 170, 590, 440))
    p.lay(tower, "#060a11")
    p.light(panes, "#fff6d2", 1.0)
    p.glow(170, 205, 46, "#fff0c0", 1.0)
    p.lay(tower * (1 - panes), "#080c14", 0.92)
    p.lay(p.below(cliff.astype(np.float32)), "#070c14")
    _swell(p, ((705, 36, 330, "#22404f"), (775, 48, 430, "#1d3846")), "#b7cdca")
    spray = smoothstep(0.60, 0.75, p.noise(60, 44, 5)) * np.exp(-(((p.xs - 330) / 120) ** 2) - ((p.ys - 690) / 95) ** 2)
    p.light(spray, "#cfe0dc", 0.75)
    _swell(p, ((890, 70, 620, "#02060b"),), "#1c2a30")
    rain = smoothstep(0.72, 0.82, p.noise(7, 70, 2))
    slanted = np.stack([np.roll(row, -int(y * 0.45)) for y, row in enumerate(rain)])
    p.light(slanted, "#a9c4cc", 0.17)


def safe_harbour(p: Painting) -> None:
    """7: morning; from the gallery the keeper watches the schooner at anchor."""
    sun = (1010.0, 470.0)
    p.wash([(0, "#7fa9c4"), (230, "#b9cfd2"), (400, "#f6dcbc"), (480, "#ffe9c8"), (500, "#f3cfae")])
    p.glow(*sun, 330, "#fff0cc", 0.75)
    p.clouds(p.band(-60, 420) * 0.72, "#b3aebb", "#fff3df", sun, (640, 90))
    p.light(p.cut(lambda s: s.oval(*sun, 40, 40)), "#fffdf2", 0.95)
    for level, swing, tint, shape in (
        (478, 16, "#b9b3c0", 1250),
        (490, 24, "#938fa9", 1500),
        (505, 30, "#6d6f90", 1720),
    ):
        hills = level - 110 * np.exp(-(((p.xs[0] - shape) / 330) ** 2)) + p.profile(0, swing * 0.35, 170, rough=0.55)
        p.lay(p.below(hills.astype(np.float32)) * (p.ys < 512), tint)
    water = p.gradient([(506, "#f7d9b8"), (580, "#c3b7bd"), (720, "#7f96ae"), (900, "#4c6685")])
    p.lay(p.below(np.full(p.width, 506.0, np.float32)), water)
    trail = np.exp(-(((p.xs - sun[0]) / (70 + np.maximum(p.ys - 506, 0) * 0.4)) ** 2))
    p.light(smoothstep(0.52, 0.8, p.receding(506, 11, 5)) * trail * (p.ys > 507), "#fff2d2", 0.9)
    p.mist(455, 560, "#fff0dc", 0.55)
    ship = p.cut(lambda s: schooner(s, (1000, 590), 250, 0, sails=False))
    p.lay(shifted(ship[::-1], 281, 0), "#54607c", 0.28)
    p.lay(ship, "#3d4560")
    p.rim(ship, (0, 2), "#ffeccb", 0.5)
    birds = ((740, 180, 92), (905, 255, 54), (640, 300, 40), (1260, 210, 46))
    p.lay(p.cut(lambda s: [gull(s, x, y, span, 0.4) for x, y, span in birds]), "#59617c", 0.95)
    _gallery(p)


def _gallery(p: Painting) -> None:
    deck = p.cut(lambda s: s.poly([(0, 818), (1100, 852), (1180, 900), (0, 900)]))
    p.lay(deck, "#1b2236")
    p.rim(deck, (4, 0), "#ffe2bb", 0.6)
    wall = p.cut(
        lambda s: s.poly([(0, 0), (150, 0), (176, 900), (0, 900)]).poly([(0, 60), (262, 26), (262, 52), (0, 108)])
    )
    p.lay(wall, "#161c2d")
    p.rim(wall, (0, -5), "#ffdcb0", 0.75)
    keeper = p.cut(lambda s: (walker(s, 430, 846, 500, hat=False), sailor_cap(s, 430, 846, 500)))
    p.lay(keeper, "#151a2a")
    p.rim(keeper, (2, -4), "#ffe0b4", 0.85)
    rail = p.cut(lambda s: railing(s, (150, 824), (1120, 856), 205, 9))
    p.lay(rail, "#1b2236")
    p.rim(rail, (2, -1), "#ffe2bb", 0.8)


def _swell(p: Painting, ranks: Sequence[tuple[float, float, float, str]], foam: str) -> None:
    for level, swing, cell, tint in ranks:
        peaks = np.clip(1 - np.abs(p.profile(0, 1.0, cell, 2)), 0, 1) ** 1.6
        crest = level + 0.6 * swing - 2.2 * swing * peaks + p.profile(0, swing * 0.16, cell / 5, 4)
        rank = p.below(crest.astype(np.float32), 1.5)
        down = p.ys - crest[None, :]
        shaded = p.gradient([(0, _lift(tint, 0.16)), (swing * 2.2, tint), (swing * 6, _lift(tint, -0.03))], down)
        p.lay(rank, shaded)
        lace = smoothstep(0.52, 0.72, p.noise(cell / 3, swing / 1.3, 5)) * np.exp(-np.maximum(down, 0) / (swing * 0.7))
        p.light(rank * lace, foam, 0.5)


def _lift(hex_code: str, by: float) -> str:
    return "#" + "".join(f"{round(min(1.0, max(0.0, c + by)) * 255):02x}" for c in colour(hex_code))
