"""Visible moves, and takes of one shot that differ visibly."""

import io
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from animatic.sandbox.renderer.camera import MOST, VARIANTS, parse_move
from animatic.sandbox.renderer.layers import NEARNESS
from animatic.sandbox.renderer.render import LIGHTS, _seen_from, render_clip

STILLS = Path(__file__).parents[3] / "manifests" / "stills"
SEEDS = range(4, 8)


def _luma(clip: bytes) -> NDArray[np.float64]:
    with av.open(io.BytesIO(clip), "r") as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    return np.stack(frames[::6]).astype(np.float64)


@pytest.mark.parametrize(
    ("still", "prompt", "least"),
    [
        ("lighthouse-01.jpg", "Slow push in towards the lighthouse.", 12.0),
        ("last-train-06.jpg", "Camera tilts down to the passenger.", 12.0),
        ("last-train-02.jpg", "Locked-off shot, no camera movement.", 6.0),
    ],
)
def test_neighbouring_takes_of_a_shot_differ_visibly(still: str, prompt: str, least: float) -> None:
    ratio = "9:16" if still.startswith("last") else "16:9"
    data = (STILLS / still).read_bytes()
    takes = [_luma(render_clip(data, prompt, aspect_ratio=ratio, duration_s=1, seed=seed)) for seed in SEEDS]
    differences = [float(np.abs(one - next_one).mean()) for one, next_one in pairwise(takes)]
    assert min(differences) > least
    assert max(abs(float(one.mean()) - float(takes[0].mean())) for one in takes) < 40, (
        "another hour, not another picture"
    )


@pytest.mark.parametrize(
    "prompt",
    [
        *("slow pan left", "slow tilt up", "gentle truck right", "slow crane down", "slow arc to the right"),
        *("slow push in", "slow pull back", "slow zoom in", "pan right", "truck left", "push in", "fast pan right"),
        "a quiet street",
    ],
)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_move_goes_far_enough_to_be_seen_and_not_too_far(prompt: str, seed: int) -> None:
    move = parse_move(prompt, seed)
    first, last = ([_seen_from(move.pose(t, 5 * t), nearness) for nearness in NEARNESS] for t in (0.0, 1.0))
    across = max(abs(a[axis] - b[axis]) for a, b in zip(first, last, strict=True) for axis in (0, 1))
    growth = max(max(a[2], b[2]) / min(a[2], b[2]) - 1 for a, b in zip(first, last, strict=True))
    assert 0.13 < max(across, growth) < 0.45


def test_neighbouring_seeds_are_different_variants_and_lights() -> None:
    assert len(VARIANTS) == len(LIGHTS)
    moves = [parse_move("slow pan left", seed) for seed in SEEDS]
    assert len({move.lead for move in moves}) == len(VARIANTS)
    for one, other in pairwise(moves):
        assert one.drift != other.drift or one.lead != other.lead


def test_a_long_row_of_moves_stays_within_bounds() -> None:
    move = parse_move("push in, then " * 12 + "push in", 1)
    poses = [move.pose(t / 200, t / 25) for t in range(201)]
    assert max(pose.dolly for pose in poses) <= MOST["dolly"] + 1e-9
    still = (STILLS / "lighthouse-01.jpg").read_bytes()
    assert render_clip(still, "push in, then " * 12, aspect_ratio="16:9", duration_s=1, seed=1)[4:8] == b"ftyp"


@pytest.mark.parametrize("seed", SEEDS)
def test_no_variant_jumps(seed: int) -> None:
    move = parse_move("Slow pan left, then a slow push in on the flame.", seed)
    values = np.array([move.pose(i / 119, i / 24).values() for i in range(120)])
    steps = np.abs(np.diff(values, axis=0)).max(axis=1)
    assert steps.max() < 0.012, "no frame is more than a hundredth of the picture away from the one before"
    assert np.abs(np.diff(values, n=2, axis=0)).max() < 0.0015, "speed changes gently"


async def test_equal_submissions_get_seeds_that_follow_each_other(caller: object) -> None:
    from animatic.sandbox.witness import read_witness  # noqa: PLC0415 - only here

    for _ in range(3):
        await caller.submit("a")  # type: ignore[attr-defined]
    await caller.submit("b")  # type: ignore[attr-defined]
    seeds = [each.seed for each in read_witness(caller.sandbox.folder)]  # type: ignore[attr-defined]
    assert [seed - seeds[0] for seed in seeds[:3]] == [0, 1, 2]
    assert abs(seeds[3] - seeds[0]) > 100
