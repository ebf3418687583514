"""Settle what is unknown by reading WaveSpeed's list of predictions. Buys nothing; what the list proves is `evidence`.

The list is read first, to its end, and only then judged against the ledger, in one transaction: whatever another run
binds in between is out of the question by then, and whatever it submits later is not in what was read.

Three sources say what a prediction was made of, each asked where the one before says nothing: inputs that the list
echoes, `data.input` of the prediction's own result, and the bill. The bill names predictions and no inputs: one that it
charges and the list does not show is a contradiction, and so a candidate like those in the list.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from animatic.buying.polling.poll_history import finish_of
from animatic.errors import ApiRefusedError, ApiUnreachableError, NeverAgainError, TryLaterError
from animatic.ledger import Ledger, Orphan, Settlement, Stuck
from animatic.planning.account_list import candidates_of
from animatic.takes.evidence import (
    LIST_REACHES,
    REACH_MARGIN,
    Candidate,
    Claim,
    Reading,
    Scan,
    Span,
    contradiction_in,
    echoed,
    is_near,
    short_model,
    spans_of,
)
from animatic.wavespeed.client import WaveSpeedClient
from animatic.wavespeed.wire import PredictionPage

PAGE_SIZE = 100
MOST_PAGES = 2_000
MOST_BILL_PAGES = 200
TRIES_A_PAGE = 3
WAIT_S = 2.0
MOST_RESULTS = 200
"""Most predictions of a span whose results are asked for, to learn their inputs."""

RESULTS_AT_ONCE = 8
MOST_STUCK = 2_000
WITNESS_MARGIN = timedelta(seconds=5)
"""Margin around the creation of a known prediction, in the window that the list is asked for."""


@dataclass(slots=True)
class Reconciled:
    """Result of settling unknown takes.

    Attributes:
        counts: open takes by verdict: adopt, absent, hold, wait.
        adopted, absent: fingerprints of takes that can be watched, or bought, again.
        orphans: predictions in the windows that belong to no take.
        ended: how many takes that were held, or forgotten, turned out to be final after all.
        problem: why the list could not be read to its end, or proves nothing, if so.
    """

    counts: Counter[str] = field(default_factory=Counter[str])
    adopted: list[str] = field(default_factory=list[str])
    absent: list[str] = field(default_factory=list[str])
    orphans: list[Orphan] = field(default_factory=list[Orphan])
    ended: int = 0
    problem: str | None = None

    @property
    def sentence(self) -> str:
        """One line for people."""
        words = {"adopt": "adopted", "absent": "proven absent", "hold": "held", "wait": "still unknown"}
        counted = ", ".join(f"{self.counts[key]:,} {word}" for key, word in words.items() if self.counts[key])
        ended = f"{self.ended:,} ended after all" if self.ended else ""
        line = ", ".join(filter(None, (counted, ended))) or "nothing to settle"
        return f"{line}; WaveSpeed's list: {self.problem}" if self.problem else line

    def add(self, settled: Settlement) -> None:
        """Put the takes of one model to those of the others."""
        self.counts += settled.counts
        self.adopted += settled.adopted
        self.absent += settled.absent
        self.orphans += settled.orphans


async def reconcile(
    ledger: Ledger, client: WaveSpeedClient, provider: str, settle_s: float, *, adopts_by_window: bool = False
) -> Reconciled:
    """Read the list for the windows of everything unknown or held, and settle what it proves.

    Asks nothing of the API where there is nothing to settle. A list that cannot be read settles nothing.
    """
    result, settle = Reconciled(), timedelta(seconds=settle_s)
    claims = await ledger.claims(provider)
    spans = spans_of(claims, settle)
    if not spans:
        return result
    await client.learn_time()
    shift = await ledger.clock_shift(provider)
    for span in spans:
        scanner = _Scanner(ledger, client, provider, span, settle, shift)
        listed, scan = await scanner.read([claim for claim in claims if claim.model == span.model])
        result.problem = result.problem or scanner.problem
        result.add(await ledger.settle(provider, listed, scan, settle_s, adopts_by_window=adopts_by_window))
        if scanner.is_away:  # each further span would wait as long; the next run goes on with them
            break
    return result


async def open_claims(ledger: Ledger, provider: str) -> Sequence[Claim]:
    """Return the claims to settle. Takes that a run is submitting now are left out."""
    return [claim for claim in await ledger.claims(provider) if not claim.is_live]


async def stuck_takes(ledger: Ledger, provider: str, give_up_s: float) -> Sequence[Stuck]:
    """Return takes that were submitted long ago or are held for that."""
    before = datetime.now(UTC) - timedelta(seconds=give_up_s)
    return await ledger.stuck(provider, before, MOST_STUCK)


async def poll_stuck(
    ledger: Ledger, client: WaveSpeedClient, takes: Sequence[Stuck], give_up_s: float, run_id: str
) -> int:
    """Poll each of these takes once; return how many turned out to be final.

    One that is final becomes `completed` or `failed`; one that is not, or that WaveSpeed does not know, is `held`.
    """
    at_once = asyncio.Semaphore(RESULTS_AT_ONCE)

    async def poll(take: Stuck) -> bool:
        async with at_once:
            return await _poll_once(ledger, client, take, give_up_s, run_id)

    return sum(await asyncio.gather(*(poll(take) for take in takes)))


async def _poll_once(ledger: Ledger, client: WaveSpeedClient, take: Stuck, give_up_s: float, run_id: str) -> bool:
    try:
        prediction = await client.result(take.prediction_id)
    except ApiRefusedError:
        if not take.is_held:
            await ledger.lose(take.attempt_id, 1)
        else:
            await ledger.count_poll(take.attempt_id)
        return False
    except (TryLaterError, NeverAgainError):  # it says nothing of the prediction
        return False
    if prediction.is_final:
        contradiction = await ledger.finish(take.attempt_id, finish_of(prediction), 1, run_id)
        return contradiction is None
    if take.is_held:
        await ledger.count_poll(take.attempt_id)
    else:
        age_s = max((datetime.now(UTC) - take.submitted_at).total_seconds(), give_up_s)
        await ledger.give_up(take.attempt_id, 1, prediction.status, age_s)
    return False


class _Scanner:
    """Reads one span of the list, and what else says something about the predictions in it.

    Attributes:
        problem: why it proves no absence, once it was read.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what is read, whose it is, and by which clock
        self,
        ledger: Ledger,
        client: WaveSpeedClient,
        provider: str,
        span: Span,
        settle: timedelta,
        shift: tuple[timedelta, timedelta],
    ) -> None:
        self.problem: str | None = None
        self.is_away = False
        self._ledger, self._client, self._provider, self._span, self._settle = ledger, client, provider, span, settle
        begin, end = shift
        self._oldest = client.clock.earliest() + begin - LIST_REACHES
        after, before = max(span.window_from, self._oldest), min(span.window_to, client.clock.latest() + end)
        self._reading = Reading(after, max(after, before))
        self._found: dict[str, Candidate] = {}

    async def read(self, claims: Sequence[Claim]) -> tuple[list[Candidate], Scan]:
        """Return every prediction of the span that no take has, and how far the reading can be relied on."""
        client = self._client
        began_at, was_told = client.clock.now(), client.clock.is_told
        self.problem = await self._read_list()
        if self.problem is None and was_told != client.clock.is_told:
            self.problem = "the API sent its time only while the list was read"
        if self.problem is None:
            self.problem = await self._contradiction(began_at)
        await self._read_bill()
        await self._ask_what_they_were_made_of(claims)
        scan = Scan(self._span, began_at, client.clock.now(), is_complete=self.problem is None)
        return list(self._found.values()), scan

    async def _read_list(self) -> str | None:
        """Read the list to its end; return the reason if that failed, else None."""
        reading = self._reading
        for number in range(1, MOST_PAGES + 1):
            try:
                page = await _page(self._client, number, self._span.model, reading.after, reading.before)
            except (TryLaterError, NeverAgainError) as error:
                self.is_away = isinstance(error, ApiUnreachableError)
                return f"page {number}: {error}"
            reading.unreadable += page.unreadable
            if page.total is not None:
                reading.total = max(page.total, reading.total or 0)
            if not page.items:
                return f"page {number} is empty, and the list says that there is more" if page.has_more else None
            new = {each.id: each for each in page.items if each.id not in reading.seen}
            if not new:  # what is new in the list pushes some to the next page, but never all of a page
                return f"page {number} repeats what was on earlier ones"
            reading.seen |= new.keys()
            models = {each.model for each in new.values() if each.model}
            reading.other_models |= {each for each in models if short_model(each) != short_model(self._span.model)}
            reading.moments += [each.created_at for each in new.values() if each.created_at is not None]
            free = await self._ledger.unbound(candidates_of(new.values()))
            self._found |= {each.prediction_id: each for each in free}
        return f"it has more than {MOST_PAGES * PAGE_SIZE:,} predictions"

    async def _contradiction(self, began_at: datetime) -> str | None:
        """Return a contradiction within what was read, or with predictions that are known to exist, if there is one."""
        reading, span, ledger = self._reading, self._span, self._ledger
        surely_listed = self._oldest + REACH_MARGIN
        known_until = min(reading.before, began_at - self._settle)
        since = max(reading.after, surely_listed)
        reading.known = await ledger.known_between(self._provider, span.model, since, known_until)
        if not reading.known:
            reading.witness = await self._witness(surely_listed, began_at - self._settle)
        return contradiction_in(reading)

    async def _witness(self, since: datetime, until: datetime) -> tuple[str, bool] | None:
        """Look for the newest prediction that the list must show, wherever in the list that is."""
        known = await self._ledger.newest_known(self._provider, self._span.model, since, until)
        if known is None:
            return None
        prediction_id, created_at = known
        try:
            after, before = created_at - WITNESS_MARGIN, created_at + WITNESS_MARGIN
            for number in range(1, MOST_PAGES + 1):
                page = await _page(self._client, number, self._span.model, after, before)
                if any(each.id == prediction_id for each in page.items):
                    return prediction_id, True
                if not page.items:
                    break
        except (TryLaterError, NeverAgainError):
            pass
        return prediction_id, False

    async def _read_bill(self) -> None:
        """Add predictions that the bill charges in the window and the list does not show.

        A bill that cannot be read adds nothing: it is a second witness, and absence is proven by the list.
        """
        reading, charged, read = self._reading, dict[str, Candidate](), set[str]()
        for number in range(1, MOST_BILL_PAGES + 1):
            try:
                page = await self._client.list_charges(
                    page=number, page_size=PAGE_SIZE, start_time=reading.after, end_time=reading.before
                )
            except (TryLaterError, NeverAgainError):
                break
            new = {each.model_dump_json() for each in page.items} - read
            if not new:  # the end, or a bill that gives the same page again and again
                break
            read |= new
            for each in page.items:
                if each.prediction_id is not None and each.billing_type != "refund":
                    model = each.model if "/" in each.model else ""  # a number of its own says nothing
                    charged[each.prediction_id] = Candidate(each.prediction_id, model, each.created_at, None)
        unlisted = [each for each in charged.values() if each.prediction_id not in reading.seen]
        free = await self._ledger.unbound(unlisted)
        self._found |= {each.prediction_id: each for each in free}

    async def _ask_what_they_were_made_of(self, claims: Sequence[Claim]) -> None:
        """Ask for the result of each prediction that may be a claim's and shows no inputs: it may hold them."""
        silent = [
            each
            for each in self._found.values()
            if each.inputs is None and any(is_near(claim, each, self._settle) for claim in claims)
        ]
        at_once = asyncio.Semaphore(RESULTS_AT_ONCE)

        async def ask(candidate: Candidate) -> Candidate:
            async with at_once:
                try:
                    found = await self._client.result(candidate.prediction_id)
                except (TryLaterError, NeverAgainError):
                    return candidate
            return replace(
                candidate,
                model=candidate.model or found.model,
                created_at=found.created_at or candidate.created_at,
                inputs=echoed(found.inputs),
            )

        for each in await asyncio.gather(*(ask(candidate) for candidate in silent[:MOST_RESULTS])):
            self._found[each.prediction_id] = each


async def _page(client: WaveSpeedClient, page: int, model: str, after: datetime, before: datetime) -> PredictionPage:
    """One page, asked for again a few times where that may help."""
    for tries_left in reversed(range(TRIES_A_PAGE)):
        try:
            return await client.list_predictions(
                page=page, page_size=PAGE_SIZE, model=model, created_after=after, created_before=before
            )
        except TryLaterError:
            if not tries_left:
                raise
            await asyncio.sleep(WAIT_S)
    raise AssertionError("the last try returns or raises")
