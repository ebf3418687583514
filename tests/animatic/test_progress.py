"""The progress of a run: by take, and each take counted once."""

from collections import Counter

import pytest
from counted import finish
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from animatic.progress import Progress
from animatic.takes.money.budgets import Reserved
from animatic.takes.states import FINAL, State

unhurried = examples(60)


def test_submissions_are_counted_one_by_one_and_takes_by_take() -> None:
    progress = Progress(total=2)
    finish(progress, "aa", State.FAILED)
    finish(progress, "aa", State.COMPLETED)
    assert progress.submissions == 2
    assert (progress.done, progress.finished_here) == (1, 1)
    assert progress.by_state() == Counter({State.COMPLETED: 1})


def test_money_is_the_ledgers_last_sum_and_never_added_up_here() -> None:
    progress = Progress()
    assert progress.reserved == Reserved(0, 0)
    progress.reserved = Reserved(6_500_000, 1)
    finish(progress, "aa", State.COMPLETED)
    assert progress.reserved == Reserved(6_500_000, 1)


def test_a_submission_is_open_until_its_answer() -> None:
    progress = Progress()
    progress.submitted("aa")
    progress.began_polling("aa")
    assert progress.submissions == 1
    assert progress.is_open_here("aa")
    assert not progress.is_open_here("bb")
    progress.finished("aa", State.HELD)
    progress.stopped_polling("aa")
    assert not progress.is_open_here("aa")


def test_completed_takes_that_were_not_judged_are_counted() -> None:
    progress = Progress(total=3)
    finish(progress, "aa", State.COMPLETED, is_judged=False)
    finish(progress, "bb", State.COMPLETED, is_flagged=True)
    finish(progress, "cc", State.FAILED, is_judged=False)
    assert (progress.not_judged, progress.flagged) == (1, 1)


@pytest.mark.parametrize(
    ("reserved", "known_microusd"),
    [
        (Reserved(0, 0), 0),
        (Reserved(2_500_000, 0), 2_500_000),
        (Reserved(2_500_000, 3), 2_500_000),
        (Reserved(0, 1), None),
    ],
)
def test_a_cost_is_unknown_only_where_no_price_is_known(reserved: Reserved, known_microusd: int | None) -> None:
    assert reserved.known_microusd == known_microusd


def test_in_flight_counts_the_takes_polled_now() -> None:
    progress = Progress()
    for fingerprint in ("a", "b"):
        progress.began_polling(fingerprint)
    assert progress.in_flight == 2
    progress.stopped_polling("b")
    assert progress.in_flight == 1


def test_cached_takes_are_done_and_flagged_too() -> None:
    progress = Progress(total=4, cached=Counter({State.COMPLETED: 2}), cached_flagged=1)
    finish(progress, "cc", State.COMPLETED, is_flagged=True)
    finish(progress, "dd", State.UNKNOWN)
    assert (progress.done, progress.flagged, progress.finished_here) == (4, 2, 2)
    assert progress.by_state() == Counter({State.COMPLETED: 3, State.UNKNOWN: 1})


@unhurried
@given(st.lists(st.tuples(st.sampled_from(["aa", "bb", "cc", "dd"]), st.sampled_from(sorted(FINAL)), st.booleans())))
def test_no_take_is_counted_twice(steps: list[tuple[str, State, bool]]) -> None:
    progress, completed = Progress(), set[str]()
    for fingerprint, state, is_flagged in steps:
        if fingerprint not in completed:
            finish(progress, fingerprint, state, is_flagged=is_flagged)
        if state is State.COMPLETED:
            completed.add(fingerprint)
    distinct = {fingerprint for fingerprint, _, _ in steps}
    assert progress.done == progress.by_state().total() == len(distinct)
    assert progress.flagged <= len(distinct)
