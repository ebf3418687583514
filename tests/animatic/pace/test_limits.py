"""Starts per minute, penalties and places: the rules, and several runs that drive them in virtual time."""

import asyncio
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from torture.studio import fast_folder
from torture.virtual import VirtualLoop

from animatic.machine.waiting import StopSignal
from animatic.pace.limits import (
    LARGEST_BLOCK,
    LEVELS,
    LONGEST_PENALTY_S,
    Limits,
    block_of,
    grant_starts,
    penalty_s,
    queued_ahead,
    share_of_slots,
)
from animatic.pace.throttle import Throttle
from tests.animatic.conftest import account_on, direct_ledger

unhurried = examples(15)


class Minute:
    """A server that counts starts, and some runs that make them as fast as they are let."""

    def __init__(self, folder: Path, limits: Limits, seed: int) -> None:
        self.opened = direct_ledger(folder / "ledger.sqlite")
        self.limits, self.chance = limits, random.Random(seed)
        self.counted: list[float] = []

    async def run(self, number: int, takes: int, longest_s: float) -> None:
        throttle = Throttle(account_on(self.opened, f"run-{number}", self.limits), StopSignal())
        await asyncio.gather(*(self._take(throttle, longest_s) for _ in range(takes)))
        await throttle.flush()

    async def _take(self, throttle: Throttle, longest_s: float) -> None:
        while True:
            start = await throttle.start()
            delay_s, share = self.chance.uniform(0.0, longest_s), self.chance.random()
            await asyncio.sleep(delay_s * share)
            if self.chance.random() < 0.1:
                throttle.unsent(start)
                continue
            self.counted.append(asyncio.get_running_loop().time())
            await asyncio.sleep(delay_s * (1 - share))
            return await throttle.replied(start)


def drive(limits: Limits, runs: int, takes: int, longest_s: float, seed: int) -> list[float]:
    """Run all takes; return the seconds at which the server counted each start."""
    folder = Path(tempfile.mkdtemp(prefix="animatic-minute-", dir=fast_folder()))
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        minute = Minute(folder, limits, seed)

        async def all_runs() -> None:
            await asyncio.gather(*(minute.run(number, takes, longest_s) for number in range(runs)))

        loop.run_until_complete(all_runs())
        minute.opened.close()
        return sorted(minute.counted)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
        shutil.rmtree(folder)


@pytest.mark.sandbox
@unhurried
@given(st.integers(1, 30), st.integers(1, 3), st.floats(0.0, 50.0), st.integers(0, 10**6))
def test_no_minute_holds_more_starts_than_allowed(
    starts_per_minute: int, runs: int, longest_s: float, seed: int
) -> None:
    counted = drive(Limits(starts_per_minute, 10**6), runs, 25, longest_s, seed)
    assert len(counted) == 25 * runs
    for first, later in zip(counted, counted[starts_per_minute:], strict=False):
        assert later - first >= 60.0 - 1e-6


@pytest.mark.sandbox
@pytest.mark.parametrize(("starts_per_minute", "runs"), [(60, 1), (300, 4)])
def test_the_account_is_kept_full(starts_per_minute: int, runs: int) -> None:
    counted = drive(Limits(starts_per_minute, 10**6), runs, 4 * starts_per_minute // runs, 0.5, 1)
    began = counted[0]
    full = [sum(began + 60 * m <= each < began + 60 * (m + 1) for each in counted) for m in range(1, 3)]
    assert all(0.97 * starts_per_minute <= each <= starts_per_minute for each in full), full


def test_a_block_is_five_seconds_of_starts_or_a_quarter_for_waiters() -> None:
    levels = [LEVELS[level] for level in ("bronze", "silver", "gold", "ultra")]
    assert [block_of(limits, 10_000, 0) for limits in levels] == [1, 5, 50, LARGEST_BLOCK]
    assert [block_of(limits, 1, 10_000) for limits in levels] == [1, 1, 2, 5]
    assert [block_of(limits, 3, 0) for limits in levels] == [1, 3, 3, 3]


@given(st.integers(0, 100), st.integers(1, 100), st.integers(1, 50), st.floats(0.0, 1e6))
def test_never_more_are_granted_than_are_free_or_wanted(counted: int, limit: int, wanted: int, now: float) -> None:
    granted = grant_starts(counted, now + 30.0 if counted else None, Limits(limit, 1), wanted, now)
    assert granted.starts == max(min(limit - counted, wanted), 0)
    assert (granted.wait_s > 0) == (granted.starts == 0)


@given(st.integers(0, 10**6), st.none() | st.floats(0.0, 1e9))
def test_a_penalty_is_never_longer_than_two_minutes(refusals: int, retry_after_s: float | None) -> None:
    assert 0.0 <= penalty_s(refusals, retry_after_s) <= LONGEST_PENALTY_S


def test_without_retry_after_the_pause_doubles_to_two_minutes() -> None:
    assert [penalty_s(refusals, None) for refusals in range(7)] == [5, 10, 20, 40, 80, 120, 120]
    assert penalty_s(5, 7.0) == 7.0


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, 10), st.integers(0, 60)), max_size=5),
    st.integers(1, 60),
)
def test_places_are_never_more_than_there_are_nor_than_are_wanted(
    places: int, others: list[tuple[int, int]], wanted: int
) -> None:
    share = share_of_slots(Limits(1, places), others, wanted)
    assert 0 <= share <= wanted
    assert share == 0 or share + sum(held for held, _ in others) <= places


@given(st.integers(1, 5_000), st.lists(st.integers(1, 500), max_size=6), st.integers(0, 10_000))
def test_where_there_is_enough_for_all_each_has_what_it_wants(wanted: int, others: list[int], rest: int) -> None:
    limits = Limits(60, wanted + sum(others) + rest)
    assert share_of_slots(limits, [(each, each) for each in others], wanted) == wanted


def test_most_of_the_places_are_as_good_as_all_of_them() -> None:
    assert share_of_slots(LEVELS["gold"], [], 1_800) == 1_800
    assert share_of_slots(LEVELS["silver"], [], 80) == 80


def test_who_wants_less_leaves_the_rest_to_the_others() -> None:
    limits = Limits(1, 12)
    assert share_of_slots(limits, [], 100) == 12
    assert share_of_slots(limits, [(0, 100)], 100) == 6
    assert share_of_slots(limits, [(2, 2)], 100) == 10
    assert share_of_slots(limits, [(2, 2), (5, 100)], 100) == 5
    assert share_of_slots(limits, [(10, 100)], 100) == 2, "the rest when the other's takes end"


def test_queued_ahead_covers_the_takes_done_but_unseen() -> None:
    silver = LEVELS["silver"]
    assert queued_ahead(silver, 5.0) == 10  # and two standard deviations of that
    assert queued_ahead(silver, 0.0) == 0


@given(st.builds(Limits, st.integers(1, 10_000), st.integers(1, 10_000)), st.floats(0, 1e6))
def test_never_more_than_a_quarter_is_queued_ahead(limits: Limits, unseen: float) -> None:
    assert 0 <= queued_ahead(limits, unseen) <= max(limits.max_in_flight // 4, 1)
