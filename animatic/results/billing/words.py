"""The bill in words: for the terminal, for Prefect, and as JSON."""

import json
from collections.abc import Mapping
from typing import Any

from animatic import storage
from animatic.errors.text import counted, one_line
from animatic.results.billing.bill import Bill, Totals
from animatic.results.billing.comparison import SETTLES_WITHIN, Difference, Line, Pending
from animatic.results.summary import plain
from animatic.results.text_table import text_table
from animatic.takes.money.amounts import as_number, dollars
from animatic.takes.money.bill_items import DEDUCT
from animatic.takes.money.funds import signed_dollars

MOST_SHOWN = 20
MOST_IN_JSON = 1_000
_MOMENT = "%Y-%m-%d %H:%M"

_OF_PENDING = {
    Pending.UNDER_WAY: "under way",
    Pending.REFUND_DUE: "failed, and to be refunded (WaveSpeed takes up to 3 hours)",
    Pending.NOT_BILLED: "not on the bill yet",
    Pending.UNSETTLED: "not settled: it is not known whether they were bought",
}


def lines_of(bill: Bill) -> list[str]:
    """Return the bill for people."""
    lines = [_head(bill), *_table(bill).split("\n")]
    if bill.pending:
        lines.append(f"pending: {counted(bill.pending.total(), 'take')}, {signed_dollars(bill.pending_microusd)}")
        lines += [f"  {count:,} {_OF_PENDING[each]}" for each, count in bill.pending.items()]
    lines += [f"note: {each}" for each in notes_of(bill)]
    differing = bill.differing
    if bill.is_agreed:
        return [*lines, f"bill and ledger agree{', but for what is pending' if bill.pending else ''}"]
    if differing:
        lines.append(f"differences: {len(differing):,}")
        lines += [f"  {sentence(each)}" for each in differing[:MOST_SHOWN]]
        more = len(differing) - MOST_SHOWN
        lines += [f"  and {more:,} more; --csv FILE writes all of them"] if more > 0 else []
    return lines


def _head(bill: Bill) -> str:
    since, until = bill.reading.since, min(bill.reading.until, bill.moment.now)
    return f"WaveSpeed's bill from {since:{_MOMENT}} to {until:{_MOMENT}} UTC"


_TOTALS = ("", "charges", "charged", "refunds", "refunded", "net")


def _table(bill: Bill) -> str:
    return text_table(_TOTALS, [row for row in _totals(bill) if row["charges"] != "0" or row[""] == "all"], None)


def _totals(bill: Bill) -> list[dict[str, str]]:
    rows = {"takes of this ledger": bill.of_ledger, "no take of this ledger": bill.of_no_take, "all": bill.everything}
    return [_row(name, each) for name, each in rows.items()]


def _row(name: str, totals: Totals) -> dict[str, str]:
    return {
        "": name,
        "charges": f"{totals.charges:,}",
        "charged": dollars(totals.charged),
        "refunds": f"{totals.refunds:,}",
        "refunded": dollars(totals.refunded),
        "net": signed_dollars(totals.net),
    }


def notes_of(bill: Bill) -> list[str]:
    """Return what a reader should know beside the differences."""
    reading, notes = bill.reading, list[str]()
    if reading.problem is not None:
        why = one_line(reading.problem, 300)
        notes.append(f"the bill could not be read to its end ({why}); a charge that is not shown may be there")
    if reading.unreadable:
        notes.append(f"{counted(reading.unreadable, 'item')} of the bill cannot be read")
    if reading.others:
        notes.append(f"{counted(len(reading.others), 'item')} of the bill are neither charges nor refunds of takes")
    used, net, charged = reading.usage_microusd, bill.everything.net, bill.everything.charged
    if used is not None and reading.problem is None and min(abs(used - net), abs(used - charged)) > _ROUGHLY:
        notes.append(
            f"WaveSpeed's usage statistics come to {signed_dollars(used)} for the same time, its bill to "
            f"{dollars(charged)}, or {signed_dollars(net)} less refunds"
        )
    return notes


_ROUGHLY = 10_000
"""A cent, in millionths of a dollar: usage statistics are rounded."""


def sentence(line: Line) -> str:
    """Return in one line what differs, and by how much."""
    return f"{name_of(line)}: {'; '.join(_said(each, line) for each in line.differences)}"


def name_of(line: Line) -> str:
    """Return a line's take as people know it, else its prediction."""
    bought = line.bought
    if bought is None:
        at = f" of {line.at:{_MOMENT}} UTC" if line.at else ""
        model = f" ({one_line(line.model, 80)})" if line.model else ""
        return (
            f"prediction {line.prediction_id}{at}{model}" if line.prediction_id else f"an item without prediction{at}"
        )
    shot = one_line(bought.shot_id, 60) or bought.fingerprint[:12]
    where = f" of {one_line(storage.name_of(bought.manifest), 60)}" if bought.manifest else ""
    again = f", attempt {bought.attempt}" if bought.attempt > 1 else ""
    return f"{shot} take {bought.take}{where}{again}"


def _said(kind: Difference, line: Line) -> str:  # noqa: PLR0911 - one return a kind
    charged, refunded = dollars(line.charged or 0), dollars(line.refunded or 0)
    quoted = line.bought.quoted_microusd if line.bought else None
    price = "a price that is not known" if quoted is None else dollars(quoted)
    match kind:
        case Difference.QUOTE:
            off = (line.charged or 0) - (quoted or 0)
            side = "more" if off > 0 else "less"
            return f"charged {charged}, reserved {price} ({dollars(abs(off))} {side})"
        case Difference.TWICE:
            return (
                f"charged {sum(each.kind == DEDUCT for each in line.items)} times, {charged} in all; reserved {price}"
            )
        case Difference.MISSING:
            return f"{price} was reserved, and the bill shows no charge for prediction {line.prediction_id}"
        case Difference.UNREFUNDED:
            hours = SETTLES_WITHIN.total_seconds() / 3_600
            return f"it failed more than {hours:.0f} hours ago; of {charged} charged, {refunded} was refunded"
        case Difference.REFUNDED:
            return f"it is completed, and {refunded} of {charged} was refunded"
        case Difference.EXCESS:
            return f"{refunded} was refunded of {charged} charged"
        case Difference.UNBOUGHT:
            return f"charged {charged}, and the ledger says that it was not bought"
        case Difference.NO_TAKE:
            less = f", refunded {refunded}" if line.refunded else ""
            return f"charged {charged}{less}, and belongs to no take of this ledger"
        case Difference.UNREADABLE:
            return "the bill shows a kind or an amount that cannot be read"


def as_json(bill: Bill, more: Mapping[str, Any] | None = None) -> str:
    """Return the bill for programs, in one line."""
    reading, differing = bill.reading, bill.differing
    return json.dumps(
        {
            "since": reading.since.isoformat(),
            "until": reading.until.isoformat(),
            "account": bill.account,
            "charges": bill.everything.charges,
            "refunds": bill.everything.refunds,
            "charged_usd": as_number(bill.everything.charged),
            "refunded_usd": as_number(bill.everything.refunded),
            "net_usd": as_number(bill.everything.net),
            "ledger_net_usd": as_number(bill.of_ledger.net),
            "no_take_net_usd": as_number(bill.of_no_take.net),
            "pending": {each.value: count for each, count in bill.pending.items()},
            "pending_usd": as_number(bill.pending_microusd),
            "is_agreed": bill.is_agreed,
            "differing": len(differing),
            "kinds": {each.value: count for each, count in bill.counts.items()},
            "differences": [_as_dict(each) for each in differing[:MOST_IN_JSON]],
            "usage_usd": as_number(reading.usage_microusd),
            "unreadable": reading.unreadable,
            "problem": reading.problem,
            **(more or {}),
        }
    )


def _as_dict(line: Line) -> dict[str, Any]:
    bought = line.bought
    return {
        "prediction_id": line.prediction_id,
        "shot_id": bought.shot_id if bought else None,
        "take": bought.take if bought else None,
        "fingerprint": bought.fingerprint if bought else None,
        "model": line.model,
        "kinds": [each.value for each in line.differences],
        "quoted_usd": as_number(bought.quoted_microusd if bought else None),
        "charged_usd": as_number(line.charged),
        "refunded_usd": as_number(line.refunded),
        "difference_usd": as_number(line.difference_microusd),
        "text": sentence(line),
    }


def conclusion(bill: Bill) -> str:
    """Return in a sentence whether bill and ledger agree."""
    if bill.is_agreed:
        return f"bill and ledger agree: {signed_dollars(bill.everything.net)}"
    if bill.counts:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in bill.counts.items())
        return f"{counted(len(bill.differing), 'difference')} between bill and ledger: {kinds}"
    return "the bill could not be read to its end"


def as_markdown(bill: Bill) -> str:
    """Return the bill for Prefect's UI."""
    table = ["| " + " | ".join(_TOTALS) + " |", "| --- " + "| ---: " * (len(_TOTALS) - 1) + "|"]
    table += ["| " + " | ".join(row[name] for name in _TOTALS) + " |" for row in _totals(bill)]
    pending = [f"- pending: {count:,} {_OF_PENDING[each]}" for each, count in bill.pending.items()]
    notes = [f"- {plain(each)}" for each in notes_of(bill)]
    head = [f"**{plain(conclusion(bill))}**", "", plain(_head(bill)), ""]
    return "\n".join([*head, *table, "", *pending, *notes]) + "\n"
