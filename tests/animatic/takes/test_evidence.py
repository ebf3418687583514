"""Evidence of the list: each line of the table, and that it never proves too much."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from animatic.takes.evidence import (
    Absent,
    Adopt,
    Candidate,
    Claim,
    Hold,
    Reading,
    Scan,
    Span,
    Verdict,
    Wait,
    contradiction_in,
    echoed,
    is_same_model,
    judge,
    shift_of,
    shifted,
    spans_of,
)
from animatic.takes.inputs import Inputs

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTLE = timedelta(minutes=10)
INPUTS = Inputs({"prompt": "push in", "image": "https://stills.example/a.png"})
LATER = timedelta(minutes=20)


def claim(number: int = 1, at_s: float = 0.0, **changes: Any) -> Claim:
    begins = NOON + timedelta(seconds=at_s)
    usual: dict[str, Any] = {
        "model": "m",
        "inputs": INPUTS,
        "window_from": begins,
        "window_to": begins + timedelta(seconds=60),
    }
    return Claim(number, **(usual | changes))


def candidate(name: str = "p1", at_s: float = 5.0, **changes: Any) -> Candidate:
    usual: dict[str, Any] = {"model": "m", "created_at": NOON + timedelta(seconds=at_s), "inputs": INPUTS}
    return Candidate(name, **(usual | changes))


def scan(after: timedelta = LATER, *, is_complete: bool = True, model: str = "m") -> Scan:
    span = Span(model, NOON - timedelta(days=30), NOON + timedelta(days=30))
    return Scan(span, NOON + after, NOON + after + timedelta(seconds=2), is_complete)


def verdict(
    claims: list[Claim], candidates: list[Candidate], at: Scan | None = None, *, adopts_by_window: bool = False
) -> Verdict:
    return judge(claims, candidates, at or scan(), SETTLE, adopts_by_window=adopts_by_window)[1]


def test_the_same_inputs_are_adopted_at_once() -> None:
    assert verdict([claim()], [candidate()], scan(timedelta(seconds=1))) == Adopt("p1", "inputs")


def test_the_same_inputs_are_adopted_even_from_an_incomplete_scan() -> None:
    assert verdict([claim()], [candidate()], scan(timedelta(days=8), is_complete=False)) == Adopt("p1", "inputs")


@pytest.mark.parametrize("adopts_by_window", [False, True])
def test_without_inputs_nothing_is_decided_before_it_is_settled(adopts_by_window: bool) -> None:
    early = scan(timedelta(minutes=5))
    assert isinstance(
        verdict([claim()], [candidate(inputs=None)], early, adopts_by_window=adopts_by_window),
        Wait,
    )


def test_without_inputs_one_candidate_is_for_a_person_once_it_is_settled() -> None:
    found = verdict([claim()], [candidate(inputs=None)])
    assert isinstance(found, Hold)
    assert [each.prediction_id for each in found.candidates] == ["p1"]
    assert "nothing else says whose it is" in found.why


def test_on_an_account_with_one_user_one_settled_candidate_is_adopted() -> None:
    assert verdict([claim()], [candidate(inputs=None)], adopts_by_window=True) == Adopt("p1", "window")


@pytest.mark.parametrize("adopts_by_window", [False, True])
def test_without_inputs_two_candidates_are_for_a_person(adopts_by_window: bool) -> None:
    listed = [candidate(inputs=None), candidate("p2", inputs=None)]
    found = verdict([claim()], listed, adopts_by_window=adopts_by_window)
    assert isinstance(found, Hold)
    assert [each.prediction_id for each in found.candidates] == ["p1", "p2"]


@pytest.mark.parametrize("adopts_by_window", [False, True])
def test_without_inputs_two_claims_on_one_candidate_are_for_a_person(adopts_by_window: bool) -> None:
    claims = [claim(), claim(2, 10, inputs=INPUTS.replaced(prompt="x"))]
    listed = [candidate(at_s=20, inputs=None)]
    found = judge(claims, listed, scan(), SETTLE, adopts_by_window=adopts_by_window)
    assert {number: type(each) for number, each in found.items()} == {1: Hold, 2: Hold}


def test_without_inputs_claims_far_apart_do_not_disturb_each_other() -> None:
    apart_s = 2_000.0
    claims = [claim(), claim(2, apart_s, inputs=INPUTS.replaced(prompt="x"))]
    listed = [candidate(inputs=None), candidate("p2", apart_s + 5, inputs=None)]
    late = scan(timedelta(hours=2))
    found = judge(claims, listed, late, SETTLE, adopts_by_window=True)
    assert found == {1: Adopt("p1", "window"), 2: Adopt("p2", "window")}
    held = judge(claims, listed, late, SETTLE)
    named = {number: each.candidates for number, each in held.items() if isinstance(each, Hold)}
    assert named == {1: (listed[0],), 2: (listed[1],)}, "each is told of its own only"


@pytest.mark.parametrize("adopts_by_window", [False, True])
def test_inputs_that_disagree_are_for_a_person_not_proof_of_absence(adopts_by_window: bool) -> None:
    seen, listed = claim(absent_since=NOON + timedelta(minutes=2)), [candidate(inputs=Inputs({"prompt": "other"}))]
    found = verdict([seen], listed, adopts_by_window=adopts_by_window)
    assert isinstance(found, Hold)
    assert "other inputs" in found.why


def test_more_predictions_with_the_same_inputs_than_takes_are_for_a_person() -> None:
    found = verdict([claim()], [candidate(), candidate("p2", 7)])
    assert isinstance(found, Hold)
    assert "2 predictions" in found.why


def test_takes_that_ask_for_the_same_share_one_to_one() -> None:
    found = judge([claim(), claim(2, 1), claim(3, 2)], [candidate("b", 9), candidate("a", 8)], scan(), SETTLE)
    assert (found[1], found[2]) == (Adopt("a", "inputs"), Adopt("b", "inputs"))
    assert isinstance(found[3], Wait)


def test_among_the_same_the_one_whose_window_ends_first_is_served_first() -> None:
    early, late = claim(), claim(2, 700)
    listed = [candidate("first", 10), candidate("second", 705)]
    found = judge([late, early], listed, scan(timedelta(hours=1)), SETTLE)
    assert found == {1: Adopt("first", "inputs"), 2: Adopt("second", "inputs")}


def test_one_candidate_too_many_is_for_a_person() -> None:
    found = judge([claim(), claim(2, 5_000)], [candidate(), candidate("p2", 7)], scan(timedelta(hours=3)), SETTLE)
    assert {type(each) for each in found.values()} == {Hold}


def test_absence_needs_two_complete_scans_a_settling_time_apart_after_the_window() -> None:
    assert verdict([claim()], [], scan(timedelta(seconds=30))) == Wait(
        None, "a prediction may still show up in WaveSpeed's list"
    )
    first = verdict([claim()], [], scan(timedelta(seconds=90)))
    assert isinstance(first, Wait)
    assert first.absent_since == NOON + timedelta(seconds=92)
    seen = claim(absent_since=first.absent_since)
    assert isinstance(verdict([seen], [], scan(timedelta(seconds=91 + 600))), Wait)
    assert verdict([seen], [], scan(timedelta(seconds=92 + 600))) == Absent()


def test_one_scan_however_late_proves_no_absence() -> None:
    found = verdict([claim()], [], scan(timedelta(days=2)))
    assert isinstance(found, Wait)
    assert "second look" in found.why
    assert found.absent_since is not None


def test_a_failed_page_proves_nothing_and_takes_nothing_back() -> None:
    broken = scan(timedelta(minutes=5), is_complete=False)
    assert verdict([claim()], [], broken) == Wait(None, "a prediction may still show up in WaveSpeed's list")
    before = NOON + timedelta(seconds=92)
    found = verdict([claim(absent_since=before)], [], broken)
    assert isinstance(found, Wait)
    assert found.absent_since == before


def test_a_failed_page_when_all_should_be_settled_is_for_a_person() -> None:
    found = verdict([claim(absent_since=NOON + timedelta(seconds=92))], [], scan(is_complete=False))
    assert isinstance(found, Hold)
    assert "to its end" in found.why


def test_a_candidate_resets_what_was_proven_of_absence() -> None:
    found = verdict([claim(absent_since=NOON)], [candidate(inputs=None)], scan(timedelta(minutes=5)))
    assert isinstance(found, Wait)
    assert found.absent_since is None


def test_what_is_older_than_the_list_reaches_is_for_a_person() -> None:
    found = verdict([claim(absent_since=NOON)], [], scan(timedelta(days=7)))
    assert isinstance(found, Hold)
    assert "older" in found.why


def test_a_live_run_keeps_the_candidates_that_may_be_its_own() -> None:
    live = claim(2, inputs=INPUTS.replaced(prompt="x"), is_live=True)
    found = judge([claim(), live], [candidate(inputs=None)], scan(), SETTLE, adopts_by_window=True)
    assert set(found) == {1}
    assert isinstance(found[1], Wait)
    assert "submitting now" in found[1].why


def test_nobody_shares_with_a_live_take_that_asks_for_the_same() -> None:
    found = judge([claim(), claim(2, is_live=True)], [candidate()], scan(), SETTLE)
    assert isinstance(found[1], Wait)


def test_with_echoed_inputs_a_live_take_reserves_only_its_own() -> None:
    live = claim(2, inputs=INPUTS.replaced(prompt="x"), is_live=True)
    assert judge([claim(), live], [candidate()], scan(), SETTLE) == {1: Adopt("p1", "inputs")}


def test_another_model_or_another_time_is_no_candidate() -> None:
    seen = claim(absent_since=NOON + timedelta(seconds=61))
    other = Inputs({"prompt": "other"})
    strangers = [
        candidate(model="other", inputs=other),
        candidate("p2", -1, inputs=other),
        candidate("p3", 661, inputs=None),
    ]
    assert verdict([seen], strangers) == Absent()


@pytest.mark.parametrize("odd", [{"model": "other"}, {"at_s": -1.0}, {"at_s": 661.0}])
def test_exactly_its_inputs_with_another_model_or_time_prove_no_absence(odd: dict[str, Any]) -> None:
    found = verdict([claim(absent_since=NOON + timedelta(seconds=61))], [candidate(**odd)])
    assert isinstance(found, Hold)
    assert [each.prediction_id for each in found.candidates] == ["p1"]
    assert "another model or time" in found.why


def test_a_list_may_leave_the_owner_of_a_model_out() -> None:
    listed = [candidate(model="Veo2-I2V")]
    assert verdict([claim(model="wavespeed-ai/veo2-i2v")], listed, scan(model="wavespeed-ai/veo2-i2v")) == Adopt(
        "p1", "inputs"
    )


def test_a_candidate_without_time_or_model_may_be_anyones() -> None:
    seen = claim(absent_since=NOON + timedelta(seconds=61))
    listed = [candidate(model="", created_at=None, inputs=None)]
    assert verdict([seen], listed, adopts_by_window=True) == Adopt("p1", "window")
    found = verdict([seen], listed)
    assert isinstance(found, Hold), "it is no proof of absence either"
    assert found.candidates == tuple(listed)


def may_be(one: Candidate, of: Claim) -> bool:
    return one.created_at is None or of.window_from <= one.created_at <= of.window_to + SETTLE


def test_one_prediction_with_an_odd_moment_moves_no_window() -> None:
    usual = (NOON, NOON + timedelta(minutes=1), NOON + timedelta(minutes=3))
    odd = (NOON, NOON + timedelta(minutes=1), NOON.replace(year=2150))
    assert shift_of([usual, odd]) == shift_of([usual])


moments = st.floats(-100, 2_000)
inputs = st.sampled_from([INPUTS, INPUTS.replaced(prompt="x")])
claims = st.lists(
    st.builds(
        lambda at_s, what, is_live, since: (at_s, what, is_live, since),
        moments, inputs, st.booleans(), st.none() | st.floats(0, 3_000),
    ),
    min_size=1, max_size=5,
)  # fmt: skip
candidates = st.lists(st.tuples(st.none() | moments, st.none() | inputs | st.just({"prompt": "?"})), max_size=5)


@given(claims, candidates, st.floats(0, 10_000), st.booleans(), st.booleans())
@example(
    # Two predictions that are surely of the first claim, or of its equal, are none of the second's.
    [(0.0, INPUTS, False, None), (0.0, INPUTS.replaced(prompt="x"), False, 0.0)],
    [(None, dict(INPUTS)), (None, dict(INPUTS))],
    10_000.0, True, False,
)  # fmt: skip
def test_it_never_proves_too_much(
    drawn: Any, listed: Any, after_s: float, is_complete: bool, adopts_by_window: bool
) -> None:
    all_claims = [
        claim(
            number,
            at_s,
            inputs=what,
            is_live=is_live,
            absent_since=None if since is None else NOON + timedelta(seconds=since),
        )
        for number, (at_s, what, is_live, since) in enumerate(drawn, 1)
    ]
    free = [
        Candidate(f"p{number}", "m", None if at_s is None else NOON + timedelta(seconds=at_s), what)
        for number, (at_s, what) in enumerate(listed)
    ]
    at = scan(timedelta(seconds=after_s), is_complete=is_complete)
    found = judge(all_claims, free, at, SETTLE, adopts_by_window=adopts_by_window)
    assert set(found) == {each.attempt_id for each in all_claims if not each.is_live}
    adopted = [each.prediction_id for each in found.values() if isinstance(each, Adopt)]
    assert len(adopted) == len(set(adopted))
    for each in all_claims:
        given_out = found.get(each.attempt_id)
        mine = [
            one for one in free
            if may_be(one, each) and one.prediction_id not in adopted
            and not any(one.inputs == other.inputs != each.inputs and may_be(one, other) for other in all_claims)
        ]  # fmt: skip
        if isinstance(given_out, Absent):
            assert is_complete
            assert mine == []
            assert each.absent_since is not None
            assert at.began_at - each.absent_since >= SETTLE
        if isinstance(given_out, Adopt) and given_out.by != "inputs":
            assert given_out.by == "window"
            assert adopts_by_window
            assert at.began_at >= each.window_to + SETTLE
        if isinstance(given_out, Adopt) and given_out.by == "inputs":
            assert (
                dict(next(one.inputs or {} for one in free if one.prediction_id == given_out.prediction_id))
                == each.inputs
            )


def test_the_window_of_a_live_run_has_no_end() -> None:
    live = claim(2, inputs=INPUTS.replaced(prompt="x"), is_live=True)
    late = claim(at_s=5_000)
    listed = [candidate(at_s=5_010, inputs=None)]
    found = judge([late, live], listed, scan(timedelta(hours=3)), SETTLE, adopts_by_window=True)
    assert isinstance(found[1], Wait)
    assert "submitting now" in found[1].why


def test_windows_that_overlap_are_read_as_one_span_and_others_apart() -> None:
    claims = [claim(), claim(2, 300), claim(3, 86_400), claim(4, 60, model="n"), claim(5, 40_000, is_live=True)]
    found = spans_of(claims, SETTLE)
    assert found == [
        Span("m", NOON, NOON + timedelta(seconds=360) + SETTLE),
        Span("n", NOON + timedelta(seconds=60), NOON + timedelta(seconds=120) + SETTLE),
        Span("m", NOON + timedelta(days=1), NOON + timedelta(days=1, seconds=60) + SETTLE),
    ]
    assert all(sum(span.covers(each, SETTLE) for span in found) == 1 for each in claims if not each.is_live)


def test_a_claim_outside_the_scan_keeps_its_candidates() -> None:
    claims = [claim(), claim(2, -100)]
    narrow = Scan(Span("m", NOON, NOON + LATER), NOON + LATER, NOON + LATER, is_complete=True)
    found = judge(claims, [candidate(inputs=None)], narrow, SETTLE, adopts_by_window=True)
    assert set(found) == {1}
    assert isinstance(found[1], Hold), "the other may own it"


def reading(**changes: Any) -> Reading:
    """One that shows two predictions, one of which the ledger knows."""
    usual: dict[str, Any] = {
        "seen": {"p1", "p2"},
        "moments": [NOON + timedelta(seconds=5), NOON + timedelta(seconds=9)],
        "known": ["p1"],
    }
    return Reading(NOON, NOON + LATER, **(usual | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"total": 2},
        {"known": [], "witness": ("p0", True)},
        {"moments": [NOON - timedelta(seconds=1), NOON + LATER + timedelta(seconds=1)]},
    ],
)
def test_a_list_that_shows_what_it_must_does_not_contradict_itself(changes: dict[str, Any]) -> None:
    assert contradiction_in(reading(**changes)) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"total": 1}, "it shows 2 predictions and says that there are 1"),
        ({"total": 2, "unreadable": 1}, "it shows 3 predictions and says that there are 2"),
        ({"total": 3, "unreadable": 1}, "1 of its items cannot be read"),
        (
            {"other_models": {"google/veo-2"}},
            "it shows predictions of another model than was asked for, such as google/veo-2",
        ),
        ({"known": ["p1", "p3"]}, "it lacks 1 of 2 predictions that are known to be there, such as p3"),
        ({"known": ["p3", "p4"]}, "it lacks 2 of 2 predictions that are known to be there, such as p3"),
        ({"total": 3}, "it shows 2 predictions and says that there are 3"),
        ({"unreadable": 1}, "1 of its items cannot be read"),
        ({"moments": [NOON - timedelta(seconds=2)]}, "1 predictions from outside the window"),
        ({"moments": [NOON + LATER + timedelta(seconds=2)]}, "1 predictions from outside the window"),
        ({"known": []}, "no prediction is known that it should show"),
        ({"known": [], "witness": ("p0", False)}, "it lacks prediction p0, which is known to be there"),
    ],
)
def test_a_list_that_contradicts_itself_says_how(changes: dict[str, Any], said: str) -> None:
    assert said in (contradiction_in(reading(**changes)) or "")


def test_windows_move_only_as_far_as_accepted_ones_were_left() -> None:
    minute = timedelta(minutes=1)
    inside = (NOON, NOON + minute, NOON + minute)
    early = (NOON, NOON + minute, NOON - 3 * minute)
    late = (NOON, NOON + minute, NOON + 5 * minute)
    assert shift_of([inside]) == (timedelta(0), timedelta(0))
    assert shift_of([inside, early]) == (-4 * minute, timedelta(0))
    assert shift_of([late, inside]) == (timedelta(0), 5 * minute)
    moved = shifted(claim(), shift_of([early, late]))
    assert (moved.window_from, moved.window_to) == (NOON - 4 * minute, NOON + 6 * minute)


ASKED_FOR = "wavespeed-ai/veo2-i2v"


@pytest.mark.parametrize(
    ("found", "is_same"),
    [
        (ASKED_FOR, True),
        ("WaveSpeed-AI/Veo2-I2V", True),
        ("veo2-i2v", True),
        ("", True),
        (" ", True),
        ("wavespeed-ai/veo3-i2v", False),
        ("google/veo2-i2v", False),
        ("veo2", False),
    ],
)
def test_a_reply_may_leave_out_the_model_or_its_owner(found: str, is_same: bool) -> None:
    assert is_same_model(found, ASKED_FOR) is is_same


def test_echoed_inputs_are_compared_in_canonical_form() -> None:
    assert echoed(None) is None
    assert echoed({"prompt": " push in\r\n"}) == Inputs({"prompt": " push in\r\n"}).canonical()
