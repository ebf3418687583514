"""Camera moves read from prompts."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from animatic.sandbox.renderer.camera import GENTLE, STILL, Move, Pose, ease, parse_move


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("Slow push-in towards the lighthouse", "push in"),
        ("the camera pushes slowly forward", "push in"),
        ("Camera glides forward over the sea", "push in"),
        ("closing in on her hands", "push in"),
        ("dolly back", "pull out"),
        ("camera slowly pulls back to reveal the valley", "pull out"),
        ("Dolly-in", "push in"),
        ("dolly left along the bar", "truck left"),
        ("pan from left to right", "pan right"),
        ("panning right to left across the room", "pan left"),
        ("whip pan left", "pan left"),
        ("pan up to the sky", "tilt up"),
        ("camera tilts down", "tilt down"),
        ("truck right past the columns", "truck right"),
        ("tracking shot along the wall", "truck right"),
        ("Camera tracks left with the ship", "truck left"),
        ("crane up over the trees", "crane up"),
        ("a slow boom down to eye level", "crane down"),
        ("the camera rises above the roofs", "crane up"),
        ("orbit slowly to the left around him", "orbit left"),
        ("slow arc to the right", "orbit right"),
        ("crash zoom", "zoom in"),
        ("zoom out", "zoom out"),
        ("dolly zoom on his face", "dolly zoom"),
        ("Vertigo effect", "dolly zoom"),
        ("locked-off shot", "static"),
        ("No camera movement.", "static"),
        ("shot on a tripod", "static"),
        ("hand-held", "handheld"),
        ("slow push in, handheld", "push in, handheld"),
        ("pan right, then push in", "pan right, push in"),
    ],
)
def test_the_words_of_directors_name_the_move(prompt: str, name: str) -> None:
    assert parse_move(prompt, 1).name == name


@pytest.mark.parametrize(
    "prompt",
    [
        "the train pulls into the station",
        "the keeper pushes the door open",
        "she walks along the track",
        "close on her face",
        "gulls circle, waves roll in",
        "a truck waits at the throttle",
        "thunder booms",
        "the sun rises",
        "A company of expanding planets",
        "",
    ],
)
def test_what_happens_in_the_picture_is_no_camera_move(prompt: str) -> None:
    move = parse_move(prompt, 5)

    assert move.name.startswith("gentle ")
    assert not move.is_static


def test_tokens_in_brackets_are_not_for_the_camera() -> None:
    assert parse_move("push in [sandbox:fails] [zoom out, static]", 1).name == "push in"


def test_without_a_move_the_seed_picks_a_gentle_one() -> None:
    names = {parse_move("a quiet street", seed).name for seed in range(60)}

    assert names == {f"gentle {name}" for name in GENTLE}
    assert parse_move("a quiet street", 7) == parse_move("a quiet street", 7)


def _travel(move: Move) -> Pose:
    return move.stops[-1].plus(move.stops[0], -1.0)


def test_slow_moves_go_less_far_and_fast_ones_farther() -> None:
    slow, plain, fast = (_travel(parse_move(f"{word} pan right", 1)).pan_x for word in ("slow", "", "fast"))

    assert 0 < slow < plain < fast


def test_moves_named_together_are_made_at_once() -> None:
    travel = _travel(parse_move("crane up and push in", 1))

    assert travel.truck_y < 0
    assert travel.dolly > 0


def test_moves_named_in_sequence_are_made_one_after_the_other() -> None:
    move = parse_move("pan left, then zoom in", 1)
    halfway = move.pose(0.5, 2.5)

    assert len(move.stops) == 3
    assert halfway.pan_x == pytest.approx(move.stops[-1].pan_x)
    assert halfway.zoom == pytest.approx(move.stops[0].zoom)


def test_sideways_moves_have_the_still_in_their_middle() -> None:
    move = parse_move("pan right", 1)

    assert move.stops[0].pan_x == pytest.approx(-move.stops[1].pan_x)


@pytest.mark.parametrize("prompt", ["pull out", "zoom out", "dolly back, then push in", "dolly zoom"])
def test_the_camera_never_backs_out_of_the_still(prompt: str) -> None:
    assert min(min(stop.dolly, stop.zoom) for stop in parse_move(prompt, 1).stops) == pytest.approx(0.0)


def test_a_locked_off_camera_does_not_move() -> None:
    move = parse_move("locked off", 3)

    assert move.is_static
    assert {move.pose(t / 10, t) for t in range(11)} == {STILL}


def test_a_hand_is_never_quite_still_and_never_far_off() -> None:
    move = parse_move("handheld", 3)
    poses = [move.pose(i / 191, i / 24) for i in range(192)]

    assert len(set(poses)) == len(poses)
    assert max(abs(pose.pan_x) for pose in poses) < 0.012
    assert max(abs(pose.roll_deg) for pose in poses) < 0.4


def test_two_takes_are_not_held_by_the_same_hand() -> None:
    assert parse_move("handheld", 1).pose(0.5, 2.5) != parse_move("handheld", 2).pose(0.5, 2.5)


def test_a_move_starts_and_ends_softly() -> None:
    steps = [ease((i + 1) / 100) - ease(i / 100) for i in range(100)]

    assert ease(0.0) == 0.0
    assert ease(1.0) == 1.0
    assert min(steps) >= 0.0
    assert steps[0] < 0.1 * max(steps) > steps[-1]
    assert max(abs(b - a) for a, b in pairwise(steps)) < 0.1 * max(steps)


@given(prompt=st.text(max_size=300), seed=st.integers(0, 2**63 - 1), t=st.floats(0.0, 1.0))
def test_any_text_gives_a_move_within_bounds(prompt: str, seed: int, t: float) -> None:
    pose = parse_move(prompt, seed).pose(t, t * 8)

    assert all(math.isfinite(value) for value in pose.values())
    assert 0.0 <= pose.dolly < 0.6


def test_two_takes_of_a_move_differ_in_distance_not_direction() -> None:
    first, second = (parse_move("Slow push in.", seed).pose(1.0, 5.0) for seed in (1, 2))
    assert first.dolly > 0
    assert second.dolly > 0
    assert first.dolly != second.dolly
