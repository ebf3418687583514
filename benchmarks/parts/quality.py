"""Precision and recall of the quality checks, on clips that are made clean or damaged in known ways, and their CPU."""

import contextlib
import functools
import math
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from animatic.media.checks import NAMES, failing
from animatic.media.clip_measures import UndecodableError, measure
from benchmarks import quality_clips as clips
from benchmarks.contest import Studio
from benchmarks.quality_clips import Made, Shot
from benchmarks.sizes import Result, Sizes, say

POSITIVES, CLEAN = 64, 84
FIRST_SEED = 610_000
MOST_DRAWS = 20
SIZED = 12
"""So many clips of 5 to 8 s at 720p, as veo2-i2v gives them: their CPU is what a clip costs."""

Maker = Callable[[int, Path], Made]
_MAY = {"black": frozenset({"first_frame"}), "undecodable": frozenset(NAMES)}


def run(studio: Studio, sizes: Sizes) -> Result:
    """Make all clips, check them, and count."""
    positives = sizes.takes or POSITIVES
    kinds = [
        (kind, FIRST_SEED + 1_000 * at + number)
        for at, kind in enumerate(_MAKERS)
        for number in range(positives if kind != "clean" else max(CLEAN * positives // POSITIVES, 1))
    ]
    folder = studio.folder / "quality"
    folder.mkdir(exist_ok=True)
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        judged = list(pool.map(functools.partial(_judge, folder), kinds, chunksize=4))
        sized = list(pool.map(functools.partial(_cpu, folder), range(SIZED)))
    for kind, seed, has, may, found in judged:
        if found - may != has:
            say(f"  {kind} {seed}: is {sorted(has)}, found {sorted(found)}")
    return {
        "positives": positives,
        "clean": sum(kind == "clean" for kind, *_ in judged),
        "checks": {name: _rates(name, judged) for name in NAMES},
        "cpu_s": {
            "median": round(statistics.median(cpu for cpu, _ in sized), 3),
            "most": round(max(cpu for cpu, _ in sized), 3),
            "mb": round(statistics.median(size for _, size in sized) / 1e6, 2),
            "clips": SIZED,
        },
    }


Judged = tuple[str, int, frozenset[str], frozenset[str], frozenset[str]]


def _judge(folder: Path, kind: tuple[str, int]) -> Judged:
    name, seed = kind
    made = _drawn(name, seed, folder)
    found = check(made)
    made.path.unlink()
    made.still.unlink(missing_ok=True)
    return name, seed, made.has, made.may, found


def _drawn(name: str, seed: int, folder: Path) -> Made:
    """Make a clip; where the scene of the seed hardly moves, of another one."""
    for number in range(MOST_DRAWS):
        with contextlib.suppress(clips.StandsStillError):
            return _MAKERS[name](seed + number * 1_000_000, folder)
    raise RuntimeError(f"{MOST_DRAWS} scenes in a row hardly moved, from seed {seed}")


def check(made: Made) -> frozenset[str]:
    """The names of the checks that a clip fails."""
    with made.path.open("rb") as file, Image.open(made.still) as still:
        try:
            measures = measure(file, "mov", still)
        except UndecodableError:
            measures = None
    return frozenset(failing(measures, made.asked))


def _rates(name: str, judged: Sequence[Judged]) -> Result:
    found = [(name in has, name in got) for _, _, has, may, got in judged if name not in may]
    true, missed = (sum(is_so and got == want for is_so, got in found) for want in (True, False))
    false = sum(got and not is_so for is_so, got in found)
    return {
        "positives": true + missed,
        "negatives": len(found) - true - missed,
        "precision": _share(true, true + false),
        "recall": _share(true, true + missed),
    }


def _share(part: int, whole: int) -> list[float]:
    """A share and its Wilson interval of 95 %."""
    return [round(each, 4) for each in (part / max(whole, 1), *wilson(part, whole))]


def wilson(part: int, whole: int, z: float = 1.96) -> tuple[float, float]:
    """The Wilson interval of a share."""
    if not whole:
        return 0.0, 1.0
    share, spread = part / whole, z * z / whole
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / whole + spread / whole / 4)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _cpu(folder: Path, number: int) -> tuple[float, int]:
    """The CPU of checking one clip, and its size in bytes."""
    drawn = clips.drawn_shot(FIRST_SEED + 90_000 + number)
    shot = replace(drawn, size=(1280, 720), fps=24, seconds=5.0 + number % 4, crf=23, grain=min(drawn.grain, 2.0))
    made = _written(shot, clips.moving_frames(shot), folder, "cpu")
    began = time.process_time()
    check(made)
    spent, size = time.process_time() - began, made.path.stat().st_size
    made.path.unlink()
    made.still.unlink()
    return spent, size


def _written(  # noqa: PLR0913 - what a clip is written from, two by name
    shot: Shot, frames: clips.Frames, folder: Path, kind: str, *, has: str = "", still: clips.Picture | None = None
) -> Made:
    path = folder / f"{kind}-{shot.seed}.mp4"
    clips.write_clip(path, frames, shot.fps, shot.crf)
    (still or clips.still_of(shot)).save(path.with_suffix(".jpg"), quality=90)
    return Made(
        path,
        path.with_suffix(".jpg"),
        clips.asked_like(shot),
        kind,
        frozenset({has} - {""}),
        _MAY.get(kind, frozenset()),
    )


def _clean(seed: int, folder: Path) -> Made:  # noqa: C901 - a branch for each sort
    """Clean, and often near to something that is not."""
    shot, dice = clips.drawn_shot(seed), random.Random(seed)
    sort = ("plain", "fade", "dissolve", "flash", "dark", "slow", "whip", "bars", "grain", "graded", "length", "shape")[
        seed % 12
    ]
    if sort == "fade":
        low, at = dice.uniform(0.0, 0.3), dice.uniform(0.7, 0.9)
        shot = replace(shot, light=lambda t: 1 if t < at else 1 - (1 - low) * (t - at) / (1 - at))
    elif sort == "dark":
        level = dice.uniform(0.3, 0.5)
        shot = replace(shot, light=lambda _: level)
    elif sort == "slow":
        shot = replace(shot, pushes=dice.uniform(0.04, 0.06), pans=(0.0, 0.0), walker=0.0, shake=0.0)
    elif sort == "whip":
        shot = replace(
            shot, pans=(dice.choice((-1, 1)) * dice.uniform(0.15, 0.17), 0.0), zoom=0.6, pushes=0.0, seconds=1.0
        )
    elif sort == "grain":
        shot = replace(shot, grain=dice.uniform(8, 14))
    elif sort == "graded":
        shot = replace(shot, gamma=dice.choice((0.65, 1.5)), zoom=dice.uniform(0.7, 0.9))
    frames, still = clips.moving_frames(shot), None
    if sort == "dark":  # so is what was handed in
        still = clips.still_of(shot).point([round(value * level) for value in range(256)] * 3)
    if sort == "dissolve":
        frames = clips.dissolve(frames, list(clips.frames_of(clips.other_scene(shot, 1))), dice)
    elif sort == "flash":
        frames = clips.flash(frames, dice)
    elif sort == "bars":
        frames = clips.with_bars(frames, dice)
    made = _written(shot, frames, folder, "clean", still=still)
    if sort == "length":
        return replace(made, asked=clips.asked_like(shot, duration_s=shot.seconds + dice.uniform(-0.35, 0.35)))
    if sort == "shape":
        wide, high = shot.size
        return replace(
            made,
            asked=clips.asked_like(
                shot, aspect=wide / high * dice.uniform(0.97, 1.03), pixels=round(wide * high * 1.03)
            ),
        )
    return made


def _of_length(seed: int, folder: Path) -> Made:
    shot, dice = clips.drawn_shot(seed), random.Random(seed)
    made = _written(shot, clips.moving_frames(shot), folder, "duration", has="duration")
    off = dice.choice((-1, 1)) * dice.uniform(0.7, 2.5)
    return replace(made, asked=clips.asked_like(shot, duration_s=shot.seconds + off))


def _of_size(seed: int, folder: Path) -> Made:
    shot, dice = clips.drawn_shot(seed), random.Random(seed)
    made = _written(shot, clips.moving_frames(shot), folder, "size", has="size")
    more = dice.uniform(1.12, 2.5)
    wide, high = shot.size
    asked = clips.asked_like(shot, short_side=round(min(wide, high) * more), pixels=round(wide * high * more**2))
    return replace(made, asked=asked)


def _of_aspect(seed: int, folder: Path) -> Made:
    shot, dice = clips.drawn_shot(seed), random.Random(seed)
    made = _written(shot, clips.moving_frames(shot), folder, "aspect", has="aspect")
    aspect = shot.size[0] / shot.size[1]
    others = [each for each in (16 / 9, 9 / 16, 1.0, 4 / 3, 3 / 4, 21 / 9) if abs(math.log(each / aspect)) > 0.07]
    return replace(made, asked=clips.asked_like(shot, aspect=dice.choice(others)))


def _of_first_frame(seed: int, folder: Path) -> Made:
    shot = clips.drawn_shot(seed)
    still = clips.still_of(clips.other_scene(shot, 1))
    return _written(shot, clips.moving_frames(shot), folder, "first_frame", has="first_frame", still=still)


def _black(seed: int, folder: Path) -> Made:
    shot, dice = clips.drawn_shot(seed), random.Random(seed)
    frames = clips.go_black(clips.moving_frames(shot), dice, np.random.default_rng(seed))
    return _written(shot, frames, folder, "black", has="black")


def _frozen(seed: int, folder: Path) -> Made:
    shot, dice = clips.drawn_shot(seed), random.Random(seed)
    return _written(shot, clips.freeze(clips.moving_frames(shot), dice), folder, "frozen", has="frozen")


def _cuts(seed: int, folder: Path) -> Made:
    shot, dice = clips.drawn_shot(seed), random.Random(seed)
    others = [list(clips.frames_of(clips.other_scene(shot, salt))) for salt in range(1, dice.choice((2, 2, 3)))]
    return _written(shot, clips.cut_to(clips.moving_frames(shot), others, dice), folder, "cuts", has="cuts")


def _undecodable(seed: int, folder: Path) -> Made:
    shot = clips.drawn_shot(seed)
    made = _written(shot, clips.moving_frames(shot), folder, "undecodable", has="undecodable")
    made.path.write_bytes(clips.spoil(made.path.read_bytes(), random.Random(seed)))
    return replace(made, may=made.may - {"undecodable"})


_MAKERS: dict[str, Maker] = {
    "clean": _clean,
    "duration": _of_length,
    "size": _of_size,
    "aspect": _of_aspect,
    "first_frame": _of_first_frame,
    "black": _black,
    "frozen": _frozen,
    "cuts": _cuts,
    "undecodable": _undecodable,
}
