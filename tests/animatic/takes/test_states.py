"""The life of a take: the tables agree with each other, with the ledger's index and with the drawing."""

import itertools

import pytest
from examples import examples
from hypothesis import assume, given
from hypothesis import strategies as st

from animatic.ledger.schema import ATTEMPT
from animatic.takes.states import (
    FINAL,
    LIVE,
    PAID,
    SUCCESSORS,
    WAVESPEEDS_OWN_FAILURES,
    AwaitOtherRun,
    Buy,
    BuyingPolicy,
    Done,
    State,
    Step,
    Submitted,
    TakeStatus,
    Watch,
    is_open,
    next_step,
    permission_to_buy,
    status_of,
)

unhurried = examples(60)

POLICIES = [BuyingPolicy(retry_failed=retry, attempts=attempts) for retry in (False, True) for attempts in (1, 2, 3)]
NOTHING_BOUGHT = {None, State.UNSENT, State.ABSENT}
A_POLICY_MAY = {State.FAILED, State.REJECTED}

snapshot = st.builds(
    TakeStatus,
    state=st.none() | st.sampled_from(State),
    error_code=st.none() | st.sampled_from([0, 1200, 1400, 1402, 5000, 5001, 5003, 5004, -1]),
    bought_here=st.integers(0, 20),
    tried_here=st.booleans(),
    is_left=st.booleans(),
    is_changed=st.booleans(),
)
policies = st.builds(
    BuyingPolicy, retry_failed=st.booleans(), attempts=st.integers(1, 10), changed_stills=st.booleans()
)


def test_every_state_names_its_successors() -> None:
    assert set(SUCCESSORS) == set(State)


def test_a_final_state_has_no_successor() -> None:
    assert {state for state in FINAL if SUCCESSORS[state]} == set()


def test_what_is_settled_by_evidence_is_never_turned_into_a_submission_again() -> None:
    may_be_sent = {state for state in State if State.SUBMITTING in SUCCESSORS[state]}
    assert may_be_sent == {State.UNSENT}


def test_what_is_open_ends_only_by_an_answer_evidence_or_a_person() -> None:
    assert SUCCESSORS[State.SUBMITTED] == {State.COMPLETED, State.FAILED, State.HELD}
    assert SUCCESSORS[State.UNKNOWN] == {State.SUBMITTED, State.ABSENT, State.HELD, State.FAILED}
    assert SUCCESSORS[State.HELD] == {State.SUBMITTED, State.ABSENT, State.COMPLETED, State.FAILED}


def test_nothing_that_may_have_been_bought_can_become_unsent() -> None:
    assert {state for state in State if State.UNSENT in SUCCESSORS[state]} == {State.SUBMITTING}


def test_a_live_take_may_still_cost_or_was_delivered() -> None:
    assert frozenset(State) - LIVE == {State.FAILED, State.REJECTED, State.UNSENT, State.ABSENT}
    assert State.UNKNOWN in PAID
    assert State.HELD in PAID
    assert frozenset(State) - PAID == {State.SUBMITTING, State.REJECTED, State.UNSENT, State.ABSENT}


def test_what_is_not_live_and_not_final_bought_nothing() -> None:
    for state in frozenset(State) - LIVE - FINAL:
        assert state not in PAID
        assert permission_to_buy(TakeStatus(state), BuyingPolicy()) == "plan"


def test_the_unique_index_of_the_ledger_covers_exactly_the_live_states() -> None:
    (index,) = [index for index in ATTEMPT.indexes if index.name == "one_live"]
    assert index.unique
    assert [column.name for column in index.columns] == ["fingerprint", "renewal"]
    for dialect in ("sqlite", "postgresql"):
        condition = str(index.dialect_options[dialect]["where"])
        named = {state for state in State if f"'{state}'" in condition}
        assert named == LIVE, dialect
        assert condition.startswith("state IN (")


@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize("state", [None, *State])
def test_who_may_buy_is_this_whole_table(state: State | None, policy: BuyingPolicy) -> None:
    codes, either = [None, 1200, 5000, 5001, 5003, 5004], (False, True)
    for code, bought, here, is_left in itertools.product(codes, range(4), either, either):
        found = permission_to_buy(TakeStatus(state, code, bought, here, is_left), policy)
        if state in NOTHING_BOUGHT:
            expected = "plan"
        elif state not in A_POLICY_MAY:
            expected = None
        elif not here:
            expected = "retry-failed" if policy.retry_failed and is_left else None
        elif state is State.FAILED and code in {5000, 5003, 5004} and bought < policy.attempts:
            expected = "attempts"
        else:
            expected = None
        assert found == expected, (code, bought, here, is_left)


def test_only_wavespeeds_own_failures_are_bought_again_by_attempts() -> None:
    assert frozenset({5000, 5003, 5004}) == WAVESPEEDS_OWN_FAILURES


@unhurried
@given(snapshot)
def test_without_a_policy_what_was_bought_or_refused_stays_as_it_is(take_status: TakeStatus) -> None:
    assume(take_status.state is not State.FAILED or not take_status.tried_here or take_status.bought_here > 0)
    may_be_bought = permission_to_buy(take_status, BuyingPolicy()) is not None
    assert may_be_bought == (take_status.state in NOTHING_BOUGHT)


@unhurried
@given(snapshot, policies)
def test_of_live_takes_only_clips_of_changed_stills_are_bought_again(
    take_status: TakeStatus, policy: BuyingPolicy
) -> None:
    if take_status.state in LIVE:
        is_of_changed = take_status.state is State.COMPLETED and take_status.is_changed and not take_status.tried_here
        expected = "changed-still" if is_of_changed and policy.changed_stills else None
        assert permission_to_buy(take_status, policy) == expected


@unhurried
@given(st.lists(st.sampled_from([1200, 5000, 5003, 5004, None]), min_size=12, max_size=12), policies)
def test_a_run_never_buys_a_take_more_often_than_attempts_says(codes: list[int | None], policy: BuyingPolicy) -> None:
    take_status, bought = TakeStatus(None), 0
    for code in codes:  # every attempt fails
        if permission_to_buy(take_status, policy) is None:
            break
        bought += 1
        take_status = TakeStatus(State.FAILED, code, bought_here=bought, tried_here=True)
    assert 1 <= bought <= policy.attempts


@unhurried
@given(st.data())
def test_money_once_spent_stays_spent_until_evidence_says_otherwise(data: st.DataObject) -> None:
    state, was_held = State.SUBMITTING, False
    while followers := sorted(SUCCESSORS[state] - {State.SUBMITTING} - ({State.HELD} if was_held else set())):
        before, state = state, data.draw(st.sampled_from(followers))
        was_held |= state is State.HELD
        if before in PAID and state not in PAID:
            assert (before, state) in {(State.UNKNOWN, State.ABSENT), (State.HELD, State.ABSENT)}
        if state is State.UNSENT:
            break
    assert state in FINAL | {State.UNSENT, State.ABSENT}


@pytest.mark.parametrize("state", [None, *State])
def test_the_results_table_has_a_word_for_every_state(state: State | None) -> None:
    word = status_of(state)
    if state in FINAL | {State.UNKNOWN, State.HELD}:
        assert word == state
    else:
        assert word == "pending"


PREDICTION = Submitted(1, "p1", None)
THEIRS, OURS = Watch(PREDICTION, is_ours=False), Watch(PREDICTION, is_ours=True)


def step_after(take_status: TakeStatus, policy: BuyingPolicy, after: Step | None = None) -> Step:
    return next_step(take_status, PREDICTION if take_status.state is State.SUBMITTED else None, policy, after)


@pytest.mark.parametrize(
    ("take_status", "after", "step"),
    [
        (TakeStatus(None), None, Buy()),
        (TakeStatus(State.UNSENT), AwaitOtherRun(), Buy()),
        (TakeStatus(State.UNSENT), Buy(), Buy()),
        (TakeStatus(State.UNSENT, tried_here=True), None, Buy()),
        (TakeStatus(State.UNSENT, tried_here=True), Buy(), Done()),
        (TakeStatus(State.ABSENT), None, Buy()),
        (TakeStatus(State.SUBMITTED), None, THEIRS),
        (TakeStatus(State.SUBMITTED, tried_here=True), None, OURS),
        (TakeStatus(State.SUBMITTED), Buy(), THEIRS),
        (TakeStatus(State.SUBMITTED), AwaitOtherRun(), THEIRS),
        (TakeStatus(State.SUBMITTED), THEIRS, Done()),
        (TakeStatus(State.SUBMITTED, tried_here=True), Buy(), Done()),
        (TakeStatus(State.SUBMITTING), None, AwaitOtherRun()),
        (TakeStatus(State.SUBMITTING), Buy(), AwaitOtherRun()),
        (TakeStatus(State.SUBMITTING), AwaitOtherRun(), Done()),
        (TakeStatus(State.SUBMITTING, tried_here=True), None, Done()),
        (TakeStatus(State.COMPLETED), THEIRS, Done()),
        (TakeStatus(State.UNKNOWN), None, Done()),
        (TakeStatus(State.HELD), None, Done()),
        (TakeStatus(State.FAILED), None, Done()),
    ],
)
def test_what_a_run_does_next_for_a_take(take_status: TakeStatus, after: Step | None, step: Step) -> None:
    assert step_after(take_status, BuyingPolicy(), after) == step


@unhurried
@given(snapshot, policies, st.none() | st.sampled_from([THEIRS, OURS, AwaitOtherRun()]))
def test_no_step_is_made_twice_in_a_row(take_status: TakeStatus, policy: BuyingPolicy, after: Step | None) -> None:
    assert type(step_after(take_status, policy, after)) is not type(after)


@unhurried
@given(snapshot, policies)
def test_a_take_is_open_while_there_is_a_first_step_for_it(take_status: TakeStatus, policy: BuyingPolicy) -> None:
    assert is_open(take_status, policy) == (step_after(take_status, policy) != Done())
