"""Differences between a plan and what is there when it is to be carried out: rows, prices, time, place. Pure."""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from animatic.errors.text import counted, escaped, one_line
from animatic.planning.plan import Plan
from animatic.planning.plan_file import PlanFile, shown_moment
from animatic.planning.plan_form import HeadPart, PricePart
from animatic.planning.planned_rows import PlannedRows, ranges
from animatic.takes.canonical import EMBEDDED_SANDBOX, provider_in_words
from animatic.takes.money.amounts import Quote, dollars, price_of
from animatic.takes.schemas import PriceClass

MOST_NAMED = 20

RequestsByRow = Mapping[int, Mapping[str, Any]]
"""Requests of rows, by row: the model and the inputs in short."""


class _Entry(NamedTuple):
    """One row and take; `at` is its place among the rows that it is of."""

    at: int
    row: int
    take: int
    shot_id: str | None
    digest: bytes


_KEYS: tuple[Callable[[_Entry], object], ...] = (
    lambda each: (each.row, each.take, each.digest, each.shot_id),
    lambda each: (each.shot_id, each.take, each.digest),
    lambda each: (each.row, each.take, each.digest),
    lambda each: (each.shot_id, max(each.take, 1)),
    lambda each: (each.row, max(each.take, 1)),
)
"""By what two entries are the same row and take, the surest first; the take of an invalid row may be its first."""


def moved_rows(
    planned: PlannedRows, now: PlannedRows, asked_now: Callable[[Collection[int]], RequestsByRow]
) -> list[str]:
    """Return a line for each row of a manifest that is not as a plan has it, in the order of rows; empty for none.

    `asked_now` gives what rows of the manifest ask for now.
    """
    if _is_same(planned, now):
        return []
    pairs, gone, new = _matched(_entries(planned), _entries(now))
    lines: dict[tuple[int, int], str] = {}
    changed = [(old, each) for old, each in pairs if old.digest != each.digest or old.shot_id != each.shot_id]
    named = changed[:MOST_NAMED]
    asked_by_row = asked_now([each.row for _, each in named]) if named else {}
    for old, each in changed:
        asked = asked_by_row.get(each.row)
        before = planned.asked[old.at].as_py() if asked else None
        lines.setdefault((old.row, 0), f"{_named(old)}: {_change(old, each, before, asked)}")
    shifts = [(old, each) for old, each in pairs if old.row != each.row and old.digest == each.digest]
    lines |= {((first, 1)): text for first, text in _shifts(shifts)}
    known, there = {old.row for old, _ in pairs}, {each.row for _, each in pairs}
    for old in gone:
        what = f"take {old.take} is gone" if old.row in known else "gone"
        lines.setdefault((old.row, 2), f"{_named(old)}: {what}")
    for each in new:
        what = f"take {each.take} is new" if each.row in there else "new, not in the plan"
        lines.setdefault((each.row, 3), f"{_named(each)}: {what}")
    return [lines[key] for key in sorted(lines)]


def _is_same(planned: PlannedRows, now: PlannedRows) -> bool:
    numbers = ((planned.row, now.row), (planned.take, now.take), (planned.digest, now.digest))
    return all(np.array_equal(old, new) for old, new in numbers) and planned.shot_id.equals(now.shot_id)


def _entries(rows: PlannedRows) -> list[_Entry]:
    columns = (rows.row.tolist(), rows.take.tolist(), rows.shot_id.to_pylist(), rows.digest.tolist())
    return [_Entry(at, *values) for at, values in enumerate(zip(*columns, strict=True))]


def _matched(
    old: Sequence[_Entry], new: Sequence[_Entry]
) -> tuple[list[tuple[_Entry, _Entry]], list[_Entry], list[_Entry]]:
    """Return the entries that belong together, those that are gone, and those that are new."""
    pairs: list[tuple[_Entry, _Entry]] = []
    for key in _KEYS:
        waiting: defaultdict[object, list[_Entry]] = defaultdict(list)
        for each in reversed(new):
            waiting[key(each)].append(each)
        left: list[_Entry] = []
        taken: set[int] = set()
        for each in old:
            if same := waiting.get(key(each)):
                pairs.append((each, same.pop()))
                taken.add(pairs[-1][1].at)
            else:
                left.append(each)
        old, new = left, [each for each in new if each.at not in taken]
    return pairs, list(old), list(new)


def _named(entry: _Entry) -> str:
    return f"row {entry.row:,}" + (f" ({one_line(entry.shot_id, 60)})" if entry.shot_id else "")


def _change(old: _Entry, new: _Entry, before: str | None, asked: Mapping[str, Any] | None) -> str:
    """Return the names of the columns that changed, with short values; else that it changed."""
    found = [] if old.shot_id == new.shot_id or old.digest != new.digest else [_values("shot_id", old[3], new[3])]
    if 0 in {old.take, new.take}:
        return "invalid now" if new.take == 0 else "valid now"
    if before is not None and asked is not None:
        was: dict[str, Any] = json.loads(before)
        names = [name for name in {**was, **asked} if was.get(name) != asked.get(name)]
        found += [_values(name, was.get(name), asked.get(name)) for name in names]
    return "; ".join(found) or "changed"


def _values(name: str, old: Any, new: Any) -> str:
    """Return a column that changed, with its values where they are kept whole."""
    if any(isinstance(each, str) and each.startswith("sha256:") for each in (old, new)):
        return f"{escaped(name)} changed"
    return f"{escaped(name)}: {_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    return "blank" if value is None else one_line(json.dumps(value, ensure_ascii=False), 60)


def _shifts(pairs: Sequence[tuple[_Entry, _Entry]]) -> Iterator[tuple[int, str]]:
    """Yield the first row and a line for each run of rows that moved together."""
    rows = sorted({(old.row, each.row) for old, each in pairs})
    runs: list[list[tuple[int, int]]] = []
    for old, new in rows:
        if runs and (old, new) == (runs[-1][-1][0] + 1, runs[-1][-1][1] + 1):
            runs[-1].append((old, new))
        else:
            runs.append([(old, new)])
    for run in runs:
        (first, to), (last, end) = run[0], run[-1]
        is_one = len(run) == 1
        yield (
            first,
            f"row {first:,} is row {to:,} now" if is_one else f"rows {first:,}-{last:,} are rows {to:,}-{end:,} now",
        )


@dataclass(frozen=True, slots=True)
class Allowed:
    """Permission to buy takes whose price is not known.

    Attributes:
        microusd: the most that a take of a model may cost, by model.
        accepts_estimates: the plan's estimates count as prices too.
    """

    microusd: Mapping[str, int]
    accepts_estimates: bool = False

    def most_for(self, price: PricePart) -> int | None:
        """Return the most that a take may cost whose price a plan does not know; None where it may not be bought."""
        named = self.microusd.get(price.model)
        if named is not None:
            return named
        estimate = price.estimated_usd if self.accepts_estimates else None
        return None if estimate is None else round(float(estimate) * 1_000_000)


@dataclass(frozen=True, slots=True)
class Agreed:
    """The prices of a plan held against those of now.

    Attributes:
        moved: a line for each price that is another now.
        unpriced: models whose takes have no price, and which nothing allows.
        stand_ins: prices of takes for which WaveSpeed names none, by class.
        max_microusd: the most that the run may reserve.
    """

    moved: Sequence[str]
    unpriced: Sequence[str]
    stand_ins: Mapping[PriceClass, int]
    max_microusd: int


def agreed_prices(
    file: PlanFile, plan: Plan, quotes: Mapping[PriceClass, Quote], setting: int | None, allowed: Allowed
) -> Agreed:
    """Hold the prices of a plan's file against today's; `plan` is what is left to buy of it."""
    moved, unpriced, stand_ins, most = list[str](), dict[str, None](), dict[PriceClass, int](), 0
    numbers = {price.price_class: number for number, price in enumerate(file.head.prices)}
    for price_class, count in plan.price_classes.items():
        number = numbers.get(price_class)
        if number is None:
            moved.append(f"price of {one_line(price_class.model, 100)}: it depends on other inputs now")
            continue
        price = file.head.prices[number]
        quote = quotes.get(price_class)
        now, before, most_each = price_of(quote, setting), price.microusd, price.microusd
        if before is None:
            most_each = allowed.most_for(price)
            if most_each is None:
                unpriced[price.model] = None
                continue
            stand_ins[price_class] = most_each
            floor = quote.microusd if quote is not None and now is None else 0
            is_moved = (now or floor) > most_each
            now = now or floor or None
        else:
            is_moved = now != before
        if is_moved:
            moved.append(_price_line(file, number, now, most_each, count))
        most += (most_each or 0) * count * file.head.options.attempts
    return Agreed(moved, list(unpriced), stand_ins, most)


def _price_line(file: PlanFile, number: int, now: int | None, most: int | None, count: int) -> str:
    price = file.head.prices[number]
    inputs = ", ".join(f"{escaped(name)} {_shown(value)}" for name, value in price.inputs.items())
    of = f"{one_line(price.model, 100)}, {inputs}" if inputs else one_line(price.model, 100)
    before = f"at most {dollars(most or 0)}" if price.microusd is None else dollars(price.microusd)
    rows = ranges(file.rows_priced(number))
    more = ""
    if now is not None and most is not None and now > most:
        more = f", {dollars((now - most) * count)} more"
    is_one = rows.isdecimal()
    return (
        f"price of {of}: {before} -> {'not known' if now is None else dollars(now)} "
        f"({'row' if is_one else 'rows'} {rows}: {counted(count, 'take')}{more})"
    )


def misplaced(head: HeadPart, provider: str, ledger: str, now: datetime) -> list[str]:
    """Return a line for each reason for which a plan cannot be carried out here, or now."""
    found: list[str] = []
    if now > head.valid_until:
        found.append(f"it was good until {shown_moment(head.valid_until)}; it is {shown_moment(now)}")
    if now < head.made_at and (head.made_at - now).total_seconds() > 300:
        found.append(f"it was made at {shown_moment(head.made_at)}, and this machine says {shown_moment(now)}")
    if head.provider != provider:
        here, there = (_provider(each) for each in (provider, head.provider))
        found.append(f"it buys from {there}; this run would buy from {here}")
    if head.ledger != ledger:
        found.append(
            f"it was held against the ledger {one_line(head.ledger, 200)}; this run has {one_line(ledger, 200)}"
        )
    return found


def _provider(name: str) -> str:
    return "the embedded sandbox (--sandbox)" if name == EMBEDDED_SANDBOX else one_line(provider_in_words(name), 200)
