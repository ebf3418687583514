"""Rules of the quality checks: which of them a clip fails, given its measures and what was asked."""

from dataclasses import replace

import pytest

from animatic.media.asked_clips import asked_by
from animatic.media.checks import CHECKS, NAMES, UNDECODABLE, AskedClip, Measures, failing
from animatic.takes.inputs import Inputs
from animatic.takes.veo2 import VEO2

GOOD = Measures(5.0, 1280, 720, 0.9, 0.0, 0.0, 0, 1.0)
ASKED = AskedClip(5.0, 16 / 9, 720, 1280 * 720)


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, ()),
        ({"duration_s": 5.5}, ()),
        ({"duration_s": 5.51}, ("duration",)),
        ({"duration_s": 4.49}, ("duration",)),
        ({"width": 1216, "height": 684}, ()),
        ({"width": 1184, "height": 666}, ("size",)),
        ({"width": 1920, "height": 1080}, ()),
        ({"width": 832, "height": 480}, ("size",)),
        ({"width": 720, "height": 1280}, ("aspect",)),
        ({"width": 960, "height": 960}, ("aspect",)),
        ({"first_frame_similarity": 0.54}, ("first_frame",)),
        ({"first_frame_similarity": 0.55}, ()),
        ({"first_frame_similarity": None}, ()),
        ({"black_fraction": 0.05}, ()),
        ({"black_fraction": 0.06}, ("black",)),
        ({"frozen_fraction": 0.2}, ()),
        ({"frozen_fraction": 0.21}, ("frozen",)),
        ({"cuts": 1}, ("cuts",)),
        ({"cuts": 2, "black_fraction": 1.0, "duration_s": 9.0}, ("duration", "black", "cuts")),
    ],
)
def test_a_clip_fails_what_is_beyond_its_threshold(changes: dict[str, float], failed: tuple[str, ...]) -> None:
    assert failing(replace(GOOD, **changes), ASKED) == failed


def test_what_was_not_asked_for_is_not_judged() -> None:
    assert failing(replace(GOOD, duration_s=60.0, width=10, height=90), AskedClip()) == ()


def test_a_clip_that_cannot_be_decoded_fails_that_alone() -> None:
    assert failing(None, ASKED) == (UNDECODABLE,)


def test_every_check_names_its_method_its_threshold_and_its_source() -> None:
    assert NAMES == ("duration", "size", "aspect", "first_frame", "black", "frozen", "cuts", "undecodable")
    assert all(check.method and check.threshold and check.source for check in CHECKS)


@pytest.mark.parametrize(
    ("model", "inputs", "asked"),
    [
        (VEO2.model, {"duration": "8s", "aspect_ratio": "9:16"}, AskedClip(8.0, 9 / 16, 720, 1280 * 720)),
        ("a/b", {"duration": 5}, AskedClip(5.0)),
        ("a/b", {"duration": "5.5"}, AskedClip(5.5)),
        ("a/b", {"duration": "long"}, AskedClip()),
        ("a/b", {"duration": 0}, AskedClip()),
        ("a/b", {"num_frames": 81, "fps": 16}, AskedClip(81 / 16)),
        ("a/b", {"num_frames": 81}, AskedClip()),
        ("a/b", {"num_frames": True, "fps": 16}, AskedClip()),
        ("a/b", {"size": "832*480"}, AskedClip(None, 832 / 480, 480, 832 * 480)),
        ("a/b", {"aspect_ratio": "auto"}, AskedClip()),
        ("a/b", {"aspect_ratio": "0:9"}, AskedClip()),
        ("a/b", {"resolution": "480p"}, AskedClip(None, None, 480, 409_600)),
        ("a/b", {"resolution": "720p", "aspect_ratio": "1:1"}, AskedClip(None, 1.0, 720, 921_600)),
        ("a/b", {"resolution": "auto", "prompt": "480p"}, AskedClip()),
        ("a/b", {"size": ["832*480"], "duration": None, "fps": "x"}, AskedClip()),
    ],
)
def test_what_is_asked_follows_from_the_inputs_that_say_it(
    model: str, inputs: dict[str, object], asked: AskedClip
) -> None:
    assert asked_by(model, Inputs(inputs)) == asked


@pytest.mark.parametrize(("width", "height"), [(832, 480), (624, 624), (1104, 480), (480, 832)])
def test_models_that_keep_the_side_or_the_pixels_are_not_too_small(width: int, height: int) -> None:
    asked = asked_by("a/b", Inputs({"resolution": "480p"}))
    assert failing(replace(GOOD, width=width, height=height), asked) == ()
