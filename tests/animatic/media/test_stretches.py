"""Stretches that are black or frozen, and cuts, out of numbers."""

import numpy as np
import pytest

from animatic.media.stretches import Change, Stretch, changes_of, count_cuts, less, total_s

RNG = np.random.default_rng(4)
ONE, OTHER, THIRD = (RNG.uniform(0, 255, (18, 32)) for _ in range(3))


@pytest.mark.parametrize(
    ("frozen", "black", "left"),
    [
        ([(0, 5)], [], [(0, 5)]),
        ([(0, 5)], [(0, 5)], []),
        ([(0, 5)], [(1, 2)], [(0, 1), (2, 5)]),
        ([(0, 5)], [(1, 2), (3, 9)], [(0, 1), (2, 3)]),
        ([(2, 3), (4, 5)], [(0, 2.5)], [(2.5, 3), (4, 5)]),
        ([(2, 3)], [(3, 4)], [(2, 3)]),
    ],
)
def test_what_is_black_is_not_also_frozen(
    frozen: list[tuple[float, float]], black: list[tuple[float, float]], left: list[tuple[float, float]]
) -> None:
    found = less([Stretch(*each) for each in frozen], [Stretch(*each) for each in black])
    assert found == [Stretch(*each) for each in left]


def test_short_stretches_do_not_count() -> None:
    assert total_s([Stretch(0, 0.09), Stretch(1, 1.1), Stretch(2, 4)], 0.1) == pytest.approx(2.1)


def test_a_cut_is_counted_once_also_beside_another() -> None:
    assert count_cuts(changes_of([ONE] * 5 + [OTHER] * 5)) == 1
    assert count_cuts(changes_of([ONE] * 5 + [OTHER] * 2 + [THIRD] * 5)) == 2


def test_a_flash_is_no_cut() -> None:
    bright = ONE * 0.5 + 120
    assert count_cuts(changes_of([ONE] * 5 + [bright] + [ONE] * 5)) == 0


def test_a_dissolve_is_no_cut() -> None:
    between = [ONE * (1 - share) + OTHER * share for share in np.linspace(0, 1, 12)]
    assert count_cuts(changes_of([ONE] * 3 + between + [OTHER] * 3)) == 0


def test_fast_motion_is_no_cut() -> None:
    assert count_cuts(changes_of([np.roll(ONE, 3 * number, 1) for number in range(12)])) == 0


def test_black_and_flat_frames_are_cut_neither_to_nor_from() -> None:
    black = np.zeros_like(ONE)
    assert count_cuts(changes_of([ONE] * 4 + [black] * 4 + [OTHER] * 4)) == 0
    assert changes_of([ONE, black])[0].detail == 0


def test_a_clip_of_one_frame_or_none_has_no_cut() -> None:
    assert (count_cuts(changes_of([])), count_cuts(changes_of([ONE]))) == (0, 0)
    assert count_cuts([Change(90.0, 1.0, 50.0)]) == 1
