"""The state of a run as its page gets it: counts add up, whatever the run does."""

from collections import Counter
from datetime import UTC, datetime

from animatic.progress import Progress
from animatic.review.live import EVERY_S, MOST_SHARE, MOST_STATES, Moment, live_state, wait_s
from animatic.takes.money.budgets import Reserved
from animatic.takes.states import State

AT = datetime(2026, 11, 27, 8, tzinfo=UTC)
PARTS = ("completed", "failed", "unclear", "queued", "making", "waiting", "left")


def name(number: int) -> str:
    return f"{number:064x}"


def state_of(progress: Progress, moment: Moment | None = None) -> dict[str, object]:
    return dict(live_state(progress, moment or Moment("run", 7, AT)))


def test_the_parts_add_up_while_takes_come_and_go() -> None:
    progress = Progress(total=9, cached=Counter({State.COMPLETED: 2, State.FAILED: 1}), passed_on=1, unclear=1)
    for number in (1, 2, 3):
        progress.began_polling(name(number))
        progress.polled(name(number), "created" if number == 3 else "processing")
    progress.stopped_polling(name(1))
    progress.finished(name(1), State.COMPLETED, is_flagged=True)
    state = state_of(progress)
    assert {part: state[part] for part in PARTS} == {
        "completed": 3, "failed": 1, "unclear": 1, "queued": 1, "making": 1, "waiting": 1, "left": 1
    }  # fmt: skip
    assert sum(int(str(state[part])) for part in PARTS) == state["total"] == 9
    assert (state["found"], state["flagged"]) == (3, 1)
    assert state["states"] == progress.states() == {name(2): "making", name(3): "queued"}


def test_the_states_of_few_takes_in_flight_are_named() -> None:
    progress = Progress(total=2 * MOST_STATES)
    for number in range(2 * MOST_STATES):
        progress.began_polling(name(number))
    states = state_of(progress)["states"]
    assert isinstance(states, dict)
    assert len(states) == MOST_STATES
    assert state_of(progress, Moment("run", 7, AT, is_ended=True))["states"] == {}


def test_money_is_what_the_ledger_reserved() -> None:
    progress = Progress(total=1, reserved=Reserved(2_500_000, 1))
    state = state_of(progress, Moment("run", 7, AT, max_microusd=5_000_000))
    assert (state["spent_usd"], state["unpriced"], state["limit_usd"]) == (2.5, 1, 5.0)
    assert state_of(progress)["limit_usd"] is None


def test_a_run_that_ended_foresees_nothing() -> None:
    progress = Progress(total=2)
    assert state_of(progress, Moment("run", 7, AT, left_s=30.0))["eta_s"] == 30.0
    ended = state_of(progress, Moment("run", 7, AT, left_s=30.0, is_ended=True))
    assert (ended["ended"], ended["eta_s"]) == (True, None)


def test_a_page_takes_no_more_than_its_share_of_the_run() -> None:
    assert wait_s(0.001) == EVERY_S
    for cost_s in (0.1, 1.0, 30.0):
        assert cost_s / (cost_s + wait_s(cost_s)) <= MOST_SHARE
