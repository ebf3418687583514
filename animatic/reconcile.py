"""Settle what is unknown by reading WaveSpeed's list of predictions. Buys nothing; what the list proves is `evidence`.

The list is read first, to its end, and only then judged against the ledger, in one transaction: whatever another run
binds meanwhile is out of the question by then, and whatever it submits later is not in what was read.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from animatic.errors import NeverAgainError, TryLaterError
from animatic.evidence import LIST_REACHES, Candidate, Claim, Scan, Span, spans_of
from animatic.ledger import settling
from animatic.ledger.desk import LedgerDesk
from animatic.ledger.settling import Orphan, Settled
from animatic.wavespeed.client import WaveSpeedClient
from animatic.wavespeed.wire import ListedPrediction

PAGE_SIZE = 100
MOST_PAGES = 2_000
TRIES_A_PAGE = 3
WAIT_S = 2.0


@dataclass(slots=True)
class Reconciled:
    """What came of it.

    Attributes:
        counts: open takes by verdict: adopt, absent, hold, wait.
        adopted, absent: fingerprints of takes that can be watched, or bought, again.
        orphans: predictions in the windows that belong to no take.
        problem: why the list could not be read to its end, if so.
    """

    counts: Counter[str] = field(default_factory=Counter[str])
    adopted: list[str] = field(default_factory=list[str])
    absent: list[str] = field(default_factory=list[str])
    orphans: list[Orphan] = field(default_factory=list[Orphan])
    problem: str | None = None

    @property
    def sentence(self) -> str:
        """One line for people."""
        words = {"adopt": "adopted", "absent": "proven absent", "hold": "held", "wait": "still unknown"}
        told = ", ".join(f"{self.counts[key]:,} {word}" for key, word in words.items() if self.counts[key])
        line = told or "nothing to settle"
        return f"{line}; the list: {self.problem}" if self.problem else line

    def add(self, settled: Settled) -> None:
        """Put the takes of one model to those of the others."""
        self.counts += settled.counts
        self.adopted += settled.adopted
        self.absent += settled.absent
        self.orphans += settled.orphans


async def reconcile(desk: LedgerDesk, client: WaveSpeedClient, provider: str, settle_s: float) -> Reconciled:
    """Read the list for the windows of everything unknown or held, and settle what it proves.

    Asks nothing of the API where there is nothing to settle. A list that cannot be read settles nothing.
    """
    result = Reconciled()
    spans = spans_of(await desk.do(settling.claims, provider), timedelta(seconds=settle_s))
    if spans:
        await client.learn_time()
    for span in spans:
        listed, scan, problem = await _scan(desk, client, provider, span, timedelta(seconds=settle_s))
        result.problem = result.problem or problem
        result.add(await desk.do(settling.settle, provider, listed, scan, settle_s))
    return result


async def open_claims(desk: LedgerDesk, provider: str) -> Sequence[Claim]:
    """What there is to settle; nothing that a run is submitting now."""
    return [claim for claim in await desk.do(settling.claims, provider) if not claim.is_live]


async def _scan(
    desk: LedgerDesk, client: WaveSpeedClient, provider: str, span: Span, settle: timedelta
) -> tuple[list[Candidate], Scan, str | None]:
    """Every prediction of a span that no take has, as far as the list reaches and lets itself be read."""
    began_at, was_told = client.clock.now(), client.clock.is_told
    after = max(span.window_from, client.clock.earliest() - LIST_REACHES)
    before = min(span.window_to, client.clock.latest())
    seen: set[str] = set()
    found: list[Candidate] = []
    problem: str | None = f"it has more than {MOST_PAGES * PAGE_SIZE:,} predictions"
    for page in range(1, MOST_PAGES + 1):
        try:
            items = await _page(client, page, span.model, after, before)
        except (TryLaterError, NeverAgainError) as error:
            problem = f"page {page}: {error}"
            break
        if not items:
            problem = None
            break
        new = {each.id: _candidate(each) for each in items if each.id not in seen}
        if not new:  # what is new in the list pushes some to the next page, but never all of a page
            problem = f"page {page} repeats what was on earlier ones"
            break
        seen |= new.keys()
        found += await desk.do(settling.unbound, list(new.values()))
    if problem is None and was_told != client.clock.is_told:
        problem = "the API told its time only while it was read"
    if problem is None:
        problem = await desk.do(settling.unseen, provider, span, began_at - settle, seen)
    return found, Scan(span, began_at, client.clock.now(), is_complete=problem is None), problem


async def _page(
    client: WaveSpeedClient, page: int, model: str, after: datetime, before: datetime
) -> tuple[ListedPrediction, ...]:
    """One page, asked for again a few times where that may help."""
    for tries_left in reversed(range(TRIES_A_PAGE)):
        try:
            found = await client.list_predictions(
                page=page, page_size=PAGE_SIZE, model=model, created_after=after, created_before=before
            )
        except TryLaterError:
            if not tries_left:
                raise
            await asyncio.sleep(WAIT_S)
        else:
            return found.items
    raise AssertionError("the last try returns or raises")


def _candidate(listed: ListedPrediction) -> Candidate:
    return Candidate(listed.id, listed.model, listed.created_at, listed.inputs)
