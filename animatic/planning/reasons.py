"""Reasons for which takes of a plan are to be bought, for people to read before they say yes. Buys nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from animatic.ledger import Ledger
from animatic.manifest.header import START_FROM
from animatic.planning.plan import Plan
from animatic.takes.chains import source_of
from animatic.takes.inputs import Inputs, read_request
from animatic.takes.schemas import PriceClass
from animatic.takes.shots import Take
from animatic.takes.states import State

MOST_NAMED = 20
MOST_GROUPS = 10

NEW, ANOTHER_TAKE, AGAIN = "new", "another take of the same shot", "failed before; --retry-failed buys it again"


@dataclass(frozen=True, slots=True)
class ToBuy:
    """One take to buy.

    Attributes:
        name: shot_id and number of the take.
        price_class: what its price depends on.
        reason: why it is to be bought.
    """

    name: str
    price_class: PriceClass
    reason: str


@dataclass(frozen=True, slots=True)
class Reasons:
    """The takes to buy: by name while they are few, else counted by storyboard.

    Attributes:
        takes: at most MOST_NAMED of them, or none.
        groups: takes by storyboard where there are more, in manifest order.
    """

    takes: Sequence[ToBuy] = ()
    groups: Mapping[str, int] | None = None


async def find_reasons(ledger: Ledger | None, plan: Plan, changes: Mapping[str, str], uri: str) -> Reasons:
    """Name the takes to buy and why; `uri` is the manifest's own, as the ledger knows it.

    `changes` are the reasons of those that are bought again since a still has changed, by fingerprint.
    """
    if not plan.to_buy:
        return Reasons()
    if plan.to_buy > MOST_NAMED:
        return Reasons(groups=plan.storyboards_to_buy())
    takes = list(plan.takes_to_buy())
    records = {} if ledger is None else await ledger.look_up([take.fingerprint for take in takes])
    found: list[ToBuy] = []
    for take in takes:
        record = records.get(take.fingerprint)
        if take.fingerprint in changes:
            reason = changes[take.fingerprint]
        elif record is not None and record.state in {State.FAILED, State.REJECTED}:
            reason = AGAIN
        else:
            earlier = [] if ledger is None else await ledger.requests_of_shot(take.shot.shot_id, uri)
            reason = reason_for(take, [read_request(text) for text in earlier])
        found.append(ToBuy(take.name, take.shot.price_class, reason))
    return Reasons(found)


def reason_for(take: Take, earlier: Sequence[tuple[Inputs, int | None]]) -> str:
    """Return why a take is to be bought.

    Args:
        take: one that the ledger has not bought.
        earlier: takes of the same shot that were bought, oldest first: inputs and number.
    """
    same = [inputs for inputs, number in earlier if number == take.number]
    if same:
        changed = changed_inputs(same[-1], take.shot.inputs)
        if any(source_of(identity) for identity in take.shot.paths):
            changed = [START_FROM if name == "image" else name for name in changed]
        return f"{' and '.join(changed)} changed" if changed else NEW
    if any(not changed_inputs(inputs, take.shot.inputs) for inputs, _ in earlier):
        return ANOTHER_TAKE
    return NEW


def changed_inputs(before: Inputs, after: Inputs) -> list[str]:
    """Return the names of inputs that differ in canonical form; the still is called `image`."""
    old, new = dict(before.canonical()), dict(after.canonical())
    return [name for name in new if old.get(name) != new[name]]
