"""Stretches of a clip's time, and cuts between its frames, out of what is seen in single frames. Pure.

Arrays of numbers in, numbers out: no decoder and no file.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLACK_STRETCH_S, FROZEN_STRETCH_S = 0.1, 0.5
"""Shorter stretches do not count."""

CUT_UNLIKE, CUT_CHANGE, CUT_DETAIL, CUT_SPIKE = 0.25, 6.0, 4.0, 3.0
"""A cut leaves three quarters of the correlation at most, and changes so much, between frames with so much detail, and
so many times more than the two changes before it or the two behind it."""

Blocks = NDArray[np.float64]


class Stretch(NamedTuple):
    """A stretch of time in seconds."""

    start_s: float
    end_s: float


def total_s(stretches: Sequence[Stretch], least_s: float) -> float:
    """Return the length of stretches that last so long at least, together."""
    return sum(each.end_s - each.start_s for each in stretches if each.end_s - each.start_s >= least_s - 1e-6)


def less(stretches: Sequence[Stretch], others: Sequence[Stretch]) -> list[Stretch]:
    """Return the parts of stretches that lie in none of the others, which are in order and apart."""
    left: list[Stretch] = []
    for each in stretches:
        start_s = each.start_s
        for other in others:
            if start_s < other.start_s < each.end_s:
                left.append(Stretch(start_s, other.start_s))
            if other.start_s < each.end_s and start_s < other.end_s:
                start_s = min(other.end_s, each.end_s)
        if start_s < each.end_s:
            left.append(Stretch(start_s, each.end_s))
    return left


class Change(NamedTuple):
    """Change from one frame to the next.

    Attributes:
        size: mean difference, in luma from 0 to 255.
        unlike: 0 where they show the same, whatever its brightness; 1 where they have nothing in common.
        detail: standard deviation within the flatter of the two.
    """

    size: float
    unlike: float
    detail: float


def changes_of(frames: Sequence[Blocks]) -> list[Change]:
    """Return the changes between frames, which are given as means of their blocks."""
    found: list[Change] = []
    for one, other in itertools.pairwise(frames):
        shared = float(((one - one.mean()) * (other - other.mean())).mean())
        alike = shared / max(float(one.std() * other.std()), 1e-9)
        found.append(Change(float(np.abs(one - other).mean()), 1 - alike, float(min(one.std(), other.std()))))
    return found


def count_cuts(changes: Sequence[Change]) -> int:
    """Return the number of hard cuts: from one picture to another, at once, between frames that are not so."""
    return sum(_is_cut(each, changes[max(at - 2, 0) : at], changes[at + 1 : at + 3]) for at, each in enumerate(changes))


def _is_cut(change: Change, before: Sequence[Change], behind: Sequence[Change]) -> bool:
    """Tell if a change stands out on one side at least: another cut may be on the other."""
    usual = min((max(each.size for each in side) for side in (before, behind) if side), default=0.0)
    is_other = change.unlike >= CUT_UNLIKE and change.size >= CUT_CHANGE
    return is_other and change.detail >= CUT_DETAIL and change.size >= CUT_SPIKE * usual
