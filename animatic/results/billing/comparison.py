"""The bill held against the ledger: pure rules, the time is an argument.

A line is a prediction: an attempt of the ledger, items of the bill, or both. What may still come is pending, not a
difference: WaveSpeed refunds failed predictions within 3 hours (its documentation; not tried live), and nothing says
how late the bill itself is, so a charge is missed only as late as that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from animatic.takes.money.bill_items import DEDUCT, REFUND, BillItem, sums_of
from animatic.takes.states import PAID, State

SETTLES_WITHIN = timedelta(hours=3)
"""Time within which charges and refunds show up."""

SUBMITS_WITHIN = timedelta(minutes=10)
"""A charge that is younger, while something is being submitted, may be of that."""

ROUNDED_MICROUSD = 1
"""A quote is rounded up to a millionth of a dollar, an item of the bill to the nearest one."""


class Difference(StrEnum):
    """Kinds of differences between bill and ledger."""

    QUOTE = "quote"
    """Charged, but not what was reserved for it."""

    TWICE = "charged twice"
    MISSING = "not charged"
    UNREFUNDED = "not refunded"
    """It failed, and its price was not given back, or not all of it."""

    REFUNDED = "refunded"
    """It is completed, and was refunded."""

    EXCESS = "refunded too much"
    UNBOUGHT = "not bought"
    """Charged, and the ledger says that nothing was bought."""

    NO_TAKE = "no take"
    """Charged for a prediction that belongs to no take of the ledger."""

    UNREADABLE = "unreadable"
    """An item whose kind or amount cannot be read."""


class Pending(StrEnum):
    """Reasons for which a line is not settled yet."""

    UNDER_WAY = "under way"
    REFUND_DUE = "refund due"
    NOT_BILLED = "not on the bill yet"
    UNSETTLED = "unsettled"
    """It is not known whether it was bought, or a submission is under way that it may be of."""


@dataclass(frozen=True, slots=True)
class Bought:
    """An attempt of the ledger, as the bill is held against it.

    Attributes:
        bought_at: by the API's clock where that is known, else by ours.
        ended_at: when it was seen to be final.
    """

    prediction_id: str | None
    state: State
    quoted_microusd: int | None
    bought_at: datetime
    ended_at: datetime | None
    model: str
    shot_id: str
    storyboard: str
    manifest: str
    take: int
    attempt: int
    run_id: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Line:
    """A prediction: what the ledger knows of it, and what the bill has shown of it at any time.

    Attributes:
        charged, refunded: millionths of a dollar; None where the bill has not shown it.
    """

    prediction_id: str | None
    model: str
    bought: Bought | None
    items: tuple[BillItem, ...]
    charged: int | None
    refunded: int | None
    differences: tuple[Difference, ...] = ()
    pending: Pending | None = None

    @property
    def at(self) -> datetime | None:
        """The time of its first item on the bill, else that of its purchase."""
        return next((each.charged_at for each in self.items if each.charged_at), self.bought and self.bought.bought_at)

    @property
    def difference_microusd(self) -> int | None:
        """Dollars that differ, in millionths: positive where the account paid more than the ledger explains."""
        charged, refunded = self.charged or 0, self.refunded or 0
        quoted = self.bought.quoted_microusd if self.bought else 0
        kinds = set(self.differences)
        if not kinds or kinds == {Difference.UNREADABLE}:
            return None
        if kinds & {Difference.NO_TAKE, Difference.UNBOUGHT, Difference.UNREFUNDED, Difference.EXCESS}:
            return charged - refunded
        if kinds & {Difference.REFUNDED}:
            return -refunded
        return None if quoted is None else charged - quoted


@dataclass(frozen=True, slots=True)
class Moment:
    """The span that was read, and the time at which it was.

    Attributes:
        now: by the API's clock.
        is_whole: whether the bill was read to its end, so that absence means something.
        is_submitting: whether something was being submitted while the ledger was read.
    """

    since: datetime
    until: datetime
    now: datetime
    is_whole: bool = True
    is_submitting: bool = False

    def misses(self, bought_at: datetime) -> bool:
        """Tell that a charge for what was bought then must have been read by now."""
        return self.is_whole and self.since <= bought_at < self.until and self.now - bought_at >= SETTLES_WITHIN


def compare(attempts: Iterable[Bought], items: Iterable[BillItem], moment: Moment) -> list[Line]:
    """Hold attempts against all items of their predictions, and name the items that no attempt has; oldest first."""
    of_prediction: dict[str, list[BillItem]] = {}
    nameless: list[BillItem] = []
    for each in items:
        of_prediction.setdefault(each.prediction_id, []).append(each) if each.prediction_id else nameless.append(each)
    lines = [_line_of(each, of_prediction.pop(each.prediction_id or "", []), moment) for each in attempts]
    lines += [_line_of_no_take(of_it, moment) for of_it in (*of_prediction.values(), *([each] for each in nameless))]
    return sorted(lines, key=lambda line: (line.at is None, line.at.timestamp() if line.at else 0.0))


def _line_of(bought: Bought, items: Sequence[BillItem], moment: Moment) -> Line:
    charged, refunded = sums_of(items)
    differences = [
        kind
        for kind, is_so in {
            Difference.UNREADABLE: any(_is_odd(each) for each in items),
            Difference.UNBOUGHT: bool(charged or refunded) and bought.state not in PAID,
            Difference.TWICE: sum(each.kind == DEDUCT and each.microusd != 0 for each in items) > 1,
            Difference.QUOTE: _is_off(charged, bought.quoted_microusd),
            Difference.EXCESS: charged is not None and (refunded or 0) > charged,
            Difference.REFUNDED: bought.state is State.COMPLETED and bool(refunded),
        }.items()
        if is_so
    ]
    if Difference.TWICE in differences and Difference.QUOTE in differences:
        differences.remove(Difference.QUOTE)  # the same dollars
    pending = None
    if charged is None and Difference.UNREADABLE not in differences:
        late, pending = _uncharged(bought, moment)
        differences += late
    elif bought.state is State.FAILED and (charged or 0) > (refunded or 0):
        is_due = moment.now - (bought.ended_at or bought.bought_at) < SETTLES_WITHIN
        pending = Pending.REFUND_DUE if is_due else None
        differences += [] if is_due else [Difference.UNREFUNDED]
    elif bought.state in {State.SUBMITTED, State.HELD} or _is_open(items):
        pending = Pending.UNDER_WAY
    return Line(
        bought.prediction_id, bought.model, bought, tuple(items), charged, refunded, tuple(differences), pending
    )


def _uncharged(bought: Bought, moment: Moment) -> tuple[list[Difference], Pending | None]:
    """Judge an attempt that the bill shows no charge for."""
    if bought.state not in PAID:
        return [], None
    if bought.prediction_id is None:
        return [], Pending.UNSETTLED
    if moment.misses(bought.bought_at):
        return [Difference.MISSING], None
    is_young = moment.now - bought.bought_at < SETTLES_WITHIN
    return [], Pending.NOT_BILLED if is_young else None


def _line_of_no_take(items: Sequence[BillItem], moment: Moment) -> Line:
    charged, refunded = sums_of(items)
    newest = max((each.charged_at for each in items if each.charged_at), default=None)
    may_be_ours = moment.is_submitting and newest is not None and moment.now - newest < SUBMITS_WITHIN
    odd = (Difference.UNREADABLE,) if any(_is_odd(each) for each in items) else ()
    differences = () if may_be_ours else (Difference.NO_TAKE, *odd)
    model = next((each.model for each in items if each.model), "")
    pending = Pending.UNSETTLED if may_be_ours else None
    return Line(items[0].prediction_id, model, None, tuple(items), charged, refunded, differences, pending)


def _is_off(charged: int | None, quoted: int | None) -> bool:
    return charged is not None and quoted is not None and abs(charged - quoted) > ROUNDED_MICROUSD


def _is_odd(item: BillItem) -> bool:
    return item.microusd is None or item.kind not in {DEDUCT, REFUND}


def _is_open(items: Iterable[BillItem]) -> bool:
    return any(each.kind == DEDUCT and each.order_state == "pre" for each in items)
