"""Camera moves in a prompt. Pure: words and a seed in, poses out; knows no image.

A move is a row of legs ("pan right, then push in" has two), each from one pose to the next, eased at both ends. Words
are looked for anywhere in the prompt; where it names no camera move, the seed picks a gentle one. Tokens in square
brackets are not for the camera. Seeds that follow each other, as those of the takes of one shot do, give variants of a
move that differ in distance, timing and a slight second move.
"""

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

EASE_SHARE = 0.28  # of a leg is spent gathering speed, and as much losing it
GENTLE = ("push in", "pull out", "truck left", "truck right", "crane up")  # what a prompt without a camera gets
OPERATOR = (0.97, 1.03)  # how far a move goes, from seed to seed, beside what its variant says
GENTLE_SPEED = 0.8
MOST = {"pan_x": 0.5, "pan_y": 0.5, "truck_x": 0.5, "truck_y": 0.5, "orbit": 0.5, "dolly": 0.55, "zoom": 0.6}
"""Limits of a whole move, however many moves a prompt names; a larger one is scaled down."""


@dataclass(frozen=True, slots=True)
class Variant:
    """Variation of one take of a shot against the next.

    Attributes:
        size: factor on the distance.
        lead: how much of the way is made early (negative: late), as a share of the clip.
        side: to which side a move in or out also drifts, -1 or 1; other moves are framed a little tighter (-1).
    """

    size: float
    lead: float
    side: int


VARIANTS = (Variant(1.0, 0.0, 1), Variant(0.88, 0.08, -1), Variant(1.12, -0.07, -1), Variant(0.94, -0.09, 1))


@dataclass(frozen=True, slots=True)
class Pose:
    """Position of the camera against the plain still. Lengths are shares of the frame's width or height.

    Attributes:
        pan_x: turned right; everything shifts left alike, whatever its distance.
        pan_y: turned down; everything shifts up alike.
        truck_x: moved right; what is near shifts left more than what is far.
        truck_y: moved down; what is near shifts up more.
        orbit: circled to the right around the middle distance; what is near shifts left, what is far right.
        dolly: moved forward, as a share of the distance to what is nearest; what is near grows more.
        zoom: the lens, as a natural logarithm: 0.1 magnifies everything by about a tenth.
        roll_deg: turned about the lens axis, clockwise.
    """

    pan_x: float = 0.0
    pan_y: float = 0.0
    truck_x: float = 0.0
    truck_y: float = 0.0
    orbit: float = 0.0
    dolly: float = 0.0
    zoom: float = 0.0
    roll_deg: float = 0.0

    def plus(self, other: "Pose", weight: float = 1.0) -> "Pose":
        """Return this pose with `weight` of another added to it."""
        return Pose(*(mine + weight * theirs for mine, theirs in zip(self.values(), other.values(), strict=True)))

    def values(self) -> tuple[float, ...]:
        """Return the eight numbers, in the order of the fields."""
        return (
            self.pan_x,
            self.pan_y,
            self.truck_x,
            self.truck_y,
            self.orbit,
            self.dolly,
            self.zoom,
            self.roll_deg,
        )


STILL = Pose()


@dataclass(frozen=True, slots=True)
class Shake:
    """The small restlessness of a hand. `size` 0 is a tripod, 1 a steady operator; `phases` make each take its own."""

    size: float = 0.0
    phases: tuple[float, ...] = ()

    def at(self, seconds: float) -> Pose:
        """Return how far off the hand is at a moment; slow drifts with smaller, quicker ones on top, no jitter."""
        if self.size == 0.0:
            return STILL
        x, y, roll = (
            sum(math.sin(2 * math.pi * hertz * seconds + self.phases[3 * i + axis]) / (1 + i) for i, hertz in _TREMOR)
            for axis in range(3)
        )
        return Pose(pan_x=0.0042 * self.size * x, pan_y=0.0052 * self.size * y, roll_deg=0.16 * self.size * roll)


_TREMOR = ((0, 0.23), (1, 0.61), (2, 1.13), (3, 1.9))


@dataclass(frozen=True, slots=True)
class Move:
    """A camera move.

    Attributes:
        name: what it is called.
        stops: the poses that it goes through, at even times.
        shake: of the hand that holds it.
        lead: how much of each leg is made early, as a share of it.
        drift: a slight second move over the whole clip, from the first pose to the other, added to the rest; where both
            are the same, a framing.
    """

    name: str
    stops: tuple[Pose, ...]
    shake: Shake = Shake()
    lead: float = 0.0
    drift: tuple[Pose, Pose] = (STILL, STILL)

    @property
    def is_static(self) -> bool:
        """True if the picture never moves."""
        stays = self.shake.size == 0.0 and self.drift[0] == self.drift[1]
        return stays and all(stop == self.stops[0] for stop in self.stops)

    def pose(self, t: float, seconds: float) -> Pose:
        """Return the pose at share `t` (0..1) of the clip, `seconds` after its start."""
        legs = len(self.stops) - 1
        leg = min(int(t * legs), legs - 1)
        eased = ease(_led(t * legs - leg, self.lead))
        start, end = self.stops[leg], self.stops[leg + 1]
        pose = start.plus(start, -eased).plus(end, eased).plus(self.shake.at(seconds))
        whole = ease(t)
        return pose.plus(self.drift[0], 1.0 - whole).plus(self.drift[1], whole)


def _led(t: float, lead: float) -> float:
    """Return the time of a leg, run ahead by `lead` in its middle; its ends stay where they are."""
    return t + lead * math.sin(math.pi * t) ** 2


def ease(t: float) -> float:
    """Even speed with soft ends: 0 at 0, 1 at 1, no jerk where speed is gathered or lost."""
    t = min(1.0, max(0.0, t))
    if t > 0.5:
        return 1.0 - ease(1.0 - t)
    ramp = EASE_SHARE
    if t >= ramp:
        return (t - ramp / 2) / (1.0 - ramp)
    u = t / ramp
    return ramp * u**3 * (1.0 - u / 2) / (1.0 - ramp)


# -- what the words mean ------------------------------------------------------------------------------------------

_SIZES = {
    "push in": Pose(dolly=0.15, zoom=0.13),
    "pull out": Pose(dolly=-0.15, zoom=-0.13),
    "zoom in": Pose(zoom=0.27),
    "zoom out": Pose(zoom=-0.27),
    "dolly zoom": Pose(dolly=0.24, zoom=-0.13),
    "pan left": Pose(pan_x=-0.20, truck_x=-0.03),
    "pan right": Pose(pan_x=0.20, truck_x=0.03),
    "tilt up": Pose(pan_y=-0.20, truck_y=-0.03),
    "tilt down": Pose(pan_y=0.20, truck_y=0.03),
    "truck left": Pose(pan_x=-0.07, truck_x=-0.18),
    "truck right": Pose(pan_x=0.07, truck_x=0.18),
    "crane up": Pose(pan_y=-0.07, truck_y=-0.18),
    "crane down": Pose(pan_y=0.07, truck_y=0.18),
    "orbit left": Pose(pan_x=-0.14, orbit=-0.16),
    "orbit right": Pose(pan_x=0.14, orbit=0.16),
    "static": STILL,
    "handheld": STILL,
}
_SIDES = {
    "in": "in, into, inward, inwards, forward, forwards, toward, towards, closer, through",
    "out": "out, outward, outwards, back, backward, backwards, away",
    "left": "left, leftward, leftwards, right to left",
    "right": "right, rightward, rightwards, left to right",
    "up": "up, upward, upwards",
    "down": "down, downward, downwards",
}
_SIDE_OF = {word: side for side, words in _SIDES.items() for word in words.split(", ")}
_ALONG = {"in": "push in", "out": "pull out", "left": "truck left", "right": "truck right"}
_LIFTED = {"up": "crane up", "down": "crane down"}
_SWUNG = {"left": "pan left", "right": "pan right", "up": "tilt up", "down": "tilt down"}
_ROUND = {"left": "orbit left", "right": "orbit right"}

# A cue: the words, what each side after them makes of them, and what they mean without a side (nothing, if None).
_CUES: Sequence[tuple[str, dict[str, str], str | None]] = (
    (r"dolly[- ]zoom|zolly|vertigo (?:effect|shot)", {}, "dolly zoom"),
    (r"push(?:es|ing)?|creep(?:s|ing)?|inch(?:es|ing)?|clos(?:es?|ing)(?= in\b)", _ALONG, None),
    (r"pull(?:s|ing)?|draw(?:s|ing)?", {"out": "pull out"}, None),
    (r"dolly(?:ing)?(?! zoom)|dollies", _ALONG, "push in"),
    (r"tracking shot|lateral move", _ALONG, "truck right"),
    (r"track(?:s|ing)?|truck(?:s|ing)?|slid(?:es?|ing)", _ALONG, None),
    (
        r"camera(?: \w+){0,2}? (?:mov(?:es?|ing)|glid(?:es?|ing)|drift(?:s|ing)?|floats?|fl(?:y|ies|ying)|travels?)",
        _ALONG | _LIFTED,
        None,
    ),
    (r"(?<!dolly[ -])zoom(?:s|ing)?", {"in": "zoom in", "out": "zoom out"}, "zoom in"),
    (r"pan(?:s|ning)?", _SWUNG, "pan right"),
    (r"tilt(?:s|ing)?", {"up": "tilt up", "down": "tilt down"}, None),
    (r"crane(?:s)? shot|jib shot|camera(?: \w+){0,2}? (?:rises|rising|ascends|lifts|climbs)", _LIFTED, "crane up"),
    (r"crane(?:s)?|craning|boom(?:s|ing)?|jib(?:s|bing)?|pedestal(?:s)?", _LIFTED, None),
    (r"camera(?: \w+){0,2}? (?:descends|descending|lowers|sinks)", {}, "crane down"),
    (
        r"orbit(?:s|ing)?|arc(?:s|ing)?|camera(?: \w+){0,2}? circl(?:es|ing)|circl(?:es|ing) around",
        _ROUND,
        "orbit right",
    ),
    (
        r"static|lock(?:ed)?[- ]?(?:off|down)|tripod|motionless|stationary|no (?:camera )?(?:movement|motion|move)",
        {},
        "static",
    ),
    (r"(?:still|fixed) (?:camera|frame|shot)|(?:camera|frame)(?: \w+)? (?:still|fixed|unmoving)", {}, "static"),
    (r"hand[- ]?held|shak(?:y|es|ing) (?:cam|camera)|shoulder[- ](?:cam|mounted)", {}, "handheld"),
)
_SIDE_WORDS = "|".join(sorted((re.escape(word) for word in _SIDE_OF), key=len, reverse=True))
_COMPILED = [
    (re.compile(rf"\b(?:{words})\b(?:(?:[ -]+[a-z']+){{0,3}}?[ -]+(?P<side>{_SIDE_WORDS})\b)?"), sides, default)
    for words, sides, default in _CUES
]
_SPEEDS = (
    (re.compile(r"\bvery slow|\bimperceptibl|\bbarely"), 0.6),
    (re.compile(r"\bslow|\bgentl|\bsubtl|\bslight|\bgradual|\bcreep"), 0.85),
    (re.compile(r"\bfast|\bquick|\brapid|\bswift|\bwhip|\bsudden|\bcrash"), 1.3),
)
_THEN = re.compile(r"\bthen\b|\bfollowed by\b|\bafter that\b|\bfinally\b")
_TOKEN = re.compile(r"\[[^\]]*\]")


def parse_move(prompt: str, seed: int) -> Move:
    """Return the camera move that a prompt asks for, as large as the seed's operator makes it; else a gentle one."""
    chance = random.Random(seed)  # noqa: S311 - a choice of taste, not a secret
    phases = tuple(chance.uniform(0, 2 * math.pi) for _ in range(12))
    gentle = chance.choice(GENTLE)
    text = _TOKEN.sub(" ", prompt).lower().replace("\u2019", "'")
    legs = [(found, _speed(part)) for part in _THEN.split(text) if (found := _named(part))]
    names = [name for found, _ in legs for name in found]
    shake = Shake(1.0 if "handheld" in names else 0.0, phases)
    variant = VARIANTS[seed % len(VARIANTS)]
    steps = [sum_of([_SIZES[name] for name in found]) for found, _ in legs]
    speeds = [speed for _, speed in legs]
    if not names:
        steps, speeds = [_SIZES[gentle]], [GENTLE_SPEED]
    own = variant.size * chance.uniform(*OPERATOR)
    stops = _centred(steps, [own * speed for speed in speeds])
    drift = _drift(steps[0], variant) if len(steps) == 1 else (STILL, STILL)
    return Move(", ".join(names) or f"gentle {gentle}", stops, shake, variant.lead, drift)


def _drift(step: Pose, variant: Variant) -> tuple[Pose, Pose]:
    """Return a take's own part of a move: a drift to a side of one that goes in or out, else a framing."""
    if step == STILL:
        return STILL, STILL
    if step.dolly or step.zoom:
        half = Pose(pan_x=0.03 * variant.side, truck_x=0.01 * variant.side)
        return half.plus(half, -2.0), half
    # The same framing throughout, so that the axis along which nothing moves is resampled once and not in each frame.
    off = 0.025 * variant.side
    framing = Pose(zoom=0.03 - 0.03 * variant.side, pan_x=0.0 if step.pan_x else off, pan_y=0.0 if step.pan_y else off)
    return framing, framing


def _named(text: str) -> list[str]:
    """Return the moves that a stretch of text names, each once, in the order of their cues."""
    names: list[str] = []
    for pattern, sides, default in _COMPILED:
        for match in pattern.finditer(text):
            side = _SIDE_OF.get(match["side"] or "")
            name = sides.get(side or "", default)
            if name and name not in names:
                names.append(name)
    return names


def _speed(text: str) -> float:
    return next((factor for pattern, factor in _SPEEDS if pattern.search(text)), 1.0)


def sum_of(poses: Sequence[Pose]) -> Pose:
    """All poses added up: moves made at the same time."""
    total = STILL
    for pose in poses:
        total = total.plus(pose)
    return total


def _centred(steps: Sequence[Pose], speeds: Sequence[float]) -> tuple[Pose, ...]:
    """Return the stops of a move: as far to one side of the still as to the other, and never backwards out of it."""
    stops = [STILL]
    for step, speed in zip(steps, speeds, strict=True):
        stops.append(stops[-1].plus(step, speed))
    columns = list(zip(*(stop.values() for stop in stops), strict=True))
    middle = [(min(column) + max(column)) / 2 for column in columns]
    middle[5:7] = [min(column) for column in columns[5:7]]
    spans = {name: max(column) - min(column) for name, column in zip(MOST, columns, strict=False)}
    fits = min(1.0, *(MOST[name] / span for name, span in spans.items() if span), 1.0)
    return tuple(STILL.plus(stop.plus(Pose(*middle), -1.0), fits) for stop in stops)
