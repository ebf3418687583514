"""Quotes, the bill with its refunds, usage, deletion."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from animatic.sandbox.witness import read_deleted, read_witness

MODEL = "wavespeed-ai/veo2-i2v"


async def _bill(caller: Any, **body: Any) -> Any:
    return (await caller.ask("POST", "/api/v3/billings/search", json={"page": 1, "page_size": 100} | body)).data


async def _balance(caller: Any) -> float:
    return (await caller.ask("GET", "/api/v3/balance")).data["balance"]


async def test_both_pages_of_prices_say_the_same(caller: Any) -> None:
    body = {"model_id": MODEL, "inputs": {"duration": "6s"}}
    assert (await caller.ask("POST", "/api/v3/model/price", json=body)).data == {
        "model_id": MODEL,
        "price": 3.0,
        "discounted_price": 3.0,
        "discount_rate": 0,
        "currency": "USD",
    }
    older = await caller.ask("POST", "/api/v3/model/pricing", json=body)
    assert older.data == {"model_id": MODEL, "unit_price": 3.0, "currency": "USD"}


async def test_a_discount_of_nothing_and_a_missing_page_are_settings(open_sandbox: Any, tmp_path: Path) -> None:
    free = await open_sandbox(zero_discount=True)
    older = await open_sandbox(folder=tmp_path / "older", lacks_price=True)
    body = {"model_id": MODEL, "inputs": {}}
    data = (await free.ask("POST", "/api/v3/model/price", json=body)).data
    assert (data["price"], data["discounted_price"]) == (2.5, 0)
    assert (await older.ask("POST", "/api/v3/model/price", json=body)).status == 404
    assert (await older.ask("POST", "/api/v3/model/pricing", json=body)).data["unit_price"] == 2.5


async def test_a_charge_is_there_at_once_and_done_when_the_prediction_is(caller: Any, clock: Any) -> None:
    taken = await caller.submit_id(duration="8s")
    waiting = (await _bill(caller))["items"][0]
    clock.advance(10)
    page = await _bill(caller)
    done = page["items"][0]
    assert (page["page"], page["total"], page["has_more"]) == (1, 1, False)
    assert (waiting["order"]["state"], done["order"]["state"]) == ("pre", "done")
    assert set(done) == {
        *("uuid", "access_key_id", "access_key_name", "billing_type", "price", "created_at", "updated_at", "order"),
        "prediction",
    }
    assert set(done["order"]) == {"uuid", "state", "price", "origin_price", "status", "ak_id"}
    assert (done["price"], done["order"]["price"], done["order"]["origin_price"]) == (4.0, 4.0, 4.0)
    assert done["prediction"] == {"uuid": taken, "model_uuid": MODEL, "status": "completed"}


async def test_a_failed_prediction_is_refunded_and_the_balance_follows(open_sandbox: Any, clock: Any) -> None:
    caller = await open_sandbox(balance_usd=10.0, refund_delay_s=60.0)
    failing, fine = await caller.submit_id("[sandbox:fails]"), await caller.submit_id()
    clock.advance(69)
    before, paid = await _bill(caller), await _balance(caller)
    clock.advance(2)
    after = await _bill(caller)
    assert (len(before["items"]), paid, await _balance(caller)) == (2, 5.0, 7.5)
    refund = after["items"][0]
    assert (refund["billing_type"], refund["prediction"]["uuid"]) == ("refund", failing)
    assert (refund["price"], refund["prediction"]["status"]) == (2.5, "failed")
    assert [each["prediction"]["uuid"] for each in after["items"][1:]] == [fine, failing]
    assert len({each["uuid"] for each in after["items"]}) == 3


async def test_a_refund_survives_a_restart(tmp_path: Path, clock: Any) -> None:
    from animatic.sandbox.catalogue import VEO2  # noqa: PLC0415 - only here
    from animatic.sandbox.config import SandboxConfig  # noqa: PLC0415 - only here
    from animatic.sandbox.predictions import Predictions  # noqa: PLC0415 - only here
    from animatic.sandbox.scenarios import read_scenario  # noqa: PLC0415 - only here

    config = SandboxConfig(folder=tmp_path, inference_s=10, spread=0, balance_usd=10, syncs=False)
    kept = Predictions(config)
    inputs = {"prompt": "a", "image": "b", "aspect_ratio": "16:9", "duration": "5s"}
    kept.accept(VEO2, inputs, read_scenario("fails"), clock())
    kept.close()
    again = Predictions(config)
    assert (again.balance_at(clock()), again.balance_at(clock() + 11)) == (7.5, 10.0)
    again.close()


async def test_the_bill_filters_as_its_page_says(caller: Any, clock: Any) -> None:
    failing = await caller.submit_id("[sandbox:fails]")
    clock.advance(60)
    later = await caller.submit_id()
    clock.advance(1)
    since = str(int(clock.now * 1_000) - 30_000)

    async def shown(**body: Any) -> list[tuple[str, str]]:
        return [(each["billing_type"], each["prediction"]["uuid"]) for each in (await _bill(caller, **body))["items"]]

    everything = [("deduct", later), ("refund", failing), ("deduct", failing)]
    assert await shown() == everything
    assert await shown(sort="created_at ASC") == everything[::-1]
    assert await shown(billing_type="refund") == [("refund", failing)]
    assert await shown(prediction_uuids=[failing]) == everything[1:]
    assert await shown(prediction_uuids=["nope"]) == []
    assert await shown(prediction_uuids=[], billing_type=None, sort=None) == everything
    assert await shown(start_time=since) == [("deduct", later)]
    assert await shown(end_time=since) == everything[1:]
    iso = datetime.fromtimestamp(int(since) / 1_000, UTC).isoformat()
    assert await shown(start_time=iso) == [("deduct", later)]
    second = await _bill(caller, page=2, page_size=2)
    assert (second["total"], len(second["items"])) == (3, 1)
    assert (await _bill(caller, page_size=2))["has_more"] is True


@pytest.mark.parametrize(
    "change",
    [
        {"billing_type": "gift"},
        {"sort": "price ASC"},
        {"prediction_uuids": "x"},
        {"prediction_uuids": [5]},
        {"prediction_uuids": ["x"] * 101},
        {"start_time": "soon"},
        {"end_time": 1795597200000},
    ],
)
async def test_a_wrong_filter_is_a_400_that_names_it(caller: Any, change: dict[str, Any]) -> None:
    reply = await caller.ask("POST", "/api/v3/billings/search", json={"page": 1, "page_size": 100} | change)
    assert reply.status == 400
    assert next(iter(change)) in reply.json["message"]


async def test_usage_adds_up_the_entries_of_the_bill(caller: Any, clock: Any) -> None:
    await caller.submit(duration="8s")
    await caller.submit("[sandbox:fails]")
    clock.advance(86_400)
    await caller.submit()
    clock.advance(20)
    body = {"start_time": "2027-01-01T00:00:00Z", "end_time": "2027-01-20T00:00:00Z"}
    data = (await caller.ask("POST", "/api/v3/user/usage_stats", json=body)).data
    assert data["summary"] == {"total_cost": 6.5, "total_requests": 3, "success_requests": 2}
    [model] = data["per_model_usage"]
    assert (model["model_uuid"], model["model_type"], model["unit_price"]) == (MODEL, "image-to-video", 2.5)
    assert (model["total_cost"], model["total_count"], model["last_used_date"]) == (6.5, 3, "2027-01-16")
    assert [(day["date"], day["amount"], day["count"]) for day in data["daily_usage"]] == [
        ("2027-01-15", 4.0, 2),
        ("2027-01-16", 2.5, 1),
    ]
    none = await caller.ask("POST", "/api/v3/user/usage_stats", json=body | {"model_uuid": "another/model"})
    assert none.data["summary"] == {"total_cost": 0, "total_requests": 0, "success_requests": 0}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"start_time": None}, "start_time"),
        ({"end_time": "2027-02-20T00:00:00Z"}, "31 days"),
        ({"end_time": "2026-12-20T00:00:00Z"}, "end_time"),
        ({"model_uuid": 5}, "model_uuid"),
    ],
)
async def test_a_wrong_span_of_usage_is_a_400(caller: Any, change: dict[str, Any], named: str) -> None:
    body = {"start_time": "2027-01-01T00:00:00Z", "end_time": "2027-01-20T00:00:00Z"} | change
    reply = await caller.ask("POST", "/api/v3/user/usage_stats", json=body)
    assert reply.status == 400
    assert named in reply.json["message"]


async def _delete(caller: Any, *ids: str) -> int:
    return (await caller.ask("POST", "/api/v3/predictions/delete", json={"ids": list(ids)})).data["deleted_count"]


async def test_a_deleted_prediction_leaves_the_list_but_not_the_bill(caller: Any, clock: Any) -> None:
    gone, kept = await caller.submit_id(), await caller.submit_id()
    clock.advance(10)
    assert await _delete(caller, gone, "0" * 32, gone) == 1
    assert await _delete(caller, gone) == 0
    data = (await caller.poll(gone)).data
    assert (data["status"], data["outputs"]) == ("deleted", [])
    assert data["error"]
    assert await caller.listed_ids() == [kept]
    assert [each["prediction"]["uuid"] for each in (await _bill(caller))["items"]] == [kept, gone]
    assert (await caller.ask("GET", f"/outputs/{gone}/1.mp4", key=None)).status == 404


async def test_a_deleted_prediction_can_be_a_404_by_a_setting(open_sandbox: Any) -> None:
    caller = await open_sandbox(forgets_deleted=True)
    gone = await caller.submit_id()
    await _delete(caller, gone)
    assert (await caller.poll(gone)).status == 404


async def test_a_deletion_survives_a_restart_and_the_witness_keeps_its_line(
    open_sandbox: Any, tmp_path: Path, clock: Any
) -> None:
    from animatic.sandbox.config import SandboxConfig  # noqa: PLC0415 - only here
    from animatic.sandbox.server import serve  # noqa: PLC0415 - only here

    first = await open_sandbox(folder=tmp_path / "one")
    gone = await first.submit_id()
    lines = (tmp_path / "one" / "accepted.jsonl").read_bytes()
    await _delete(first, gone)
    copy = tmp_path / "two"
    copy.mkdir()
    for name in ("accepted.jsonl", "deleted.jsonl"):
        (copy / name).write_bytes((tmp_path / "one" / name).read_bytes())
    async with serve(SandboxConfig(folder=copy, renders=False, syncs=False), clock) as second:
        reply = await first.ask("GET", f"{second.url}/api/v3/predictions/{gone}/result")
    assert reply.data["status"] == "deleted"
    assert (copy / "accepted.jsonl").read_bytes() == lines
    assert [each.id for each in read_witness(copy)] == [each.id for each in read_deleted(copy)] == [gone]


async def test_a_torn_deletion_is_torn_off(tmp_path: Path, open_sandbox: Any) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "deleted.jsonl").write_bytes(b'{"id":"half')
    caller = await open_sandbox()
    taken = await caller.submit_id()
    await _delete(caller, taken)
    [line] = (tmp_path / "state" / "deleted.jsonl").read_bytes().splitlines()
    assert json.loads(line)["id"] == taken


@pytest.mark.parametrize("ids", [None, "x", [5], [""], ["x"] * 101])
async def test_a_deletion_of_no_list_of_ids_is_a_400(caller: Any, ids: Any) -> None:
    reply = await caller.ask("POST", "/api/v3/predictions/delete", json={"ids": ids})
    assert reply.status == 400
    assert "ids" in reply.json["message"]
