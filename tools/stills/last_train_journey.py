"""The travelling shots of the storyboard `last-train`, 9:16: the carriage, the viaduct, the stop_signal by the sea."""

import numpy as np

from tools.stills.figures import bust, gull, lantern_room, lighthouse, suitcase, walker
from tools.stills.paint import Painting, Stencil, smoothstep


def window_seat(p: Painting) -> None:
    """4: the passenger by the window; the city slides past as spots of light."""
    p.wash([(0, "#0b1330"), (500, "#27356d"), (820, "#7b5d92"), (980, "#d68a86"), (1120, "#3a3566"), (1600, "#0c0e20")])
    for tall, tint in ((470, "#4a4380"), (330, "#2f2d60")):
        line = 1080 - tall * p.rng.random(16).repeat(57)[: p.width] * np.linspace(1.0, 0.55, p.width)
        p.lay(p.below(line.astype(np.float32), 14), tint, 0.85)
    for _ in range(70):
        x, y, r = p.rng.uniform(0, 900), p.rng.normal(960, 150), p.rng.uniform(6, 30)
        tint = str(p.rng.choice(["#ffce80", "#ffad6b", "#ff8f7a", "#9fc0ff", "#fff0cf"]))
        disc = smoothstep(1.0, 0.72, np.hypot(p.xs - x, p.ys - y) / np.float32(r))
        p.light(disc, tint, float(p.rng.uniform(0.18, 0.55)))
    streaks = smoothstep(0.6, 0.8, p.noise(340, 6, 3)) * p.band(820, 1120)
    p.light(streaks, "#ffd39a", 0.4)
    drops = smoothstep(0.84, 0.9, p.noise(11, 15, 2))
    p.light(drops, "#c7d2f5", 0.18)
    frame = p.cut(_carriage_window)
    p.lay(frame, p.gradient([(0, "#15131f"), (1200, "#1d1620"), (1600, "#0b0910")]))
    p.rim(frame, (0, -5), "#f0a98e", 0.4)
    p.rim(frame, (-4, 0), "#8791c9", 0.35)
    p.lay(
        p.cut(
            lambda s: s.blob([(700, 820), (900, 760), (930, 1100), (930, 1640), (610, 1640), (640, 1200), (655, 900)])
        ),
        "#2a1620",
    )
    p.glow(840, 210, 250, "#ffc98a", 0.3)
    rider = p.cut(lambda s: (bust(s, 480, 1010, 320, -1), _fedora_and_collar(s)))
    p.lay(rider, "#0a0810")
    p.rim(rider, (0, 6), "#ffb49a", 0.8)
    p.rim(rider, (4, 2), "#9fb4ff", 0.35)
    p.lay(p.cut(lambda s: s.box(0, 1440, 900, 1600)), "#08070d")


def _carriage_window(s: Stencil) -> None:
    s.box(0, 0, 900, 1600)
    left = [(450, 100), (200, 104), (60, 150), (36, 500), (36, 1000), (60, 1250), (200, 1300), (450, 1304)]
    right = [(700, 1300), (800, 1250), (822, 1000), (822, 500), (800, 150), (700, 104)]
    s.blob(left + right, 0)
    s.box(0, 318, 900, 334)


def _fedora_and_collar(s: Stencil) -> None:
    s.blob([(338, 772), (352, 690), (392, 640), (450, 662), (520, 640), (590, 668), (628, 730), (640, 800), (500, 800)])
    s.blob([(272, 812), (262, 796), (330, 776), (480, 774), (630, 790), (722, 782), (716, 800), (640, 836), (480, 822)])
    s.poly([(392, 1098), (352, 1010), (420, 1064), (500, 1080), (600, 960), (640, 1000), (700, 1190), (430, 1200)])


def viaduct(p: Painting) -> None:
    """5: far below the moon the lit train crosses the valley."""
    moon = (610.0, 330.0)
    p.wash([(0, "#07102a"), (420, "#1b2f5c"), (800, "#3f5c86"), (1050, "#6f86a0"), (1600, "#0c1428")])
    stars = (p.rng.random((p.height, p.width)) > 0.9993).astype(np.float32) * np.clip(1 - p.ys / 700, 0, 1)
    p.light(np.maximum(stars, shift_blur(stars)), "#e8eeff", 0.9)
    p.glow(*moon, 210, "#bcd0ff", 0.55)
    p.light(p.cut(lambda s: s.oval(*moon, 88, 88)), "#f6f4e4", 0.97)
    p.lay(p.cut(lambda s: s.oval(585, 310, 20, 16).oval(640, 350, 26, 20).oval(612, 382, 13, 10)), "#c9cfdb", 0.45)
    p.clouds(p.band(120, 900) * 0.66, "#3b5480", "#c2d2ee", moon, (620, 90))
    for level, swing, cell, tint in ((800, 120, 420, "#566f93"), (900, 90, 330, "#41597f"), (985, 70, 260, "#2e4468")):
        p.lay(
            p.below(p.profile(level, swing, cell, rough=0.5)),
            p.gradient([(level - 120, tint), (level + 260, "#7d93ac")]),
        )
        p.mist(level + 20, level + 240, "#a9bccf", 0.45, 500)
    bridge = p.cut(_arches)
    p.lay(bridge, p.gradient([(1000, "#1d2c48"), (1330, "#4b6284")]))
    p.rim(bridge, (4, -2), "#b9cbea", 0.4)
    p.lay(p.cut(_carriages), "#0b1224")
    windows = p.cut(_carriage_lights)
    p.light(windows, "#ffd587", 1.0)
    for x in range(140, 760, 60):
        p.glow(x, 1012, 26, "#ffbf66", 0.3)
    p.glow(792, 1022, 30, "#fff0c8", 0.95)
    p.beam(792, 1022, -4, 9, "#ffeec0", 0.5)
    for i in range(9):
        p.lay(
            p.cut(lambda s, i=i: s.oval(735 - i * 62, 968 - i * 13 - (i % 2) * 6, 22 + i * 8, 13 + i * 4)),
            "#c3d0e2",
            0.30 - 0.028 * i,
        )
    p.mist(1130, 1400, "#b6c7d8", 0.55, 460)
    for level, swing, tint, count in ((1400, 40, "#16243c", 34), (1515, 46, "#080e1c", 22)):
        ground = p.profile(level, swing, 400, 4)
        p.lay(np.maximum(p.below(ground), p.cut(lambda s, g=ground, n=count: _firs(p, s, g, n))), tint)


def shift_blur(points: np.ndarray) -> np.ndarray:
    """Points grown by half a pixel to each side."""
    return 0.5 * (np.roll(points, 1, 0) + np.roll(points, 1, 1))


def _arches(s: Stencil) -> None:
    s.box(0, 1040, 900, 1084).box(0, 1030, 900, 1038)
    for x in range(-30, 960, 150):
        s.poly([(x - 17, 1080), (x + 17, 1080), (x + 27, 1460), (x - 27, 1460)])
        s.box(x, 1080, x + 150, 1150)
        s.oval(x + 75, 1158, 58, 62, 0).box(x + 17, 1156, x + 133, 1160, 0)


def _carriages(s: Stencil) -> None:
    for x in (100, 250, 400, 550):
        s.box(x, 994, x + 142, 1028).poly([(x + 4, 994), (x + 12, 987), (x + 130, 987), (x + 138, 994)])
        s.oval(x + 28, 1031, 8, 8).oval(x + 114, 1031, 8, 8)
    s.box(698, 996, 770, 1028).box(745, 976, 760, 1000).oval(790, 1018, 8, 12).box(700, 978, 726, 1000)
    s.box(760, 1002, 792, 1028).oval(712, 1030, 10, 10).oval(740, 1030, 10, 10).oval(768, 1030, 10, 10)


def _carriage_lights(s: Stencil) -> None:
    for x in (100, 250, 400, 550):
        for pane in range(7):
            s.box(x + 9 + pane * 18.4, 1000, x + 20 + pane * 18.4, 1014)


def _firs(p: Painting, s: Stencil, ground: np.ndarray, count: int) -> None:
    for x in p.rng.uniform(-20, p.width + 20, count):
        foot = float(ground[int(np.clip(x, 0, p.width - 1))]) + 20
        tall = float(p.rng.uniform(70, 190)) * (foot / 1450) ** 4
        for tier in range(5):
            top, wide = foot - tall * (1 - tier * 0.17), tall * (0.07 + tier * 0.038)
            s.poly([(x, top), (x + wide, top + tall * 0.30), (x - wide, top + tall * 0.30)])
        s.box(x - 2, foot - tall * 0.2, x + 2, foot)


def halt_by_the_sea(p: Painting) -> None:
    """6: first light at the last stop; across the bay a lighthouse is still lit."""
    sun = (250.0, 830.0)
    p.wash([(0, "#5f8fb4"), (420, "#a9c7cf"), (700, "#f8dcb4"), (830, "#ffcf9a"), (880, "#f4b48c")])
    p.glow(*sun, 300, "#fff0c8", 0.85)
    p.clouds(p.band(-150, 800) * 0.74, "#a3a4bd", "#fff0d8", sun, (560, 110))
    p.light(p.cut(lambda s: s.oval(*sun, 44, 44)), "#fffdf0", 0.95)
    p.lay(
        p.below(np.full(p.width, 876.0, np.float32)),
        p.gradient([(876, "#fbd6a8"), (980, "#b9b3b8"), (1180, "#5e86a0"), (1600, "#274a68")]),
    )
    trail = np.exp(-(((p.xs - sun[0]) / (60 + np.maximum(p.ys - 876, 0) * 0.35)) ** 2))
    p.light(smoothstep(0.52, 0.8, p.receding(876, 11, 4)) * trail * (p.ys > 877), "#fff2cf", 0.9)
    cape = 905 - 130 * smoothstep(520, 880, p.xs[0]) + p.profile(0, 10, 90, rough=0.55)
    p.lay(p.cut(lambda s: lighthouse(s, 742, 830, 210)), "#7d7590")
    p.light(p.cut(lambda s: lantern_room(s, 742, 830, 210)), "#fff6d8", 1.0)
    p.glow(742, 646, 30, "#fff2c8", 0.9)
    p.lay(p.below(cape.astype(np.float32)) * (p.ys < 892), "#857a92")
    p.mist(800, 940, "#ffe6c4", 0.5)
    p.lay(
        p.cut(lambda s: [gull(s, x, y, w, 0.4) for x, y, w in ((520, 420, 74), (420, 500, 44), (610, 540, 34))]),
        "#6c7892",
        0.9,
    )
    dune = 1230 - 60 * smoothstep(300, 900, p.xs[0]) + p.profile(0, 14, 130, rough=0.6)
    p.lay(p.below(dune.astype(np.float32)), p.gradient([(1150, "#56586e"), (1600, "#2b2b42")]))
    deck = p.cut(_stop_signal)
    p.lay(deck, p.gradient([(300, "#20243a"), (1380, "#232740"), (1600, "#15172a")]))
    p.rim(deck, (3, 3), "#ffe2b4", 0.75)
    p.light(p.cut(lambda s: s.oval(668, 590, 22, 26)), "#ffdf9d", 0.85)
    passenger = p.cut(lambda s: (walker(s, 330, 1425, 400), suitcase(s, 432, 1425, 400)))
    shadow = p.cut(lambda s: s.poly([(305, 1425), (358, 1425), (620, 1600), (500, 1600)]))
    p.lay(shadow, "#0e1020", 0.55)
    p.lay(passenger, "#161a2c")
    p.rim(passenger, (3, 4), "#ffe6bd", 0.9)
    p.lay(p.cut(lambda s: _marram(p, s)), "#14182a")


def _stop_signal(s: Stencil) -> None:
    s.poly([(0, 1400), (900, 1380), (900, 1480), (0, 1530)])
    for x in range(30, 900, 120):
        s.box(x, 1440, x + 20, 1600)
    s.box(640, 470, 656, 1400).box(860, 450, 880, 1400)
    s.poly([(560, 474), (620, 420), (900, 396), (900, 462)]).line([(656, 540), (690, 480)], 8).line(
        [(668, 470), (668, 566)], 5
    )
    s.poly([(648, 568), (668, 556), (688, 568), (692, 578), (644, 578)])
    s.box(70, 1180, 82, 1410).box(30, 1140, 122, 1190)


def _marram(p: Painting, s: Stencil) -> None:
    for x in p.rng.normal(820, 110, 130):
        tall, lean = p.rng.uniform(60, 190), p.rng.uniform(-50, 26)
        s.poly([(x - 3, 1600), (x + 3, 1600), (x + lean, 1600 - tall)])
    for x in p.rng.normal(20, 60, 60):
        tall, lean = p.rng.uniform(50, 150), p.rng.uniform(-10, 46)
        s.poly([(x - 3, 1600), (x + 3, 1600), (x + lean, 1600 - tall)])
