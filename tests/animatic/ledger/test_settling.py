"""Settlement of takes once it is known whether they were bought."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asked import inputs_of

from animatic.errors import FixInputError, TakenError
from animatic.ledger import by_hand
from animatic.ledger.unsettled import Open
from animatic.takes.evidence import Candidate, Reading, Scan, Span, contradiction_in
from animatic.takes.inputs import Inputs
from animatic.takes.states import Accepted, BuyingPolicy, State

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODEL = "wavespeed-ai/veo2-i2v"
REQUEST = json.dumps({"prompt": "push in", "aspect_ratio": "16:9", "duration": "5s"})
INPUTS = inputs_of()
NEAR, FAR = "f" * 64, "a" * 64


def candidate(name: str = "p1", **changes: Any) -> Candidate:
    usual: dict[str, Any] = {"model": MODEL, "created_at": NOON + timedelta(seconds=5), "inputs": INPUTS}
    return Candidate(name, **(usual | changes))


async def unknown(ledger: Any, fingerprint: str = NEAR, **changes: Any) -> int:
    attempt_id = await ledger.intend(fingerprint, request=REQUEST, **changes)
    await ledger.conclude(attempt_id, State.UNKNOWN, None, "no answer")
    return attempt_id


async def settle(
    ledger: Any,
    *listed: Candidate,
    after: timedelta = timedelta(minutes=20),
    whole: bool = True,
    adopts_by_window: bool = False,
) -> Any:
    span = Span(MODEL, NOON - timedelta(days=1), NOON + timedelta(days=1))
    scan = Scan(span, NOON + after, NOON + after, is_complete=whole)
    return await ledger.opened.settle("sandbox", listed, scan, 600.0, adopts_by_window=adopts_by_window)


async def test_an_adopted_take_is_submitted_and_says_by_what(ledger: Any) -> None:
    await unknown(ledger)
    settled = await settle(ledger, candidate())
    assert (settled.adopted, settled.counts) == ([NEAR], {"adopt": 1})
    record = await ledger.find()
    assert (record.state, record.prediction_id, record.error) == (State.SUBMITTED, "p1", None)
    assert ledger.rows("SELECT settled_by FROM attempt") == [("inputs",)]
    assert await ledger.committed_usd() == 2.5


async def test_an_absent_take_gives_its_money_back_and_may_be_bought_again(ledger: Any) -> None:
    await unknown(ledger)
    first = await settle(ledger)
    assert first.counts == {"wait": 1}
    second = await settle(ledger, after=timedelta(minutes=31))
    assert second.absent == [NEAR]
    assert (await ledger.find()).state is State.ABSENT
    assert await ledger.committed_usd() == 0.0
    assert await ledger.intend() != 0


async def test_a_held_take_names_its_candidates_and_the_command(ledger: Any) -> None:
    await unknown(ledger)
    await settle(ledger, candidate(), candidate("p2", created_at=None))
    record = await ledger.find()
    assert record.state is State.HELD
    for words in ("p1 (created 2026-03-01 12:00:05 UTC)", "p2 (created at an unknown time)", "--adopt ffffffffffff="):
        assert words in record.error


async def test_of_a_crowd_of_candidates_ten_are_named_and_the_rest_counted(ledger: Any) -> None:
    await unknown(ledger)
    await settle(ledger, *(candidate(f"p{number}") for number in range(25)))
    assert " and 15 more" in (await ledger.find()).error


async def test_what_was_held_by_the_list_is_judged_again(ledger: Any) -> None:
    await unknown(ledger)
    await settle(ledger, candidate(), candidate("p2"))
    await settle(ledger, candidate(), candidate("p2"), candidate("p3"))
    assert "p3" in (await ledger.find()).error
    assert (await settle(ledger, candidate("p2"))).adopted == [NEAR]


async def test_two_takes_with_one_id_are_not_for_the_list(ledger: Any) -> None:
    await ledger.accept(await ledger.intend(), "p1")
    await ledger.accept(await ledger.intend(FAR), "p1")
    assert await ledger.opened.claims("sandbox") == []
    assert (await settle(ledger)).counts == {}


async def test_bound_predictions_are_nobodys_candidates_and_no_orphans(ledger: Any) -> None:
    await ledger.accept(await ledger.intend(FAR), "p1")
    await unknown(ledger)
    settled = await settle(ledger, candidate())
    assert (settled.adopted, settled.orphans) == ([], [])


async def test_orphans_are_kept_until_they_find_their_take(ledger: Any) -> None:
    await unknown(ledger)
    stranger = candidate("p9", created_at=NOON - timedelta(hours=1), inputs=None)
    for _ in range(2):
        assert [each.prediction_id for each in (await settle(ledger, candidate(), stranger)).orphans][-1:] == ["p9"]
    (orphan,) = await ledger.opened.orphans("sandbox")
    assert (orphan.prediction_id, orphan.created_at) == ("p9", NOON - timedelta(hours=1))
    assert await ledger.opened.orphans("elsewhere") == []
    await ledger.accept(await ledger.intend(FAR), "p9")
    assert await ledger.opened.orphans("sandbox") == []


async def test_what_a_live_run_may_own_is_no_orphan(ledger: Any) -> None:
    await ledger.intend(FAR, request=REQUEST)
    await unknown(ledger)
    settled = await settle(ledger, candidate(), candidate("p2", inputs=Inputs({"prompt": "?"})))
    assert (settled.orphans, settled.counts) == ([], {"wait": 1})


async def test_an_intent_from_before_there_were_windows_gets_a_wide_one(ledger: Any) -> None:
    attempt_id = await unknown(ledger)
    await ledger.opened.transactions.do(
        0.0, lambda db: db.exec_driver_sql("UPDATE attempt SET window_from = NULL, window_to = NULL") and None
    )
    (claim,) = await ledger.opened.claims("sandbox")
    assert claim.attempt_id == attempt_id
    assert claim.window_to - claim.window_from == timedelta(hours=2)


async def test_a_receipt_binds_what_a_dead_run_was_told_and_only_once(ledger: Any) -> None:
    attempt_id = await ledger.intend()
    assert await ledger.opened.apply_acceptance(attempt_id, "n1", Accepted("p1", "created"))
    assert not await ledger.opened.apply_acceptance(attempt_id, "n1", Accepted("p1", "created"))
    record = await ledger.find()
    assert (record.state, record.prediction_id) == (State.SUBMITTED, "p1")


async def test_a_receipt_for_another_intent_changes_nothing(ledger: Any) -> None:
    attempt_id = await ledger.intend()
    assert not await ledger.opened.apply_acceptance(attempt_id, "n0", Accepted("p1", "created"))
    assert not await ledger.opened.apply_refusal(attempt_id, "n0", State.REJECTED, 400, "no", NOON)
    assert (await ledger.find()).state is State.SUBMITTING


@pytest.mark.parametrize("to", [State.REJECTED, State.UNSENT, State.UNKNOWN])
async def test_a_receipt_that_says_no_concludes_what_was_being_submitted(ledger: Any, to: State) -> None:
    attempt_id = await ledger.intend()
    assert await ledger.opened.apply_refusal(attempt_id, "n1", to, 400, "no", NOON)
    assert (await ledger.find()).state is to


async def test_a_receipt_that_says_no_settles_what_was_unknown(ledger: Any) -> None:
    attempt_id = await unknown(ledger)
    assert await ledger.opened.apply_refusal(attempt_id, "n1", State.UNKNOWN, None, "?", NOON)
    assert (await ledger.find()).state is State.UNKNOWN
    assert await ledger.opened.apply_refusal(attempt_id, "n1", State.REJECTED, 400, "no", NOON)
    assert (await ledger.find()).state is State.ABSENT
    assert await ledger.committed_usd() == 0.0


async def test_after_adoption_by_hand_the_other_take_loses_the_id(ledger: Any) -> None:
    await ledger.accept(await ledger.intend(), "p1")
    await ledger.accept(await ledger.intend(FAR), "p1")
    assert await ledger.opened.transactions.do(0.0, by_hand.adopt_by_hand, "sandbox", FAR[:12], "p1") == FAR
    near, far = await ledger.find(), await ledger.find(FAR)
    assert (near.state, near.prediction_id, far.state, far.prediction_id) == (State.HELD, None, State.SUBMITTED, "p1")
    assert "given to another take by hand" in near.error


async def test_a_person_may_adopt_what_no_take_has(ledger: Any) -> None:
    await unknown(ledger)
    await ledger.opened.transactions.do(0.0, by_hand.adopt_by_hand, "sandbox", NEAR[:8], "p7")
    assert (await ledger.find()).prediction_id == "p7"


async def test_a_person_may_say_that_a_take_was_not_bought(ledger: Any) -> None:
    await unknown(ledger)
    assert await ledger.opened.transactions.do(0.0, by_hand.absent_by_hand, "sandbox", NEAR) == NEAR
    assert (await ledger.find()).state is State.ABSENT


@pytest.mark.parametrize("shown", ["ffff", "0" * 12, "f%" * 6, ""])
async def test_a_fingerprint_that_names_no_take_is_refused(ledger: Any, shown: str) -> None:
    await unknown(ledger)
    with pytest.raises(FixInputError, match="allowed: at least the first 8 hex digits"):
        await ledger.opened.transactions.do(0.0, by_hand.absent_by_hand, "sandbox", shown)


async def test_a_fingerprint_that_names_two_takes_is_refused(ledger: Any) -> None:
    await unknown(ledger, "b" * 63 + "1")
    await unknown(ledger, "b" * 63 + "2")
    with pytest.raises(FixInputError, match="matches 2 takes"):
        await ledger.opened.transactions.do(0.0, by_hand.adopt_by_hand, "sandbox", "b" * 20, "p1")


async def test_a_take_that_is_settled_is_left_alone(ledger: Any) -> None:
    await ledger.buy()
    with pytest.raises(FixInputError, match="this take is submitted; allowed: one that is unknown or held"):
        await ledger.opened.transactions.do(0.0, by_hand.absent_by_hand, "sandbox", NEAR)


async def test_a_prediction_of_another_take_is_not_given_away(ledger: Any) -> None:
    await ledger.accept(await ledger.intend(FAR), "p1")
    await unknown(ledger)
    with pytest.raises(FixInputError, match="belongs to take aaaaaaaaaaaa, which is submitted"):
        await ledger.opened.transactions.do(0.0, by_hand.adopt_by_hand, "sandbox", NEAR, "p1")
    assert (await ledger.find()).state is State.UNKNOWN


async def test_open_takes_are_told_with_their_reasons(ledger: Any) -> None:
    await unknown(ledger)
    await ledger.buy(FAR)
    (reported,) = await ledger.opened.open_takes("sandbox")
    assert (reported.fingerprint, reported.state, reported.error) == (NEAR, "unknown", "no answer")
    assert (reported.run_id, reported.manifest) == ("run-1", "shots.csv")


async def test_only_predictions_in_the_window_are_orphans(ledger: Any) -> None:
    await unknown(ledger)
    far = candidate("elsewhere", created_at=NOON + timedelta(days=2))
    timeless = candidate("timeless", created_at=None, inputs=Inputs({"prompt": "?"}))
    settled = await settle(ledger, candidate(), far, timeless)
    assert [each.prediction_id for each in settled.orphans] == ["timeless"]


async def test_a_held_take_keeps_its_candidates_when_the_list_has_forgotten_them(ledger: Any) -> None:
    await unknown(ledger)
    await settle(ledger, candidate(), candidate("p2"))
    before = ledger.rows("SELECT state, error, candidates FROM attempt")
    await settle(ledger, after=timedelta(days=8))
    assert ledger.rows("SELECT state, error, candidates FROM attempt") == before
    assert before[0][0] == "held"


async def test_a_list_without_a_known_prediction_proves_nothing(ledger: Any) -> None:
    begin, end = NOON - timedelta(days=1), NOON + timedelta(hours=1)

    async def wrong_with(*seen: str, until: datetime = end, model: str = MODEL, provider: str = "sandbox") -> str:
        known = await ledger.opened.known_between(provider, model, begin, until)
        return contradiction_in(Reading(begin, until, seen=set(seen), known=known)) or ""

    nothing_known = "no prediction is known that it should show"
    assert nothing_known in await wrong_with("foreign"), "nothing is known yet"
    for fingerprint, prediction_id in ((NEAR, "p1"), (FAR, "p2")):
        attempt_id = await ledger.intend(fingerprint)
        await ledger.accept(attempt_id, prediction_id)
        await ledger.finish(attempt_id, created_at=NOON)
    assert "it lacks 2 of 2 predictions" in await wrong_with("foreign")
    assert "it lacks 1 of 2 predictions that are known to be there, such as p1" in await wrong_with("foreign", "p2")
    assert not await wrong_with("foreign", "p1", "p2")
    assert nothing_known in await wrong_with(until=NOON - timedelta(seconds=1)), "they may still be too new to show"
    assert nothing_known in await wrong_with(model="other")
    assert nothing_known in await wrong_with(provider="elsewhere")


async def test_only_what_the_list_must_show_is_known_to_be_in_it(ledger: Any) -> None:
    begin, end = NOON - timedelta(days=1), NOON + timedelta(hours=1)

    async def bought(number: int, created_at: datetime | None, **end_: Any) -> None:
        attempt_id = await ledger.intend(f"{number:064d}")
        await ledger.accept(attempt_id, f"p{number}", created_at=created_at)
        if end_:
            await ledger.finish(attempt_id, **end_)

    await bought(1, NOON)
    await bought(2, NOON + timedelta(minutes=1), state=State.FAILED, prediction_status="failed")
    await bought(3, NOON - timedelta(minutes=1), state=State.COMPLETED)
    await bought(4, None)
    await bought(5, NOON, state=State.FAILED, prediction_status="deleted")
    await bought(6, end + timedelta(seconds=1))
    await bought(7, NOON)
    await ledger.opened.transactions.do(0.0, by_hand.abandon_by_hand, "sandbox", f"{7:064d}")
    await bought(8, NOON)
    await ledger.do("lose", ledger.rows("SELECT attempt_id FROM attempt WHERE prediction_id = 'p8'")[0][0], 1)
    assert sorted(await ledger.opened.known_between("sandbox", MODEL, begin, end)) == ["p1", "p2", "p3"]
    newest = await ledger.opened.newest_known("sandbox", MODEL, begin, end)
    assert newest == ("p2", NOON + timedelta(minutes=1))
    assert await ledger.opened.newest_known("sandbox", "other", begin, end) is None
    assert await ledger.opened.newest_known("elsewhere", MODEL, begin, end) is None


async def test_model_and_time_alone_adopt_only_where_that_is_allowed(ledger: Any) -> None:
    await unknown(ledger)
    bare = candidate(inputs=None)
    settled = await settle(ledger, bare)
    record = await ledger.find()
    assert (settled.adopted, settled.counts) == ([], {"hold": 1})
    assert (record.state, record.held_for, record.prediction_id) == (State.HELD, "evidence", None)
    assert "nothing else says whose it is; it may be p1" in record.error
    settled = await settle(ledger, bare, adopts_by_window=True)
    assert (settled.adopted, settled.counts) == ([NEAR], {"adopt": 1})
    assert ledger.rows("SELECT settled_by, held_for FROM attempt") == [("window", None)]


async def test_windows_move_to_the_clock_of_the_list(ledger: Any) -> None:
    await unknown(ledger)
    (before,) = await ledger.opened.claims("sandbox")
    await ledger.accept(await ledger.intend(FAR), "p1", created_at=NOON + timedelta(hours=3))
    (after,) = await ledger.opened.claims("sandbox")
    assert after.window_from == before.window_from
    assert after.window_to == before.window_to + timedelta(hours=3)


async def test_a_submission_whose_form_is_not_canonical_is_recognised(ledger: Any) -> None:
    inputs = {"prompt": "push in \r\n", "image": "sha256:0", "aspect_ratio": "16:9", "duration": "5s"}
    uploads = {"sha256:0": "HTTPS://Stills.example:443/a.png#top"}
    attempt_id = await ledger.intend(request=json.dumps(inputs), uploads=uploads)
    await ledger.conclude(attempt_id, State.UNKNOWN)
    (claim,) = await ledger.opened.claims("sandbox")
    assert claim.inputs == INPUTS


async def test_what_is_stuck_or_lost_is_polled_least_often_polled_first(ledger: Any) -> None:
    names = ("1" * 64, "2" * 64, "3" * 64, "4" * 64)
    lost, stuck, fresh, done = [await ledger.buy(name) for name in names]
    await ledger.do("lose", lost, 5)
    await ledger.do("give_up", stuck, 2, "processing", 3_600.0)
    await ledger.finish(done)
    await unknown(ledger, "5" * 64)
    long_ago, soon = NOON - timedelta(days=9), datetime.now(UTC) + timedelta(minutes=1)
    found = await ledger.opened.stuck("sandbox", long_ago, 10)
    assert [(each.attempt_id, each.is_held) for each in found] == [(stuck, True), (lost, True)]
    found = await ledger.opened.stuck("sandbox", soon, 10)
    assert [(each.attempt_id, each.is_held) for each in found] == [(fresh, False), (stuck, True), (lost, True)]
    assert [each.attempt_id for each in await ledger.opened.stuck("sandbox", soon, 1)] == [fresh]
    for _ in range(4):
        await ledger.opened.count_poll(stuck)
    found = await ledger.opened.stuck("sandbox", long_ago, 10)
    assert [each.attempt_id for each in found] == [lost, stuck]
    assert await ledger.opened.stuck("elsewhere", soon, 10) == []


@pytest.mark.parametrize("state", [State.UNKNOWN, State.SUBMITTED, State.HELD])
async def test_what_a_person_abandons_has_failed_and_keeps_its_price(ledger: Any, state: State) -> None:
    attempt_id = await (unknown(ledger) if state is State.UNKNOWN else ledger.buy(request=REQUEST))
    if state is State.HELD:
        await ledger.do("give_up", attempt_id, 1, "processing", 3_600.0)
    assert await ledger.opened.transactions.do(0.0, by_hand.abandon_by_hand, "sandbox", NEAR[:12]) == NEAR
    record = await ledger.find()
    assert (record.state, record.attempts, record.held_for) == (State.FAILED, 1, None)
    assert "abandoned by hand" in record.error
    assert await ledger.committed_usd() == 2.5
    await ledger.begin("run-2")
    with pytest.raises(TakenError):
        await ledger.intend(run_id="run-2", policy=BuyingPolicy(attempts=5))
    assert await ledger.intend(run_id="run-2", policy=BuyingPolicy(retry_failed=True)) != attempt_id


@pytest.mark.parametrize("how", ["give_up", "lose"])
async def test_what_was_accepted_cannot_be_declared_absent(ledger: Any, how: str) -> None:
    attempt_id = await ledger.buy(request=REQUEST)
    await ledger.do(how, attempt_id, 1, *(("processing", 3_600.0) if how == "give_up" else ()))
    with pytest.raises(FixInputError, match=f"accepted this take, so it was bought.* --abandon {NEAR[:12]}"):
        await ledger.opened.transactions.do(0.0, by_hand.absent_by_hand, "sandbox", NEAR)
    assert (await ledger.find()).state is State.HELD
    assert await ledger.committed_usd() == 2.5


async def test_what_came_or_never_went_cannot_be_abandoned(ledger: Any) -> None:
    await ledger.finish(await ledger.buy())
    with pytest.raises(FixInputError, match="this take is completed"):
        await ledger.opened.transactions.do(0.0, by_hand.abandon_by_hand, "sandbox", NEAR)
    await ledger.intend(FAR)
    with pytest.raises(FixInputError, match="this take is submitting"):
        await ledger.opened.transactions.do(0.0, by_hand.abandon_by_hand, "sandbox", FAR)
    assert [(await ledger.find(each)).state for each in (NEAR, FAR)] == [State.COMPLETED, State.SUBMITTING]


@pytest.mark.parametrize("held_for", ["lost", "stuck"])
async def test_a_take_keeps_its_own_prediction_while_it_is_polled(ledger: Any, held_for: str) -> None:
    attempt_id = await ledger.intend()
    await ledger.accept(attempt_id, "p1")
    arguments = (1,) if held_for == "lost" else (1, "processing", 3_600.0)
    await ledger.do("lose" if held_for == "lost" else "give_up", attempt_id, *arguments)
    await unknown(ledger, FAR)
    with pytest.raises(FixInputError, match="belongs to take ffffffffffff"):
        await ledger.opened.transactions.do(0.0, by_hand.adopt_by_hand, "sandbox", FAR, "p1")
    assert (await ledger.find()).prediction_id == "p1"


async def test_what_a_person_says_is_done_whole_or_not_at_all(ledger: Any) -> None:
    await unknown(ledger)
    await unknown(ledger, FAR)
    with pytest.raises(FixInputError):
        await ledger.opened.settle_by_hand("sandbox", [(NEAR, "p1"), ("b" * 64, "p2")], [])
    assert (await ledger.find(NEAR)).state is State.UNKNOWN
    with pytest.raises(FixInputError):
        await ledger.opened.settle_by_hand("sandbox", [(NEAR, "p1")], [FAR], ["b" * 64])
    assert (await ledger.find(NEAR)).state is State.UNKNOWN
    await ledger.buy("c" * 64)
    lines = await ledger.opened.settle_by_hand("sandbox", [(NEAR, "p1")], [FAR], ["c" * 64])
    assert [line.split()[0] for line in lines] == ["adopted", "absent", "abandoned"]


async def test_what_the_account_made_and_no_take_has_is_remembered(ledger: Any) -> None:
    await ledger.buy()
    (mine,) = ledger.rows("SELECT prediction_id FROM attempt")[0]
    listed = [Candidate(mine, "m", NOON, None), Candidate("theirs", "m", NOON, None)]
    for _ in range(2):
        await ledger.opened.note_unbound("sandbox", listed)
    assert [each.prediction_id for each in await ledger.opened.orphans("sandbox")] == ["theirs"]


@pytest.mark.parametrize(
    ("listed_by", "absent_since", "settled_at"),
    [
        (None, None, None),
        (NOON, None, None),
        (None, NOON, NOON + timedelta(minutes=15)),
        (NOON + timedelta(minutes=1), NOON, NOON + timedelta(minutes=16)),
        (NOON - timedelta(minutes=1), NOON, NOON + timedelta(minutes=15)),
    ],
)
def test_a_take_absent_from_two_readings_far_enough_apart_was_not_bought(
    listed_by: datetime | None, absent_since: datetime | None, settled_at: datetime | None
) -> None:
    take = Open(NEAR, "unknown", NOON, "no answer", listed_by=listed_by, absent_since=absent_since)
    assert take.settled_at(900) == settled_at
