"""Items of WaveSpeed's bill, and their sums. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

DEDUCT, REFUND = "deduct", "refund"
"""Kinds of items. Source: WaveSpeed's page on searching billings."""


@dataclass(frozen=True, slots=True)
class BillItem:
    """One item of the bill.

    Attributes:
        item: what tells it from all others of the account.
        kind: `deduct`, `refund`, or a word of the bill's own.
        microusd: the amount, never negative; None where it cannot be read.
        charged_at: by the API's clock.
        order_state: `pre` while it is not final, else `done`, as far as is documented.
    """

    item: str
    kind: str
    prediction_id: str | None
    model: str
    microusd: int | None
    charged_at: datetime | None
    order_state: str = ""


def sums_of(items: Iterable[BillItem]) -> tuple[int | None, int | None]:
    """Return what some items charge and refund, as the ledger's columns have it: null where they do not say."""
    known = [each for each in items if each.microusd is not None]
    charges = [each.microusd or 0 for each in known if each.kind == DEDUCT]
    refunds = [each.microusd or 0 for each in known if each.kind == REFUND]
    return sum(charges) if charges else None, sum(refunds) if charges or refunds else None


def totals_of(items: Iterable[BillItem]) -> Mapping[str, int]:
    """Return what some items charge and refund in all, and how many they are, by kind."""
    found = {"charges": 0, "refunds": 0, "charged": 0, "refunded": 0}
    for each in items:
        if each.kind == DEDUCT:
            found["charges"] += 1
            found["charged"] += each.microusd or 0
        elif each.kind == REFUND:
            found["refunds"] += 1
            found["refunded"] += each.microusd or 0
    return found
