"""The bill of a span beside the ledger, as one value: read, kept, compared."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from animatic.ledger import HISTORY_COLUMNS, Ledger, aware, aware_always, position_of
from animatic.results.billing.comparison import Bought, Difference, Line, Moment, Pending, compare
from animatic.results.billing.reading import BillReading, read_bill
from animatic.results.exit_codes import DONE, INCOMPLETE
from animatic.takes.inputs import read_request
from animatic.takes.money.bill_items import BillItem, totals_of
from animatic.takes.states import State
from animatic.wavespeed.client import WaveSpeedClient

MARGIN = timedelta(days=1)
"""Time before the span for which attempts are looked up: intents carry our clock, the bill WaveSpeed's."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums of the items of a span, in millionths of a dollar."""

    charges: int
    refunds: int
    charged: int
    refunded: int

    @property
    def net(self) -> int:
        """Charges less refunds."""
        return self.charged - self.refunded


@dataclass(frozen=True, slots=True)
class Bill:
    """The bill of a span beside the ledger.

    Attributes:
        lines: predictions of the span, oldest first.
        everything, of_ledger, of_no_take: sums of the items in the span; the first is the sum of the others.
    """

    reading: BillReading
    moment: Moment
    lines: Sequence[Line]
    everything: Totals
    of_ledger: Totals
    of_no_take: Totals
    account: str = ""
    counts: Counter[Difference] = field(default_factory=Counter[Difference])
    pending: Counter[Pending] = field(default_factory=Counter[Pending])

    @property
    def differing(self) -> list[Line]:
        """The lines that differ."""
        return [each for each in self.lines if each.differences]

    @property
    def is_agreed(self) -> bool:
        """Tell that bill and ledger agree: all was read, and nothing differs that is not pending."""
        return not self.counts and self.reading.problem is None and not self.reading.unreadable

    @property
    def exit_code(self) -> int:
        """0 where bill and ledger agree, else 3."""
        return DONE if self.is_agreed else INCOMPLETE

    @property
    def unsettled(self) -> int:
        """Number of attempts of which it is not known whether they were bought."""
        return sum(each.bought is not None and each.pending is Pending.UNSETTLED for each in self.lines)

    @property
    def pending_microusd(self) -> int:
        """Charges less refunds of what is pending."""
        return sum((each.charged or 0) - (each.refunded or 0) for each in self.lines if each.pending)


async def compare_bill(
    ledger: Ledger | None, client: WaveSpeedClient, provider: str, since: datetime, until: datetime | None = None
) -> Bill:
    """Read the bill from `since` to `until`, or now, keep it in the ledger, and hold both against each other.

    The bill is read before the ledger: what a run binds in between is known by then.

    Raises:
        TryLaterError, NeverAgainError: the bill cannot be read at all.
    """
    await client.learn_time()
    reading = await read_bill(client, since, client.clock.latest() if until is None else until)
    found = list(reading.items.values())
    bought, items, is_submitting = list[Bought](), found, False
    if ledger is not None:
        await ledger.note_bill(provider, found)
        rows = await _rows(ledger, provider, reading)
        bought = [bought_of(row) for row in rows]
        known = [each.prediction_id for each in bought if each.prediction_id]
        of_known = await ledger.bill_items_of(provider, known)
        taken = set(known)
        items = [*of_known, *(each for each in found if each.prediction_id not in taken)]
        is_submitting = bool(await ledger.count_submitting(provider))
    is_whole = reading.problem is None and not reading.unreadable
    moment = Moment(reading.since, reading.until, client.clock.now(), is_whole, is_submitting)
    return bill_of(reading, moment, bought, items, provider)


def bill_of(
    reading: BillReading, moment: Moment, bought: Sequence[Bought], items: Iterable[BillItem], account: str = ""
) -> Bill:
    """Compare, and sum up."""
    lines = compare(bought, items, moment)
    ours = {each.prediction_id for each in bought if each.prediction_id}
    found = reading.items.values()
    of_ledger = totals_of(each for each in found if each.prediction_id in ours)
    of_no_take = totals_of(each for each in found if each.prediction_id not in ours)
    return Bill(
        reading,
        moment,
        lines,
        Totals(**totals_of(found)),
        Totals(**of_ledger),
        Totals(**of_no_take),
        account,
        Counter(kind for line in lines for kind in line.differences),
        Counter(line.pending for line in lines if line.pending),
    )


async def _rows(ledger: Ledger, provider: str, reading: BillReading) -> list[dict[str, Any]]:
    """Return the paid attempts of the span, and those that the bill of the span names."""
    found: dict[int, dict[str, Any]] = {}
    after = None
    while rows := await ledger.paid_attempts(provider, after, reading.since - MARGIN):
        after = position_of(rows[-1])
        for row in rows:
            attempt = dict(zip(HISTORY_COLUMNS, row, strict=True))
            if reading.since <= bought_of(attempt).bought_at < reading.until:
                found[attempt["attempt_id"]] = attempt
    met = {each["prediction_id"] for each in found.values()}
    named = {each.prediction_id for each in reading.items.values() if each.prediction_id}
    for row in await ledger.attempts_with(provider, sorted(named - met)):
        attempt = dict(zip(HISTORY_COLUMNS, row, strict=True))
        found[attempt["attempt_id"]] = attempt
    return list(found.values())


def bought_of(attempt: dict[str, Any]) -> Bought:
    """Return an attempt of the ledger as the bill is held against it."""
    _, take = read_request(attempt["request"])
    return Bought(
        prediction_id=attempt["prediction_id"],
        state=State(attempt["state"]),
        quoted_microusd=attempt["quoted_microusd"],
        bought_at=aware_always(attempt["created_at"] or attempt["submitted_at"] or attempt["intent_at"]),
        ended_at=aware(attempt["completed_at"]),
        model=attempt["model"],
        shot_id=attempt["shot_id"] or "",
        storyboard=attempt["storyboard"] or "",
        manifest=attempt["manifest"] or "",
        take=take or 1,
        attempt=attempt["attempt_no"],
        run_id=attempt["run_id"],
        fingerprint=attempt["fingerprint"],
    )
