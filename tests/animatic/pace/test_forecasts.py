"""The end of a run as a person sees it foreseen, held against runs in virtual time at each level of an account.

Nothing foresees the end where no take has ended, now or before, or where one take lasts much longer than all others; so
the stories without a history have more than ten waves of takes, and none of them has such a take.
"""

import math
from dataclasses import dataclass
from functools import cache
from statistics import fmean

import pytest
from simulated_runs import Story, shots

from animatic.pace.duration import Forecast, planned_duration_s
from animatic.pace.limits import LEVELS

LOOKS = 100
ERROR, FROM = 0.2, 0.1

FIVE, EIGHT = {5: 60.0}, {8: 110.0}
MIXED = {5: 60.0, 8: 110.0}

STORIES = {
    **{
        f"{level}, {takes} takes of {median_s:.0f} s": Story(
            shots(takes, {5: median_s}, takes), level, history={5: median_s}
        )
        for level, takes in (("bronze", 20), ("bronze", 60), ("silver", 500), ("gold", 1_500), ("ultra", 6_000))
        for median_s in (30.0, 60.0, 120.0)
    },
    "bronze": Story(shots(30, FIVE, 1), "bronze"),
    "bronze, quick takes": Story(shots(60, {5: 25.0}, 2), "bronze"),
    "bronze, slow takes": Story(shots(40, {5: 400.0}, 108), "bronze"),
    "silver": Story(shots(500, FIVE, 4), "silver"),
    "silver, slow takes, quicker before": Story(shots(600, {5: 400.0}, 5), "silver", history={5: 350.0}),
    "gold": Story(shots(2_000, FIVE, 6), "gold"),
    "gold, slow takes as before": Story(shots(2_500, {5: 400.0}, 7), "gold", history={5: 400.0}),
    "ultra": Story(shots(6_000, FIVE, 8), "ultra", history={5: 66.0}),
    "one wave of slow takes as before": Story(shots(100, {5: 400.0}, 108), "silver", history={5: 400.0}),
    "failures": Story(shots(60, FIVE, 10, failures=0.3), "bronze"),
    "failures at silver": Story(shots(600, {5: 200.0}, 11, failures=0.3), "silver", history={5: 200.0}),
    "half is cached": Story(shots(30, FIVE, 12), "bronze", cached=30),
    "5 s and 8 s by turns": Story(shots(40, MIXED, 13), "bronze"),
    "a storyboard of 5 s, then one of 8 s": Story([*shots(20, FIVE, 14), *shots(20, EIGHT, 15)], "bronze"),
    "a storyboard of 8 s, then one of 5 s": Story([*shots(20, EIGHT, 16), *shots(20, FIVE, 17)], "bronze"),
    "storyboards at silver": Story([*shots(400, {5: 200.0}, 18), *shots(400, {8: 300.0}, 19)], "silver"),
    "bronze that passes for silver": Story(shots(40, FIVE, 20), "silver", "bronze", retry_after_s=60.0),
    "bronze that passes for silver and says no time": Story(shots(60, {5: 40.0}, 21), "silver", "bronze"),
    "silver that passes for gold": Story(shots(900, FIVE, 22), "gold", "silver", retry_after_s=30.0),
}


@dataclass(frozen=True)
class Look:
    """One look at a run: when, what was foreseen, and whether the account was the limit."""

    at_s: float
    left_s: float
    is_limited: bool


@cache
def watched(name: str) -> tuple[float, list[Look]]:
    """Return the second at which a run ended, and some looks at it, evenly spread."""
    story = STORIES[name]
    account, limits, forecast = LEVELS[story.true_level or story.level], LEVELS[story.level], Forecast()
    every_s = planned_duration_s(len(story.shots), 0, account, fmean(shot.latency_s for shot in story.shots)) / LOOKS
    looks: list[Look] = []
    at_s = 0.0
    for at_s, progress in story.play():
        if at_s >= len(looks) * every_s:
            work = progress.work(at_s)
            looks.append(Look(at_s, forecast.update(work, limits), work.to_start > 0))
    return at_s, looks


@pytest.mark.parametrize("name", STORIES)
def test_after_a_tenth_of_the_run_the_error_is_below_a_fifth(name: str) -> None:
    end_s, looks = watched(name)
    assert len(looks) > LOOKS / 2
    wrong = {
        round(look.at_s / end_s, 2): round((look.at_s + look.left_s) / end_s, 2)
        for look in looks
        if look.at_s >= FROM * end_s and abs(look.at_s + look.left_s - end_s) >= ERROR * end_s
    }
    assert wrong == {}


STEADY = [name for name in STORIES if "takes of" in name] + ["failures at silver", "one wave of slow takes as before"]
"""Runs of which the latencies are known: only the account's limits hold them up."""


@pytest.mark.parametrize("name", STEADY)
def test_it_never_rises_while_the_account_is_the_limit(name: str) -> None:
    _, looks = watched(name)
    before = math.inf
    for look in looks:
        if not look.is_limited:
            break
        assert look.left_s <= before
        before = look.left_s
