"""The take that a chained shot starts from: kept once it was bought, chosen from what is there before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from animatic.takes.chains import (
    Candidate,
    Choices,
    Source,
    choose_source,
    key_of,
    last_frame_of,
    last_frame_of_shot,
    source_of,
)
from animatic.takes.inputs import Inputs
from animatic.takes.shots import canonical
from animatic.takes.states import State

ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)
DONE, FAILED = State.COMPLETED, State.FAILED


def takes(*states: State | None) -> list[Candidate]:
    return [Candidate(name, state) for name, state in zip((ONE, TWO, THREE), states, strict=False)]


@pytest.mark.parametrize(
    ("states", "chosen"),
    [
        ((None,), ONE),
        ((None, None), ONE),
        ((DONE, None), ONE),
        ((DONE, DONE), TWO),
        ((FAILED, None), TWO),
        ((State.REJECTED, State.UNKNOWN), TWO),
        ((FAILED, FAILED), ONE),
        ((DONE, FAILED, State.SUBMITTED), ONE),
    ],
)
def test_an_unbought_shot_starts_from_the_last_completed_take(states: tuple[State | None, ...], chosen: str) -> None:
    assert choose_source(takes(*states)).fingerprint == chosen


def test_an_approved_take_comes_before_a_newer_one() -> None:
    assert choose_source(takes(DONE, DONE), choices=Choices(approved={ONE})).fingerprint == ONE


def test_a_discarded_take_is_used_by_none() -> None:
    assert choose_source(takes(DONE, DONE), choices=Choices(discarded={TWO})).fingerprint == ONE
    assert choose_source(takes(None, None), choices=Choices(discarded={ONE})).fingerprint == TWO


def test_decisions_name_takes_by_shot_and_number_too() -> None:
    choices = Choices(approved={("a", 1)}, discarded={("b", 1)}).on("a", [ONE, TWO])
    assert (choices.approved, choices.discarded) == ({ONE}, frozenset())


@given(st.lists(st.sampled_from([None, *State]), min_size=1, max_size=3), st.booleans())
def test_a_bought_shot_keeps_its_source_whatever_is_completed_later(states: list[State | None], follow: bool) -> None:
    fixed = Candidate(ONE, DONE)
    found = choose_source(takes(*states), fixed, Choices(is_followed=follow))
    assert found == Source(ONE, DONE)


def test_another_approved_take_is_named_and_followed_only_on_request() -> None:
    fixed, offered = Candidate(ONE, DONE), takes(DONE, DONE)
    assert choose_source(offered, fixed, Choices({TWO})) == Source(ONE, DONE, newer=TWO)
    assert choose_source(offered, fixed, Choices({TWO}, is_followed=True)) == Source(TWO, DONE, instead_of=ONE)


def test_a_changed_shot_is_followed_only_on_request() -> None:
    fixed = Candidate(THREE, DONE)
    assert choose_source(takes(None), fixed) == Source(THREE, DONE, newer=ONE)
    assert choose_source(takes(None), fixed, Choices(is_followed=True)) == Source(ONE, None, instead_of=THREE)


def test_only_the_fingerprint_of_a_take_names_a_source() -> None:
    assert source_of(last_frame_of(ONE)) == ONE
    assert source_of(last_frame_of_shot("a" * 59)) is None
    assert source_of(f"sha256:{ONE}") is None


def test_a_shot_has_another_key_with_other_words_or_another_source() -> None:
    known = key_of(canonical("sandbox", "m", Inputs({"prompt": "x"})), "film", ("b", "a"))
    others = [
        key_of(canonical("sandbox", "m", Inputs({"prompt": "y"})), "film", ("b", "a")),
        key_of(canonical("sandbox", "m", Inputs({"prompt": "x"})), "film", ("b", "c")),
        key_of(canonical("sandbox", "m", Inputs({"prompt": "x"})), "other", ("b", "a")),
        key_of(canonical("https://api.wavespeed.ai", "m", Inputs({"prompt": "x"})), "film", ("b", "a")),
    ]
    assert known not in others
    assert len({*others}) == 4
