"""Read the account's bill, to its end. Every count of pages and every wait is bounded.

The bill is read newest first, so what is charged while it is read moves items to later pages: they are met twice, never
missed. Where fewer items were met than its first page says that there are, it is read again; what was met stays.
"""

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN
from typing import Any

from animatic.errors import ApiBusyError, NeverAgainError, TryLaterError
from animatic.takes.money.amounts import MAX_PRICE_USD, microusd
from animatic.takes.money.bill_items import DEDUCT, REFUND, BillItem
from animatic.wavespeed.client import WaveSpeedClient
from animatic.wavespeed.wire import Charge, ChargePage

PAGE_SIZE = 100
MOST_PAGES = 5_000
MOST_PASSES = 3
READS_WITHIN_S = 1_800.0
TRIES_A_PAGE = 4
WAIT_S = 2.0
MOST_WAIT_S = 120.0
USAGE_SPAN = timedelta(days=31)
"""Source: WaveSpeed's page on usage statistics."""

MOST_USAGE_SPANS = 24


@dataclass(slots=True)
class BillReading:
    """Items of the bill in a span of time.

    Attributes:
        items: charges, refunds, and what else names a prediction, by what tells them apart.
        others: how many items name no prediction and are neither charge nor refund, such as money that was paid in.
        unreadable: how many items could not be read at all.
        total: how many there were when it was begun, where the bill says so.
        problem: why it could not be read to its end, if so.
        usage_microusd: what the usage statistics say of the span; None where they say nothing.
    """

    since: datetime
    until: datetime
    items: dict[str, BillItem] = field(default_factory=dict[str, BillItem])
    others: set[str] = field(default_factory=set[str])
    unreadable: int = 0
    total: int | None = None
    problem: str | None = None
    usage_microusd: int | None = None

    @property
    def met(self) -> int:
        """Number of different items that were met."""
        return len(self.items) + len(self.others) + self.unreadable


async def read_bill(
    client: WaveSpeedClient, since: datetime, until: datetime, most_pages: int = MOST_PAGES
) -> BillReading:
    """Read the bill from `since` to `until`, at most so many pages at a time.

    Raises:
        TryLaterError, NeverAgainError: not even its first page can be read.
    """
    reading, began_s = BillReading(since, until), client.clock.seconds()
    for _ in range(MOST_PASSES):
        reading.problem = await _read_pages(client, reading, began_s + READS_WITHIN_S, most_pages)
        if reading.problem is not None or reading.total is None or reading.met >= reading.total:
            break
    else:
        reading.problem = f"the bill says that it has {reading.total:,} items, and shows {reading.met:,}"
    reading.usage_microusd = await _usage(client, since, until)
    return reading


async def _read_pages(client: WaveSpeedClient, reading: BillReading, until_s: float, most_pages: int) -> str | None:
    """Read all pages once; why that could not be, if so."""
    before, unreadable, met = frozenset[str](), 0, set[str]()
    for number in range(1, most_pages + 1):
        if client.clock.seconds() > until_s:
            return f"it took longer than {READS_WITHIN_S / 60:.0f} minutes; read it in parts with --since and --until"
        try:
            page = await _page(client, number, reading)
        except (TryLaterError, NeverAgainError) as error:
            if number == 1 and not reading.items:
                raise
            return f"page {number}: {error}"
        unreadable += page.unreadable
        reading.unreadable = max(reading.unreadable, unreadable)
        reading.total = page.total if number == 1 else reading.total
        names = frozenset(_enter(reading, page.items))
        if not names and not page.unreadable:
            return f"page {number} is empty, and the bill says that there is more" if page.has_more else None
        if names and names == before:
            return f"page {number} repeats the one before it"
        before, met = names, met | names
        if page.total is not None and len(met) + unreadable >= page.total and not page.has_more:
            return None
    return f"it has more than {most_pages * PAGE_SIZE:,} items; read it in parts with --since and --until"


async def _page(client: WaveSpeedClient, number: int, reading: BillReading) -> ChargePage:
    """One page, asked for again a few times where that may help."""
    wait_s = WAIT_S
    for tries_left in reversed(range(TRIES_A_PAGE)):
        try:
            return await client.list_charges(
                page=number, page_size=PAGE_SIZE, start_time=reading.since, end_time=reading.until
            )
        except TryLaterError as error:
            if not tries_left:
                raise
            asked_s = error.retry_after_s if isinstance(error, ApiBusyError) else None
            await asyncio.sleep(min(max(asked_s or 0.0, wait_s), MOST_WAIT_S))
            wait_s *= 2
    raise AssertionError("the last try returns or raises")


def _enter(reading: BillReading, charges: Iterable[Charge]) -> list[str]:
    """Add the items of a page; return what tells each apart."""
    names: list[str] = []
    for each in charges:
        item = item_of(each)
        names.append(item.item)
        if item.kind not in {DEDUCT, REFUND} and item.prediction_id is None:
            reading.others.add(item.item)
        else:
            reading.items[item.item] = item
    return names


def item_of(charge: Charge) -> BillItem:
    """Return an item of the bill as it is kept.

    A refund may have the uuid of its charge, so the kind and the prediction count too. An item without a uuid is told
    by all that it says.
    """
    amount = _amount(charge.price_usd)
    said: tuple[Any, ...] = (charge.billing_type, charge.prediction_id or "")
    rest = (charge.uuid,) if charge.uuid else ("", amount, charge.created_at, charge.model)
    name = charge.uuid or hashlib.sha256(repr((*said, *rest)).encode()).hexdigest()[:32]
    return BillItem(
        item=":".join((charge.billing_type, name, charge.prediction_id or "")),
        kind=charge.billing_type,
        prediction_id=charge.prediction_id,
        model=charge.model,
        microusd=amount,
        charged_at=charge.created_at,
        order_state=charge.order_state,
    )


def _amount(price_usd: float | None) -> int | None:
    """Return an amount in millionths of a dollar, without its sign, which is not documented; None for no amount."""
    if price_usd is None or abs(price_usd) > MAX_PRICE_USD:
        return None
    return microusd(abs(price_usd), rounding=ROUND_HALF_EVEN)


async def _usage(client: WaveSpeedClient, since: datetime, until: datetime) -> int | None:
    """Return what the usage statistics say of the span, in millionths of a dollar; None where they cannot be had."""
    total, start = 0, since
    for _ in range(MOST_USAGE_SPANS):
        end = min(start + USAGE_SPAN - timedelta(milliseconds=1), until)
        try:
            used_usd = await client.usage_usd(start_time=start, end_time=end)
        except (TryLaterError, NeverAgainError):
            return None
        total += microusd(used_usd, rounding=ROUND_HALF_EVEN)
        if end >= until:
            return total
        start = end + timedelta(milliseconds=1)
    return None
