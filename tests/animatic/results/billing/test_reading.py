"""The bill is read to its end, whatever comes in between; what cannot be read is said, and nothing waits for ever."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from animatic.errors import AccountRefusedError, ApiUnavailableError
from animatic.results.billing import reading
from animatic.results.billing.reading import BillReading, read_bill
from animatic.wavespeed.client import WaveSpeedClient

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
SINCE, UNTIL = NOON - timedelta(days=3), NOON
Answer = Callable[[int], Any]


def charge(number: int, **changed: Any) -> dict[str, Any]:
    usual = {
        "uuid": f"b-{number}",
        "billing_type": "deduct",
        "price": 2.5,
        "created_at": (NOON - timedelta(minutes=number)).isoformat(),
        "order": {"state": "done"},
        "prediction": {"uuid": f"p-{number}", "model_uuid": "wavespeed-ai/veo2-i2v", "status": "completed"},
    }
    return usual | changed


def page_of(items: Sequence[Any], number: int, **more: Any) -> dict[str, Any]:
    size = reading.PAGE_SIZE
    return {"page": number, "items": list(items[(number - 1) * size : number * size])} | more


async def read(answer: Answer, usage_usd: float | None = None, most_pages: int = 50) -> tuple[BillReading, list[int]]:
    """Read a bill whose pages are answers: data, or an HTTP status; return it and the pages that were asked for."""
    asked: list[int] = []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("usage_stats"):
            if usage_usd is None:
                return httpx.Response(404, json={"code": 404, "message": "no such path"})
            return httpx.Response(200, json={"code": 200, "data": {"summary": {"total_cost": usage_usd}}})
        if request.url.path.endswith("balance"):
            return httpx.Response(200, json={"code": 200, "data": {"balance": 1.0}})
        asked.append(json.loads(request.content)["page"])
        found = answer(asked[-1])
        if isinstance(found, int):
            return httpx.Response(found, json={"code": found, "message": "no"})
        return httpx.Response(200, json={"code": 200, "data": found})

    async with WaveSpeedClient("https://api.example", "key", transport=httpx.MockTransport(handler)) as client:
        return await read_bill(client, SINCE, UNTIL, most_pages), asked


@pytest.mark.parametrize("total", [None, 250])
async def test_all_pages_are_read_with_a_total_and_without(total: int | None) -> None:
    bill = [charge(number) for number in range(250)]
    found, asked = await read(lambda page: page_of(bill, page, **({} if total is None else {"total": total})))
    assert (len(found.items), found.problem) == (250, None)
    assert asked == ([1, 2, 3] if total else [1, 2, 3, 4])


async def test_charges_that_arrive_while_it_is_read_hide_none() -> None:
    bill = [charge(number) for number in range(250)]

    def grow(page: int) -> Any:
        found = page_of(bill, page, total=len(bill))
        bill[:0] = [charge(-len(bill) - more) for more in range(3)]  # three more, newest first
        return found

    found, _ = await read(grow)
    assert {f"deduct:b-{number}:p-{number}" for number in range(250)} <= set(found.items)
    assert found.problem is None


async def test_an_item_that_is_listed_late_pushes_none_past_the_end() -> None:
    bill = [charge(number) for number in range(200)]

    def insert(page: int) -> Any:
        if page == 2:
            bill.insert(150, charge(9_999))
        return page_of(bill, page, total=len(bill))

    found, _ = await read(insert)
    assert (len(found.items), found.problem) == (201, None)


async def test_a_bill_that_shows_less_than_it_says_is_read_again() -> None:
    bill, passes = [charge(number) for number in range(150)], iter([120, 150])
    shown: list[Any] = []

    def answer(page: int) -> Any:
        if page == 1:
            shown[:] = bill[: next(passes)]
        return page_of(shown, page, total=150)

    found, asked = await read(answer)
    assert (len(found.items), found.problem) == (150, None)
    assert asked.count(1) == 2


async def test_a_bill_that_never_shows_all_is_said_not_to_be_whole() -> None:
    found, asked = await read(lambda page: page_of([charge(1)], page, total=9))
    assert "it has 9 items, and shows 1" in str(found.problem)
    assert asked.count(1) == reading.MOST_PASSES


async def test_a_bill_that_ignores_the_page_ends() -> None:
    bill = [charge(number) for number in range(100)]
    found, asked = await read(lambda _: page_of(bill, 1))
    assert (len(found.items), found.problem, asked) == (100, "page 2 repeats the one before it", [1, 2])


async def test_an_item_listed_twice_counts_once_and_its_refund_counts_apart() -> None:
    bill = [charge(1), charge(1), charge(1, billing_type="refund"), charge(1, billing_type="Refund", price="-2.5")]
    found, _ = await read(lambda page: page_of(bill, page))
    assert sorted((each.kind, each.microusd) for each in found.items.values()) == [
        ("deduct", 2_500_000),
        ("refund", 2_500_000),
    ]


async def test_items_without_a_uuid_are_told_by_what_they_say() -> None:
    bill = [charge(1, uuid=None), charge(2, uuid=""), charge(1, uuid=None)]
    found, _ = await read(lambda page: page_of(bill, page))
    assert len(found.items) == 2


async def test_odd_types_are_counted_and_hide_nothing() -> None:
    bill = [
        charge(1, price=None),
        charge(2, price="2.50"),
        charge(3, price=[1]),
        charge(4, order=None, created_at=7),
        charge(5, prediction=None),
        charge(6, prediction=None, billing_type="recharge"),
        charge(7, billing_type=None),
        charge(8, price=1e12),
        "text",
        None,
    ]
    found, _ = await read(lambda page: page_of(bill, page, total=len(bill)))
    assert (found.problem, found.unreadable, len(found.others)) == (None, 2, 1)
    amounts = {each.item.split(":")[1]: (each.kind, each.microusd) for each in found.items.values()}
    assert amounts == {
        "b-1": ("deduct", None),
        "b-2": ("deduct", 2_500_000),
        "b-3": ("deduct", None),
        "b-4": ("deduct", 2_500_000),
        "b-5": ("deduct", 2_500_000),
        "b-7": ("deduct", 2_500_000),
        "b-8": ("deduct", None),
    }


async def test_a_page_is_asked_for_again_before_the_rest_is_called_missing() -> None:
    bill = [charge(number) for number in range(250)]
    busy = iter([429, 503])

    def passing(page: int) -> Any:
        return next(busy, None) or page_of(bill, page, total=250)

    found, _ = await read(passing)
    assert (len(found.items), found.problem) == (250, None)
    found, asked = await read(lambda page: page_of(bill, page, total=250) if page < 2 else 503)
    assert len(found.items) == 100
    assert str(found.problem).startswith("page 2: ")
    assert asked.count(2) == reading.TRIES_A_PAGE


@pytest.mark.parametrize(("status", "error"), [(401, AccountRefusedError), (503, ApiUnavailableError)])
async def test_a_bill_that_cannot_be_read_at_all_is_an_error(status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        await read(lambda _: status)


async def test_a_bill_without_end_is_given_up() -> None:
    endless = [[charge(page * 1_000 + each) for each in range(100)] for page in range(9)]
    found, asked = await read(lambda page: page_of(endless[page], 1), most_pages=3)
    assert "read it in parts with --since and --until" in str(found.problem)
    assert len(asked) == 3


async def test_usage_is_asked_for_beside_and_need_not_be_there() -> None:
    found, _ = await read(lambda page: page_of([charge(1)], page), usage_usd=2.5)
    assert found.usage_microusd == 2_500_000
    found, _ = await read(lambda page: page_of([charge(1)], page))
    assert found.usage_microusd is None
