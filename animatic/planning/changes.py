"""Stills on the web that have changed since takes were bought with them. Buys nothing.

What a purchase saw is in the ledger; what is seen now comes from the same guarded look as that of takes to buy. A take
that was bought without a look gets the first one since, so that a later change is seen.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from animatic.errors.text import counted
from animatic.ledger import BoughtWith, Ledger
from animatic.planning.plan import Plan
from animatic.planning.purchases import Purchases
from animatic.planning.sound import Look
from animatic.takes.canonical import canonical_still
from animatic.takes.seen_stills import FRESH, LookedAt, SeenStill, change_between
from animatic.takes.states import BuyingPolicy

MOST_NAMED = 20

LookAgain = Callable[[Sequence[str], Mapping[str, SeenStill]], Awaitable[Mapping[str, LookedAt]]]
"""From URLs, and earlier looks at some of them, to what is seen there."""


def remembered(ledger: Ledger, look: LookAgain) -> Look:
    """Return a look that the ledger remembers: what was seen within the last hour is not asked for again."""

    async def look_and_remember(urls: Sequence[str]) -> Mapping[str, LookedAt]:
        looked = await look(urls, await ledger.find_looks(list(urls)))
        await ledger.remember_looks({url: found for url, found in looked.items() if isinstance(found, SeenStill)})
        return looked

    return look_and_remember


@dataclass(frozen=True, slots=True)
class ChangedTake:
    """A completed take of which a still is another one now.

    Attributes:
        since: when the still was seen that it was bought with.
        is_since_bought: false where that was the first look, after the purchase.
    """

    name: str
    fingerprint: str
    change: str
    since: datetime
    is_since_bought: bool

    @property
    def reason(self) -> str:
        """The change, for people."""
        bought = "bought with the one" if self.is_since_bought else "first compared with the one"
        return f"its still has changed: {self.change}; {bought} seen on {self.since:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class Changes:
    """Result of holding the stills of completed takes against what they were bought with.

    Attributes:
        takes: those of which a still has changed, in manifest order.
        compared: takes of which all stills were seen then and now.
        first_seen: takes that were bought without a look; a later change will be seen.
        unseen: takes with a still that cannot be used now, or was not looked at in time.
    """

    takes: Sequence[ChangedTake] = ()
    compared: int = 0
    first_seen: int = 0
    unseen: int = 0

    @property
    def reasons(self) -> dict[str, str]:
        """Reasons for which these takes are bought again, where they are, by fingerprint."""
        return {each.fingerprint: each.reason for each in self.takes}

    @property
    def fingerprints(self) -> list[str]:
        """The takes of which a still has changed."""
        return [each.fingerprint for each in self.takes]

    def lines(self, *, is_bought: bool) -> list[str]:
        """Return notes for people; `is_bought` where the changed takes are bought again."""
        lines: list[str] = []
        if self.takes and not is_bought:
            named = "; ".join(f"{each.name}: {each.reason}" for each in self.takes[:MOST_NAMED])
            more = f"; and {len(self.takes) - MOST_NAMED:,} more" if len(self.takes) > MOST_NAMED else ""
            lines.append(
                f"the stills of {counted(len(self.takes), 'take')} that are done have changed since; "
                f"--changed-stills buys them again: {named}{more}"
            )
        if self.first_seen:
            lines.append(
                f"{counted(self.first_seen, 'take')} that are done were bought without a look at the stills; they are "
                "compared with what is seen now from here on"
            )
        if self.unseen:
            lines.append(f"the stills of {counted(self.unseen, 'take')} that are done cannot be compared: not seen now")
        return lines


def renewed(plan: Plan, changes: Changes, *, policy: BuyingPolicy, purchases: Purchases | None = None) -> Plan:
    """Return a plan that knows which takes have changed; they are bought again where the policy says so.

    Nothing but `purchases` is to be bought, where they are given.
    """
    if not changes.takes:
        return plan
    again = plan.with_changed(changes.fingerprints, policy)
    return again if purchases is None else purchases.within(again)


async def find_changes(ledger: Ledger, plan: Plan, look: Look, known: Mapping[str, LookedAt]) -> Changes:
    """Look at the stills of completed takes, and hold them against what the takes were bought with.

    `known` is what was seen of stills of takes to buy.
    """
    takes = await asyncio.to_thread(_completed_with_stills, plan)
    urls = list(dict.fromkeys(url for take in takes for url in take.urls if url not in known))
    looked = {**known, **(await look(urls) if urls else {})}
    found = await ledger.looks_bought_with([take.attempt_id for take in takes])
    then = {(each.attempt_id, each.still): each for each in found}
    counts = _Comparison(looked, then)
    for take in takes:
        counts.compare(take)
    if counts.missing:
        await ledger.bind_looks_later(counts.missing, datetime.now(UTC) - FRESH)
    return Changes(counts.changed, counts.compared, counts.first_seen, counts.unseen)


class _Bought(NamedTuple):
    """A completed take, and the URLs of its stills."""

    name: str
    fingerprint: str
    attempt_id: int
    urls: tuple[str, ...]


def _completed_with_stills(plan: Plan) -> list[_Bought]:
    """Return the completed takes with stills on the web."""
    completed = (
        (take, attempt_id, take.shot.schema.stills_on_web(take.shot.inputs))
        for take, attempt_id in plan.takes_completed(chosen_only=True)
    )
    return [
        _Bought(take.name, take.fingerprint, attempt_id, tuple(urls)) for take, attempt_id, urls in completed if urls
    ]


@dataclass(slots=True)
class _Comparison:
    """Takes held against their purchases, one after the other."""

    looked: Mapping[str, LookedAt]
    then: Mapping[tuple[int, str], BoughtWith]
    changed: list[ChangedTake] = field(default_factory=list[ChangedTake])
    missing: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    compared: int = 0
    first_seen: int = 0
    unseen: int = 0

    def compare(self, take: _Bought) -> None:
        """Compare the stills of one take; the first that has changed is named."""
        attempt_id, stills = take.attempt_id, {canonical_still(url): url for url in take.urls}
        now = {still: found for still, url in stills.items() if isinstance(found := self.looked.get(url), SeenStill)}
        new = [still for still in now if (attempt_id, still) not in self.then]
        self.missing += [(attempt_id, still) for still in new]
        self.unseen += len(now) < len(stills)
        self.first_seen += bool(new)
        self.compared += len(now) == len(stills) and not new
        for still, seen in now.items():
            bought = self.then.get((attempt_id, still))
            change = None if bought is None else change_between(bought.seen, seen)
            if bought is not None and change is not None:
                of = (take.name, take.fingerprint, change, bought.seen.seen_at, not bought.is_later)
                self.changed.append(ChangedTake(*of))
                return
