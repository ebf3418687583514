"""The `reconcile` command: settle what is unknown by WaveSpeed's list, or by hand. Needs no Prefect; buys nothing."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from animatic import storage
from animatic.buying.reconcile import Reconciled, poll_stuck, reconcile, stuck_takes
from animatic.buying.recovery import Recovered, recover
from animatic.errors import ApiRefusedError, FixInputError
from animatic.errors.text import command, one_line, reason_of, shell_line
from animatic.ledger import Ledger, Open, Orphan, ledger_name, look_into
from animatic.planning.account_list import Found, candidates_of, read_account
from animatic.results.exit_codes import DONE, UNCLEAR
from animatic.results.summary import orphan_lines
from animatic.takes.models import DEFAULT_MODEL
from animatic.takes.states import PREDICTION_ID, State
from animatic.wavespeed.client import WaveSpeedClient
from flows.command.embedded import provider
from flows.command.next_steps import NextStep, as_dict, commands_in, reconcile_argv
from flows.session import new_run_id
from flows.settings import Settings
from flows.terminal import PlainConsole, say_json


@dataclass(frozen=True, slots=True)
class ByHand:
    """Decisions by a person.

    Attributes:
        adopt: `FINGERPRINT=PREDICTION_ID` each: the take is that prediction.
        absent: fingerprints of takes that were not bought.
        abandon: fingerprints of takes that were bought and are given up.
    """

    adopt: Sequence[str] = ()
    absent: Sequence[str] = ()
    abandon: Sequence[str] = ()

    @property
    def adoptions(self) -> list[tuple[str, str]]:
        """The pairs.

        Raises:
            FixInputError: one is no pair.
        """
        pairs = [text.partition("=") for text in self.adopt]
        for text, (fingerprint, _, prediction_id) in zip(self.adopt, pairs, strict=True):
            if not fingerprint or re.fullmatch(PREDICTION_ID, prediction_id) is None:
                raise FixInputError(f"--adopt: found {text!r}; allowed: FINGERPRINT=PREDICTION_ID")
        return [(fingerprint, prediction_id) for fingerprint, _, prediction_id in pairs]


@dataclass(slots=True)
class ReconcileResult:
    """Result of the command, and the takes that are still open.

    Attributes:
        settle_s: how far apart two readings of WaveSpeed's list must be.
        is_of_sandbox: whether the takes are the embedded sandbox's.
    """

    settle_s: float = 0.0
    is_of_sandbox: bool = False
    recovered: Recovered = field(default_factory=Recovered)
    by_hand: list[str] = field(default_factory=list[str])
    reconciled: Reconciled = field(default_factory=Reconciled)
    left: list[Open] = field(default_factory=list[Open])
    orphans: list[Orphan] = field(default_factory=list[Orphan])
    restored: str = ""

    @property
    def exit_code(self) -> int:
        """0 if nothing is unknown or held any more, else 4."""
        return UNCLEAR if self.left else DONE

    def lines(self) -> list[str]:
        """Return the result for people: one line a fact, then one for each take that is still open."""
        lines = list(self.by_hand)
        if self.recovered.read_back:
            lines.append(f"{self.recovered.read_back:,} replies of dead runs were read back")
        if self.recovered.unknown:
            lines.append(f"{self.recovered.unknown:,} takes of dead runs may or may not have been bought")
        lines.append(f"reconcile: {self.reconciled.sentence}")
        lines += ["    what is proven absent was not bought; the next run buys it"] if self.reconciled.absent else []
        lines += ["    what was adopted was bought; the next run fetches it"] if self.reconciled.adopted else []
        for each in self.left:
            lines += _lines_of(each, self.settle_s, datetime.now(UTC))
        lines += self.next.lines() if self.next else []
        lines += [self.restored] if self.restored else []
        return lines + orphan_lines(self.orphans)

    @property
    def next(self) -> NextStep | None:
        """The reading that can settle what is unknown, once that is possible."""
        unknown = [each for each in self.left if each.state != State.HELD.value]
        if not unknown:
            return None
        moments = [each.settled_at(self.settle_s) or each.listed_by or each.since for each in unknown]
        text = f"read the list again after {_up(max(moments)):%H:%M:%S} UTC (ANIMATIC_SETTLE_S: {self.settle_s:.0f} s)"
        return NextStep(text, reconcile_argv(is_of_sandbox=self.is_of_sandbox))

    def as_json(self) -> str:
        """Return the result for programs, in one line."""
        counts: Counter[str] = Counter(each.state for each in self.left)
        left = [
            {
                "fingerprint": each.fingerprint,
                "name": each.name,
                "manifest": each.manifest,
                "state": each.state,
                "error": each.error,
                "settled_at": at.isoformat() if (at := each.settled_at(self.settle_s)) else None,
            }
            for each in self.left
        ]
        return json.dumps(
            {
                "adopted": self.reconciled.adopted,
                "absent": self.reconciled.absent,
                "unknown": counts["unknown"],
                "held": counts["held"],
                "redeemed": self.recovered.read_back,
                "ended": self.reconciled.ended,
                "open": left,
                "orphans": [
                    {"prediction_id": each.prediction_id, "created_at": each.created_at and each.created_at.isoformat()}
                    for each in self.orphans
                ],
                "problem": self.reconciled.problem,
                **as_dict(self.next),
            }
        )


def _lines_of(take: Open, settle_s: float, now: datetime) -> list[str]:
    """Return an open take by its name and why it is open, then what settles it."""
    name = f"{one_line(take.name, 200)} of {one_line(storage.name_of(take.manifest), 200)}, " if take.name else ""
    since = f"since {take.since:%Y-%m-%d %H:%M:%S} UTC"
    lines = [f"{take.state}: {name}{take.fingerprint[:12]}, {since}: {reason_of(take.error)}"]
    if take.state == State.HELD.value:
        return lines + [f"    {line}" for line in commands_in(take.error)]
    at = take.settled_at(settle_s)
    if at is not None:
        text = f"WaveSpeed's list did not show it; a reading after {_up(at):%H:%M:%S} UTC proves that it was not bought"
    elif take.listed_by is not None and take.listed_by > now:
        text = (
            f"WaveSpeed may have accepted it until {_up(take.listed_by):%H:%M:%S} UTC; only readings after that count"
        )
    else:
        text = f"no reading of WaveSpeed's list has counted so far; two of them, {settle_s:.0f} s apart, settle it"
    return [*lines, f"    {text}"]


def _up(moment: datetime) -> datetime:
    """Return a moment rounded up to a second, so that what is said to be possible then is."""
    return moment + timedelta(microseconds=-moment.microsecond % 1_000_000)


def run_reconcile(by_hand: ByHand, console: PlainConsole, *, sandbox: bool, as_json: bool) -> int:
    """Settle what can be settled; the exit code.

    Raises:
        FixInputError: what a person says cannot be so; nothing was changed.
        LedgerError: the ledger cannot be trusted with money now.
    """
    with provider(Settings.from_environment(), new_run_id(), sandbox=sandbox) as settings:
        outcome = asyncio.run(settle_ledger(by_hand, settings))
    for line in outcome.lines():
        console.print(line)
    if as_json:
        say_json(outcome.as_json())
    return outcome.exit_code


async def settle_ledger(by_hand: ByHand, settings: Settings) -> ReconcileResult:
    """Settle what is open by receipt, by hand, then by the list.

    Raises:
        FixInputError: what a person says cannot be so; nothing was changed.
    """
    provider, outcome = settings.origin, ReconcileResult(settings.settle_s, not settings.is_real)
    with look_into(settings.ledger, may_be_restored=True) as ledger:
        if ledger is None:
            if by_hand.adopt or by_hand.absent or by_hand.abandon:
                name = ledger_name(settings.ledger)
                raise FixInputError(f"ledger {name}: there is none yet, so there is no take to settle")
            return outcome
        await ledger.require_sound()
        async with WaveSpeedClient(settings.base_url, settings.require_key(), network=settings.network) as client:
            outcome.recovered = await recover(ledger, client.latest_time)
            await _by_hand(by_hand, ledger, client, provider, outcome)
            outcome.reconciled = await reconcile(
                ledger, client, provider, settings.settle_s, adopts_by_window=settings.adopts_by_window
            )
            stuck = await stuck_takes(ledger, provider, settings.give_up_s)
            outcome.reconciled.ended = await poll_stuck(ledger, client, stuck, settings.give_up_s, new_run_id())
            await _poll_through(ledger, client, settings, outcome)
        outcome.left = await ledger.open_takes(provider)
        outcome.orphans = await ledger.orphans(provider)
    return outcome


async def _poll_through(ledger: Ledger, client: WaveSpeedClient, settings: Settings, outcome: ReconcileResult) -> None:
    """Of a restored ledger: read all that the account made in 7 days, and remember what belongs to no take."""
    noted = ledger.noted_intents()
    lacks, is_done = await ledger.lacking(noted)
    if not lacks or is_done:
        return
    found = Found()
    models = list(dict.fromkeys([DEFAULT_MODEL, *await ledger.models_bought(settings.origin)]))
    listed = await read_account(client, models, found)
    if found.problem is not None:
        outcome.restored = (
            f"the account's list cannot be read ({found.problem}); the ledger cannot be accepted before it was:\n"
            f"    {shell_line(reconcile_argv(is_of_sandbox=not settings.is_real))}"
        )
        return
    await ledger.note_unbound(settings.origin, candidates_of(listed))
    await ledger.note_looked_for(noted)
    outcome.restored = (
        f"this ledger was restored and lacks {lacks:,} submissions; the account made {len(listed):,} predictions in "
        "the last 7 days, and those that belong to no take are named below. Take over what results tables (RESULTS) "
        f"know of them, then declare it complete:\n    {command('ledger', 'import', 'RESULTS')}\n"
        f"    {command('ledger', 'accept')}"
    )


async def _by_hand(
    by_hand: ByHand, ledger: Ledger, client: WaveSpeedClient, provider: str, outcome: ReconcileResult
) -> None:
    """Apply a person's decisions. Adoptions are looked up first: an id that the API does not know is a typing error."""
    adoptions = by_hand.adoptions
    for fingerprint, prediction_id in adoptions:
        try:
            await client.result(prediction_id)
        except ApiRefusedError as error:
            raise FixInputError(
                f"--adopt {fingerprint}={prediction_id}: WaveSpeed does not know that prediction ({error}). "
                "Nothing was changed"
            ) from None
    outcome.by_hand = await ledger.settle_by_hand(provider, adoptions, by_hand.absent, by_hand.abandon)
