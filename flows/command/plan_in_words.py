"""The plan in words: what would be bought and why, what it costs, how long it takes. Asks nothing."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from animatic.errors import AccountRefusedError, AnimaticError, ApiRefusedError
from animatic.money.amounts import as_number, dollars
from animatic.pace.duration import in_words, planned_duration_s
from animatic.pace.latencies import USUAL_LATENCY_S
from animatic.pace.limits import LEVELS, Limits
from animatic.planning.earlier import Earlier
from animatic.planning.plan import Plan, cost_of
from animatic.planning.priced import PricedPlan
from animatic.planning.reasons import MOST_GROUPS, Reasons
from animatic.takes.schemas import PriceClass
from animatic.takes.states import State
from animatic.text import counted, reason_of
from flows.command.next_steps import as_dict
from flows.terminal import printable

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
        balance_usd: of the account; None where it is not known.
        level: of the account, with its limits.
        damages: what is wrong with stills that were decoded, by SHA-256; None where nothing is.
        latency_s: mean latency of takes, the usual one where none was seen yet.
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
    balance_usd: float | None = None
    level: str = ""
    limits: Limits = LEVELS["bronze"]
    damages: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    latency_s: float = USUAL_LATENCY_S

    @property
    def plan(self) -> Plan:
        """The plan without its prices."""
        return self.priced.plan

    @property
    def refusal(self) -> str | None:
        """Why nothing of the plan can be bought with the key at hand; None where it may be, or needs no purchase."""
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
        if plan.to_do:
            lines.append(f"  time: {self._time_in_words()}")
        lines.append(f"  ledger: {self.ledger}{' (new: it holds no take of this provider)' if self.is_new else ''}")
        return lines + [f"  note: {line}" for line in self._notes()]

    def _notes(self) -> list[str]:
        found = [note for note in (self.room_note, self.replaced_note) if note is not None]
        return [*self.earlier.lines(), *found, *self.plan.manifest.warnings]

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
        prices = self.priced.prices
        return [
            f"    {printable(each.name)}: {each.reason}" + (f", {dollars(price)}" if price is not None else "")
            for each in self.reasons.takes
            for price in (prices.get(each.price_class),)
        ]

    def _cost(self) -> list[str]:
        """Return the cost; where it is not known, first why, then what is known of it, then what to do."""
        cost, floor, counts = self.priced.cost, self.priced.floor, self.plan.price_classes
        if cost is not None:
            balance = "" if self.balance_usd is None else f"; the account has {dollars(round(self.balance_usd * 1e6))}"
            return [f"{dollars(cost)}{balance}"]
        if not self.has_key:
            return ["not known: WaveSpeed cannot be asked without a key"]
        if refused := next((each for each in self.problems.values() if isinstance(each, AccountRefusedError)), None):
            return [f"not known: WaveSpeed refuses the key or the account ({refused.code})"]
        unpriced = [each for each, price in self.priced.prices.items() if price is None]
        base = (
            ""
            if floor is None
            else f"from {dollars(floor)} (base prices); ANIMATIC_PRICE_USD sets what one take costs at most"
        )
        if base and not any(each in self.problems for each in unpriced):
            return [base]
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
        return lines

    @property
    def duration_s(self) -> float:
        """Return about how long the run takes, in seconds."""
        return planned_duration_s(self.plan.to_buy, self.plan.resumable, self.limits, self.latency_s)

    def _time_in_words(self) -> str:
        limits = self.limits
        starts = f"{limits.starts_per_minute:,} starts a minute, {limits.max_in_flight:,} at once"
        hint = "; set ANIMATIC_ACCOUNT_LEVEL if the account has more" if self.level == "bronze" else ""
        return f"about {in_words(self.duration_s)} at {self.level} ({starts}){hint}"

    def as_json(self) -> str:
        """Return the plan for programs."""
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
                "cost_usd": as_number(self.priced.cost),
                "cost_from_usd": as_number(self.priced.floor),
                **as_dict(None),
                "no_quote": sorted({str(each) for each in self.problems.values()}),
                "balance_usd": self.balance_usd,
                "duration_s": round(self.duration_s),
                "to_buy": [{"take": each.name, "reason": each.reason} for each in self.reasons.takes],
                "ledger": self.ledger,
                "ledger_is_new": self.is_new,
                "made_already": self.earlier.found.takes if self.earlier.found else [],
                "bought_at_another_address": list(self.earlier.moved),
            }
        )
