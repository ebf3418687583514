"""Steps from a checked manifest to a priced plan, in their order: the command's preview and the flow both go them.

What decodes, looks and quotes is given to them: with task runs of Prefect, or without. They buy nothing.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from animatic.ledger import IsDead, Ledger, no_run_is_dead
from animatic.manifest import Manifest
from animatic.planning.changes import Changes, find_changes, renewed
from animatic.planning.decided import unknown_decisions
from animatic.planning.earlier import Earlier, find_earlier
from animatic.planning.estimates import Estimate, find_estimates
from animatic.planning.fewer_rows import FewerRows, find_fewer_rows
from animatic.planning.gone_clips import find_gone
from animatic.planning.lookup import is_new_ledger, plan_takes
from animatic.planning.plan import Plan
from animatic.planning.priced import PricedPlan
from animatic.planning.purchases import Purchases
from animatic.planning.sound import SoundPlanning, ending_note
from animatic.takes.chains import NO_CHOICES, Choices
from animatic.takes.schemas import PriceClass
from animatic.takes.seen_stills import LookedAt
from animatic.takes.states import BuyingPolicy
from animatic.wavespeed.client import WaveSpeedClient


@dataclass(frozen=True, slots=True)
class Wanted:
    """Takes of a manifest that a run is to see to.

    Attributes:
        policy: which of them may be bought.
        choices: of people, on takes that others start from.
        purchases: the only ones to buy, where a plan's file names them.
        run_id: of the run itself; its own takes are not another run's.
        is_dead: tells if a run has ended without saying so.
    """

    policy: BuyingPolicy
    choices: Choices = NO_CHOICES
    purchases: Purchases | None = None
    run_id: str | None = None
    is_dead: IsDead = no_run_is_dead


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan as the ledger and the stills are now.

    Attributes:
        changes: stills on the web that have changed since takes were bought with them.
        looked: what was seen of stills on the web, by URL, where they were looked at.
        is_new: whether the ledger holds no take of this account yet.
    """

    plan: Plan
    changes: Changes
    looked: Mapping[str, LookedAt]
    is_new: bool


async def make_sound_plan(
    ledger: Ledger | None, checked: Manifest, sound: SoundPlanning, wanted: Wanted, origin: str
) -> Planned:
    """Hold a manifest against the ledger, and see that the stills of what there is to buy can be used.

    Where stills on the web are looked at, those of completed takes are held against what was bought with. A ledger is
    new where it holds no take of this origin.

    Raises:
        ManifestError, SettingsError, LocationError: as `SoundPlanning.plan` does.
    """
    policy, purchases = wanted.policy, wanted.purchases
    is_new = await is_new_ledger(ledger, origin)
    sound.find_gone = functools.partial(find_gone, ledger)
    plan_of = functools.partial(
        plan_takes,
        ledger,
        policy=policy,
        run_id=wanted.run_id,
        is_dead=wanted.is_dead,
        choices=wanted.choices,
        purchases=purchases,
    )
    plan, changes = await sound.plan(checked, plan_of), Changes()
    if ledger is not None and sound.look is not None:
        changes = await find_changes(ledger, plan, sound.look, sound.looked)
        plan = renewed(plan, changes, policy=policy, purchases=purchases)
    return Planned(plan, changes, sound.looked, is_new)


@dataclass(frozen=True, slots=True)
class Notes:
    """Facts about a plan that a person should know before anything is bought.

    Attributes:
        fewer: that the manifest has lost most of its rows since it was last planned.
        earlier: takes to buy that were bought before, by the account's list or under another address.
        unknown: a line on decisions about takes that are nowhere.
    """

    fewer: FewerRows | None
    earlier: Earlier
    unknown: Sequence[str]


async def find_notes(
    ledger: Ledger | None, planned: Planned, uri: str, choices: Choices, client: WaveSpeedClient | None
) -> Notes:
    """Find out what a person should know; `client` where the account's list of predictions may be read."""
    plan = planned.plan
    manifest = plan.manifest
    return Notes(
        await find_fewer_rows(ledger, manifest.name, manifest.num_rows, uri),
        await find_earlier(ledger, plan, client, is_new=planned.is_new),
        await unknown_decisions(ledger, manifest, choices),
    )


def note_lines(planned: Planned, notes: Notes, now: datetime, duration_s: float, *, is_bought: bool) -> list[str]:
    """Return warnings of a run that goes on by itself; `is_bought` where takes of changed stills are bought again."""
    ending = ending_note(planned.looked, now, duration_s)
    return [
        *notes.earlier.lines(),
        *notes.unknown,
        *planned.changes.lines(is_bought=is_bought),
        *([] if ending is None else [ending]),
    ]


async def price_plan(
    ledger: Ledger | None, priced: PricedPlan, *, accepts_estimates: bool
) -> tuple[PricedPlan, dict[PriceClass, Estimate]]:
    """Return a plan that goes by estimates where those are accepted, and the estimates of what has no price."""
    estimates = await find_estimates(ledger, priced.plan, priced.unpriced)
    if accepts_estimates:
        priced = replace(priced, stand_ins={each: found.microusd for each, found in estimates.items()})
    return priced, estimates
