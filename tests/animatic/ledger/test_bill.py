"""Items of WaveSpeed's bill: kept once each, as they were read last, and found by the predictions they are for."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from animatic.ledger.history import COLUMNS
from animatic.takes.money.bill_items import DEDUCT, REFUND, BillItem
from animatic.takes.states import State

PROVIDER = "https://api.wavespeed.ai"
MODEL = "wavespeed-ai/veo2-i2v"
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
CHARGE = BillItem("deduct:b-1:p-1", DEDUCT, "p-1", MODEL, 2_500_000, NOON, "pre")


async def test_an_item_that_is_read_again_is_as_it_was_read_last(ledger: Any) -> None:
    final = replace(CHARGE, microusd=2_400_000, order_state="done")
    await ledger.opened.note_bill(PROVIDER, [CHARGE])
    await ledger.opened.note_bill(PROVIDER, [final])
    assert await ledger.opened.bill_items_of(PROVIDER, ["p-1"]) == [final]


async def test_a_prediction_has_all_its_items_oldest_first(ledger: Any) -> None:
    refund = replace(CHARGE, item="refund:b-2:p-1", kind=REFUND, charged_at=NOON + timedelta(hours=1))
    other = replace(CHARGE, item="deduct:b-3:p-2", prediction_id="p-2")
    await ledger.opened.note_bill(PROVIDER, [refund, other, CHARGE])
    assert await ledger.opened.bill_items_of(PROVIDER, ["p-1"]) == [CHARGE, refund]
    assert await ledger.opened.bill_items_of(PROVIDER, ["p-9"]) == []


async def test_another_accounts_bill_is_another_matter(ledger: Any) -> None:
    await ledger.opened.note_bill(f"{PROVIDER}#north", [CHARGE])
    await ledger.opened.note_bill(PROVIDER, [replace(CHARGE, microusd=1)])
    assert await ledger.opened.bill_items_of(f"{PROVIDER}#north", ["p-1"]) == [CHARGE]


async def test_what_the_bill_shows_of_a_take_stands_beside_its_price(ledger: Any) -> None:
    attempt_id = await ledger.buy(provider=PROVIDER, cost_usd=2.5)
    paid = f"p-ffffffff-{attempt_id}"
    assert (await ledger.find()).charged_microusd is None
    await ledger.opened.note_bill(PROVIDER, [replace(CHARGE, prediction_id=paid, microusd=2_000_000)])
    found = await ledger.find()
    assert (found.cost_microusd, found.charged_microusd, found.refunded_microusd) == (2_500_000, 2_000_000, 0)


async def test_attempts_are_found_by_the_predictions_of_the_bill_in_any_state(ledger: Any) -> None:
    failed = await ledger.buy("a" * 64, provider=PROVIDER)
    await ledger.finish(failed, state=State.FAILED, error="gone")
    in_flight = await ledger.buy("b" * 64, provider=PROVIDER)
    await ledger.buy("c" * 64, provider="sandbox")
    names = [f"p-aaaaaaaa-{failed}", f"p-bbbbbbbb-{in_flight}", "p-cccccccc-3", "p-9"]
    found = await ledger.opened.attempts_with(PROVIDER, names)
    at = COLUMNS.index("prediction_id")
    assert sorted(row[at] for row in found) == names[:2]


async def test_what_is_being_submitted_is_counted_for_each_account(ledger: Any) -> None:
    await ledger.intend("a" * 64, provider=PROVIDER)
    await ledger.buy("b" * 64, provider=PROVIDER)
    assert await ledger.opened.count_submitting(PROVIDER) == 1
    assert await ledger.opened.count_submitting("sandbox") == 0
