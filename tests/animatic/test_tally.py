"""What a run says it has done: by take, and each take once."""

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from animatic.takes import FINAL, State
from animatic.tally import Tally

# A machine may be busy.
unhurried = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def test_money_is_counted_by_submission_and_takes_by_take() -> None:
    tally = Tally(total=2)
    tally.submitted("aa", 2.5)
    tally.settled("aa", State.FAILED)
    tally.submitted("aa", 2.5)
    tally.settled("aa", State.COMPLETED)
    assert (tally.submissions, tally.committed_usd, tally.spent_usd) == (2, 5.0, 5.0)
    assert (tally.done, tally.settled_here) == (1, 1)
    assert tally.by_state() == Counter({State.COMPLETED: 1})


def test_what_is_committed_is_spent_only_once_it_is_final() -> None:
    tally = Tally()
    tally.submitted("aa", 2.5)
    tally.submitted("bb", 4.0)
    tally.settled("bb", State.COMPLETED)
    assert (tally.committed_usd, tally.spent_usd) == (6.5, 4.0)


def test_a_take_without_a_price_counts_as_a_submission() -> None:
    tally = Tally()
    tally.submitted("aa", None)
    assert (tally.submissions, tally.committed_usd) == (1, 0.0)
    assert tally.is_open_here("aa")
    assert not tally.is_open_here("bb")


def test_in_flight_is_what_is_watched_now() -> None:
    tally = Tally()
    for fingerprint in ("a", "b", "a"):
        tally.watching(fingerprint)
    tally.unwatching("b")
    tally.unwatching("never watched")
    assert tally.in_flight == 1


def test_cached_takes_are_done_and_flagged_too() -> None:
    tally = Tally(total=4, cached=Counter({State.COMPLETED: 2}), cached_flagged=1)
    tally.settled("cc", State.COMPLETED, is_flagged=True)
    tally.settled("dd", State.UNKNOWN)
    assert (tally.done, tally.flagged, tally.settled_here) == (4, 2, 2)
    assert tally.by_state() == Counter({State.COMPLETED: 3, State.UNKNOWN: 1})


@unhurried
@given(st.lists(st.tuples(st.sampled_from(["aa", "bb", "cc", "dd"]), st.sampled_from(sorted(FINAL)), st.booleans())))
def test_no_take_is_counted_twice(steps: list[tuple[str, State, bool]]) -> None:
    tally, completed = Tally(), set[str]()
    for fingerprint, state, is_flagged in steps:
        if fingerprint not in completed:
            tally.settled(fingerprint, state, is_flagged=is_flagged)
        if state is State.COMPLETED:
            completed.add(fingerprint)
    distinct = {fingerprint for fingerprint, _, _ in steps}
    assert tally.done == tally.by_state().total() == len(distinct)
    assert tally.flagged <= len(distinct)
