"""The list and the bill: newest first, paged, in a window, as late as configured."""

from typing import Any

import pytest


async def test_pages_are_newest_first_and_together_give_each_once(caller: Any, clock: Any) -> None:
    taken: list[str] = []
    for _ in range(7):
        taken.append(await caller.submit_id())
        clock.advance(1)
    pages = [await caller.listed_ids(page=number, page_size=3) for number in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [3, 3, 1, 0]
    assert [each for page in pages for each in page] == taken[::-1]


@pytest.mark.parametrize(
    "change",
    [
        {"page": 0},
        {"page": "1"},
        {"page": True},
        {"page": None},
        {"page_size": 0},
        {"page_size": 101},
        {"page_size": 1.5},
        {"created_after": "yesterday"},
        {"created_before": 5},
        {"include_inputs": "yes"},
        {"status": ["failed"]},
    ],
)
async def test_a_wrong_query_is_a_400_that_names_the_field(caller: Any, change: dict[str, Any]) -> None:
    reply = await caller.list_page(**change)
    assert reply.status == 400
    assert next(iter(change)) in reply.json["message"]


async def test_the_window_is_inclusive_and_reads_zones(caller: Any, clock: Any) -> None:
    created: list[str] = []
    taken: list[str] = []
    for _ in range(4):
        data = (await caller.submit()).data
        created.append(data["created_at"])
        taken.append(data["id"])
        clock.advance(60)
    both = await caller.listed_ids(created_after=created[1], created_before=created[2])
    assert both == [taken[2], taken[1]]
    assert await caller.listed_ids(created_after="2027-01-15T10:03:00+02:00") == [taken[3]]
    assert await caller.listed_ids(created_before="1999-01-01T00:00:00Z") == []


async def test_model_and_status_filter(caller: Any, clock: Any) -> None:
    failing, fine = await caller.submit_id("[sandbox:fails]"), await caller.submit_id()
    clock.advance(10)
    running = await caller.submit_id()
    assert await caller.listed_ids(status="failed") == [failing]
    assert await caller.listed_ids(status="completed") == [fine]
    assert await caller.listed_ids(status="processing") == [running]
    assert await caller.listed_ids(model="another/model") == []
    assert len(await caller.listed_ids(model="wavespeed-ai/veo2-i2v")) == 3


async def test_inputs_come_only_when_asked_for(caller: Any) -> None:
    await caller.submit("dolly out", duration="7s")
    [plain] = (await caller.list_page()).data["items"]
    [full] = (await caller.list_page(include_inputs=True)).data["items"]
    assert "inputs" not in plain
    assert full == plain | {
        "inputs": {
            "prompt": "dolly out",
            "image": "https://stills.example/a.png",
            "aspect_ratio": "16:9",
            "duration": "7s",
        }
    }


async def test_a_prediction_is_late_in_the_list_but_not_by_id(open_sandbox: Any, clock: Any) -> None:
    caller = await open_sandbox(list_delay_s=30.0)
    taken = await caller.submit_id()
    assert await caller.status(taken) == "processing"
    clock.advance(29)
    early = await caller.listed_ids()
    clock.advance(1)
    assert (early, await caller.listed_ids()) == ([], [taken])


async def test_the_list_goes_back_seven_days(caller: Any, clock: Any) -> None:
    await caller.submit()
    clock.advance(4 * 86_400)
    kept = await caller.submit_id()
    clock.advance(3 * 86_400 + 1)
    assert await caller.listed_ids(created_after="2020-01-01T00:00:00Z") == [kept]


async def test_the_order_holds_when_the_clock_goes_back(caller: Any, clock: Any) -> None:
    first = (await caller.submit()).data
    clock.advance(-50)
    second = (await caller.submit()).data
    clock.advance(60)
    assert second["created_at"] == first["created_at"]
    assert await caller.listed_ids(created_after=first["created_at"]) == [second["id"], first["id"]]


async def test_the_bill_has_each_charge_with_its_prediction(caller: Any) -> None:
    taken = [await caller.submit_id(duration=duration) for duration in ("5s", "8s")]
    reply = await caller.ask("POST", "/api/v3/billings/search", json={"page": 1, "page_size": 50})
    items = reply.data["items"]
    assert [(item["prediction"]["uuid"], item["price"]) for item in items] == [(taken[1], 4.0), (taken[0], 2.5)]
