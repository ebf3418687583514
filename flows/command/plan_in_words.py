"""The plan in words: what would be bought and why, what it costs, how long it takes. Asks nothing."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from animatic.errors import AccountRefusedError, AnimaticError, ApiRefusedError
from animatic.errors.text import counted, duration_in_words, printable, reason_of
from animatic.media.still_copies import StillCopies
from animatic.pace.duration import planned_duration_s
from animatic.pace.latencies import USUAL_LATENCY_S
from animatic.pace.limits import LEVELS, Limits
from animatic.planning.chain_notes import chain_notes
from animatic.planning.changes import Changes
from animatic.planning.earlier import Earlier
from animatic.planning.estimates import Estimate
from animatic.planning.fewer_rows import FewerRows
from animatic.planning.plan import Plan, cost_of
from animatic.planning.priced import PricedPlan
from animatic.planning.reasons import MOST_GROUPS, Reasons
from animatic.planning.sound import ending_note
from animatic.takes.money.amounts import as_number, dollars
from animatic.takes.money.budgets import DayBudget
from animatic.takes.money.funds import Funds, signed_dollars
from animatic.takes.schemas import PriceClass
from animatic.takes.seen_stills import LookedAt
from animatic.takes.states import State
from flows.command.next_steps import NextStep, as_dict

NO_KEY = "WAVESPEED_API_KEY is not set: export it to see the cost and to buy, or add --sandbox, which needs none"
NO_BELIEVED_PRICE = "WaveSpeed names no price that can be believed"
NOT_PRICED = ApiRefusedError(NO_BELIEVED_PRICE, 404)


@dataclass(frozen=True, slots=True)
class Preview:
    """A plan, what it costs, and which ledger it was held against.

    Attributes:
        ledger: where the ledger is.
        is_new: whether it holds no take of this provider.
        earlier: takes to buy that were bought before, by the account's list or under another address.
        has_key: whether WaveSpeed could be asked.
        room_note: that the clips would not fit into the archive; None where they do.
        replaced_note: that the results would replace a table of another manifest; None where they do not.
        problems: why WaveSpeed gave no quote, by price class.
        reasons: the takes to buy, and why.
        funds: what the account has beside the cost; None where it is not known.
        level: of the account, with its limits.
        still_copies: of stills that were read from an object store.
        damages: what is wrong with stills that were decoded, by SHA-256; None where nothing is.
        looked: what was seen of stills on the web, by URL, where they were looked at.
        estimates: what takes may cost whose price is not known, by price class, from what such takes cost before.
        fewer: that the manifest has lost most of its rows since it was last run.
        notes: more that a person should read before anything is bought.
        latency_s: mean latency of takes, the usual one where none was seen yet.
        changes: stills on the web that have changed since takes were bought with them.
        day: the day's budget; None where there is none.
    """

    priced: PricedPlan
    ledger: str
    is_new: bool
    earlier: Earlier
    attempts: int = 1
    has_key: bool = True
    room_note: str | None = None
    replaced_note: str | None = None
    problems: Mapping[PriceClass, AnimaticError] = field(default_factory=dict[PriceClass, AnimaticError])
    reasons: Reasons = field(default_factory=Reasons)
    funds: Funds | None = None
    level: str = ""
    limits: Limits = LEVELS["bronze"]
    damages: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    still_copies: StillCopies | None = None
    looked: Mapping[str, LookedAt] = field(default_factory=dict[str, LookedAt])
    estimates: Mapping[PriceClass, Estimate] = field(default_factory=dict[PriceClass, Estimate])
    notes: Sequence[str] = ()
    fewer: FewerRows | None = None
    latency_s: float = USUAL_LATENCY_S
    changes: Changes = field(default_factory=Changes)
    day: DayBudget | None = None

    @property
    def plan(self) -> Plan:
        """The plan without its prices."""
        return self.priced.plan

    @property
    def refusal(self) -> str | None:
        """Reason why nothing of the plan can be bought with the key at hand; None if it can, or needs no purchase."""
        if not self.plan.to_buy:
            return None
        if not self.has_key:
            return NO_KEY
        refused = (each for each in self.problems.values() if isinstance(each, AccountRefusedError))
        return next((f"{reason_of(str(each))} Nothing was bought." for each in refused), None)

    def lines(self) -> list[str]:
        """Return the plan for people."""
        plan, manifest = self.plan, self.plan.manifest
        shared = plan.rows_asking - len(plan)
        head = f"{manifest.name}: {counted(manifest.num_rows, 'row')}, {counted(plan.rows_asking, 'take')} asked for"
        if shared:
            head += f", {shared:,} of them shared with another row"
        if manifest.num_invalid:
            head += f", {counted(manifest.num_invalid, 'invalid row')}"
        lines = [head, f"  {self._counts_in_words()}", *self._takes_to_buy()]
        if plan.to_buy:
            lines += [f"  cost: {line}" if not number else f"    {line}" for number, line in enumerate(self._cost())]
        if plan.later is not None:
            lines.append(f"  budget: {plan.later.reason}")
        elif self.day is not None:
            lines.append(f"  budget: {self.day.words}")
        if plan.to_do:
            lines.append(f"  time: {self._time_in_words()}")
        lines.append(f"  ledger: {self.ledger}{' (new: it holds no take of this provider)' if self.is_new else ''}")
        return lines + [f"  note: {line}" for line in self._notes()]

    def _notes(self) -> list[str]:
        ending = ending_note(self.looked, datetime.now(UTC), self.duration_s)
        funds = None if self.funds is None else self.funds.note
        found = [note for note in (funds, self.room_note, self.replaced_note, ending) if note is not None]
        changed = self.changes.lines(is_bought=bool(self.plan.renewals))
        return [
            *([] if self.fewer is None else [self.fewer.note]),
            *self.notes,
            *self.earlier.lines(),
            *found,
            *changed,
            *chain_notes(self.plan),
            *self.plan.manifest.warnings,
        ]

    @property
    def retry_cost(self) -> int | None:
        """Return what `--retry-failed` would add, in millionths of a dollar; None where that is not known."""
        return cost_of(self.plan.retriable_classes, self.priced.prices_of(self.plan.retriable_classes))

    def _counts_in_words(self) -> str:
        """Return how many takes there are in each state, such as `1 new, 25 done, 1 failed`."""
        plan, settled = self.plan, self.plan.settled
        counts = {
            "to buy": plan.to_buy,
            "done": settled[State.COMPLETED],
            "failed": settled[State.FAILED],
            "rejected": settled[State.REJECTED],
            "being made": plan.resumable,
            "unknown or held": plan.unclear + plan.underway,
            "for later": 0 if plan.later is None else plan.later.count,
            "waiting for others": len(plan.following.blocked),
            "not chosen": plan.not_chosen,
        }
        shown = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count or name in {"to buy", "done"})
        retried = self.plan.retriable
        if not retried:
            return shown
        cost = "" if self.retry_cost is None else f" for {dollars(self.retry_cost)}"
        them = "the one that failed" if retried == 1 else f"the {retried:,} that failed or were rejected"
        return f"{shown} (--retry-failed would buy {them} again{cost})"

    def _takes_to_buy(self) -> list[str]:
        """Return a line for each take to buy while they are few, else one for each storyboard."""
        if self.reasons.groups is not None:
            groups = list(self.reasons.groups.items())
            lines = [f"    {printable(name)}: {count:,} to buy" for name, count in groups[:MOST_GROUPS]]
            rest = groups[MOST_GROUPS:]
            more = sum(count for _, count in rest)
            return [*lines, *([f"    {more:,} more to buy in {len(rest):,} storyboards"] if rest else [])]
        return [
            f"    {printable(each.name)}: {each.reason}{self._price_in_words(each.price_class)}"
            for each in self.reasons.takes
        ]

    def _price_in_words(self, price_class: PriceClass) -> str:
        """Return the price of a take with a comma before it; an estimate says so; nothing where there is neither."""
        price, estimate = self.priced.prices.get(price_class), self.estimates.get(price_class)
        if estimate is not None:
            return f", {estimate}"
        return "" if price is None else f", {dollars(price)}"

    def _cost(self) -> list[str]:
        """Return the cost; where it is not known, first why, then what is known of it, then what to do."""
        cost, floor, counts = self.priced.cost, self.priced.floor, self.plan.price_classes
        if cost is not None:
            balance = "" if self.funds is None else f"; the account has {signed_dollars(self.funds.balance)}"
            guessed = self._guessed()
            of_it = f", of which {guessed}" if guessed else ""
            most = f", at most {dollars(cost * self.attempts)} with --attempts {self.attempts}"
            return [f"{dollars(cost)}{most if self.attempts > 1 else ''}{of_it}{balance}"]
        guess = self._guess()
        if not self.has_key:
            return ["not known: WaveSpeed cannot be asked without a key", *guess]
        if refused := next((each for each in self.problems.values() if isinstance(each, AccountRefusedError)), None):
            return [f"not known: WaveSpeed refuses the key or the account ({refused.code})"]
        unpriced = [each for each, price in self.priced.prices.items() if price is None]
        base = (
            ""
            if floor is None
            else f"from {dollars(floor)} (base prices); ANIMATIC_PRICE_USD sets what one take costs at most"
        )
        if base and not any(each in self.problems for each in unpriced):
            return [base, *guess]
        reasons = Counter[str]()
        for each in unpriced:
            reasons[reason_of(str(self.problems[each])) if each in self.problems else NO_BELIEVED_PRICE] += counts[each]
        (reason, missing), *others = reasons.most_common()
        is_all = len(reasons) == 1 and len(unpriced) == len(counts)
        lines = [f"not known: {reason}" if is_all else f"not known for {counted(missing, 'take')}: {reason}"]
        lines += [f"not known for {counted(count, 'take')}: {other}" for other, count in others]
        if known := Counter({each: count for each, count in counts.items() if each not in unpriced}):
            rest = counted(known.total(), "other take")
            lines.append(f"{rest}: {dollars(cost_of(known, self.priced.prices) or 0)}")
        if base:
            lines.append(base)
        elif all(isinstance(self.problems.get(each, NOT_PRICED), ApiRefusedError) for each in unpriced):
            lines.append("ANIMATIC_PRICE_USD sets what one take costs at most, for a run without a quote")
        return [*lines, *guess]

    @property
    def estimated_microusd(self) -> int | None:
        """Cost of the plan with estimates where there is no price; None where one is missing, or none is needed."""
        if not self.estimates:
            return None
        prices = self.priced.prices
        guesses = {each: guess.microusd for each, guess in self.estimates.items()}
        return self.plan.cost({each: prices[each] or guesses.get(each) for each in prices})

    def _guessed(self) -> str:
        """Return how much of the cost is an estimate, which was accepted as a price; empty where nothing is."""
        counts = {each: count for each, count in self.plan.price_classes.items() if each in self.estimates}
        cost = cost_of(counts, self.priced.prices) if counts else None
        return f"{dollars(cost)} is {self._sources()}" if cost else ""

    def _guess(self) -> list[str]:
        """Return a line with the cost by estimates, if there is one."""
        cost = self.estimated_microusd
        if cost is None:
            return []
        return [f"about {dollars(cost)}, {self._sources()}; a limit goes by that with --accept-estimates only"]

    def _sources(self) -> str:
        """Return where the estimates come from, in words."""
        sources = list(dict.fromkeys(each.source for each in self.estimates.values()))
        return (
            sources[0]
            if len(sources) == 1
            else f"estimated from {sum(each.takes for each in self.estimates.values()):,} takes"
        )

    @property
    def duration_s(self) -> float:
        """Return about how long the run takes, in seconds."""
        return self.duration_at_s(self.limits)

    def duration_at_s(self, limits: Limits) -> float:
        """Return about how long the run takes at the limits of an account, in seconds."""
        chained = self.plan.following.longest
        return planned_duration_s(self.plan.to_buy, self.plan.resumable, limits, self.latency_s, chained)

    def _time_in_words(self) -> str:
        limits = self.limits
        starts = f"{limits.starts_per_minute:,} starts a minute, {limits.max_in_flight:,} at once"
        hint = "; set ANIMATIC_ACCOUNT_LEVEL if the account has more" if self.level == "bronze" else ""
        return f"about {duration_in_words(self.duration_s)} at {self.level} ({starts}){hint}"

    def as_json(self, kept: Mapping[str, object] | None = None, following: NextStep | None = None) -> str:
        """Return the plan for programs, with what there is to say of its file, and what to do next."""
        plan = self.plan
        return json.dumps(
            {
                "rows": plan.manifest.num_rows,
                "takes": len(plan),
                "shared": plan.rows_asking - len(plan),
                "invalid": plan.manifest.num_invalid,
                "new": plan.to_buy,
                "cached": plan.settled.total(),
                "failed": plan.settled[State.FAILED] + plan.settled[State.REJECTED],
                "retriable": plan.retriable,
                "retry_cost_usd": as_number(self.retry_cost),
                "resumable": plan.resumable,
                "unknown": plan.unclear + plan.underway,
                "waiting_for_others": len(plan.following.blocked),
                "left_for_later": 0 if plan.later is None else plan.later.count,
                "left_for_later_usd": as_number(0 if plan.later is None else plan.later.microusd),
                "limit_reached": None if plan.later is None else plan.later.limit,
                "day_budget": None if self.day is None else self.day.as_dict(),
                "cost_usd": as_number(self.priced.cost),
                "cost_from_usd": as_number(self.priced.floor),
                "most_usd": as_number(None if self.priced.cost is None else self.priced.cost * self.attempts),
                "cost_estimated_usd": as_number(self.estimated_microusd),
                "estimates": [
                    {
                        "model": price_class.model,
                        "inputs": dict(price_class.inputs),
                        "usd": as_number(each.microusd),
                        "from_takes": each.takes,
                        "of_other_inputs": not each.is_alike,
                    }
                    for price_class, each in self.estimates.items()
                ],
                **as_dict(following),
                **(kept or {}),
                "no_quote": sorted({str(each) for each in self.problems.values()}),
                "balance_usd": as_number(self.funds.balance if self.funds else None),
                "missing_usd": as_number(self.funds.missing if self.funds else None),
                "duration_s": round(self.duration_s),
                "to_buy": [{"take": each.name, "reason": each.reason} for each in self.reasons.takes],
                "changed_stills": [each.name for each in self.changes.takes],
                "ledger": self.ledger,
                "ledger_is_new": self.is_new,
                "made_already": self.earlier.found.takes if self.earlier.found else [],
                "bought_at_another_address": list(self.earlier.moved),
            }
        )
