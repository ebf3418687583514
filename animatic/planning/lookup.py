"""The ledger's knowledge of a manifest's takes, of runs that died, and of open takes elsewhere. Buys nothing."""

import asyncio
import hashlib
from collections.abc import Sequence

from animatic.ledger import LONG_ROWS, IsDead, Ledger, Open, PlannedTake, Request, dead_runs, look_into, no_run_is_dead
from animatic.manifest import Manifest
from animatic.planning.chains import resolve_chains
from animatic.planning.plan import Plan, make_plan
from animatic.planning.purchases import Purchases
from animatic.takes.canonical import canonical_provider, is_signed_by_path
from animatic.takes.chains import NO_CHOICES, Choices
from animatic.takes.fingerprints import FingerprintSet, hex_of
from animatic.takes.snapshot import LedgerSnapshot
from animatic.takes.states import BuyingPolicy, State

PARTS_AT_ONCE, OF_LONG_AT_ONCE = 4, 16
"""Batches of rows that are written down in one transaction: an index of a million names is written over by each."""

_DIGESTS_AT_ONCE = 1 << 16


async def find_moved(ledger: Ledger | None, plan: Plan) -> list[str]:
    """Return the names of takes to buy that were bought before under another address of the still.

    Only of stills whose address carries its authorisation in the path: nothing tells that two of them are one picture.
    """
    if ledger is None or not plan.manifest.has_signed_paths:
        return []
    again = plan.renewals
    asked = {
        take.name: Request(take.shot.model, take.shot.inputs.without("image").canonical(), take.number)
        for take in plan.takes_to_buy()
        if any(map(is_signed_by_path, take.shot.media)) and take.fingerprint not in again
    }
    bought = await ledger.bought_among(canonical_provider(plan.manifest.provider), {*asked.values()})
    return [name for name, request in asked.items() if request in bought]


async def find_snapshot(
    ledger: Ledger | None, manifest: Manifest, run_id: str | None = None, is_dead: IsDead = no_run_is_dead
) -> LedgerSnapshot:
    """Return the ledger's knowledge of the takes of a manifest; empty if there is no ledger yet.

    A take that the ledger knows by an older fingerprint only is looked up by that: an alias with attempts of its own.
    """
    if ledger is None:
        return LedgerSnapshot.empty(len(manifest.digests))
    return await ledger.snapshot(manifest.digests, _old_names(manifest), run_id, is_dead)


def _old_names(manifest: Manifest) -> dict[str, list[str]]:
    """Fingerprints from before there was a canonical form, by the take that each is now."""
    names: dict[str, list[str]] = {}
    takes = hex_of(manifest.digests[manifest.old_of])
    for take, old in zip(takes, hex_of(manifest.old_digests), strict=True):
        names.setdefault(take, []).append(old)
    return names


async def know_old_names(ledger: Ledger, manifest: Manifest) -> None:
    """Make aliases of older fingerprints that the ledger holds and that are takes of this manifest now."""
    names = _old_names(manifest)
    if names:
        await ledger.know_aliases(names)


async def record_planned(ledger: Ledger, manifest: Manifest, uri: str) -> None:
    """Write down which shots ask for which takes, once for each change of the manifest or its stills."""
    digest = hashlib.sha256(manifest.sha256.encode())
    for start in range(0, len(manifest.digests), _DIGESTS_AT_ONCE):
        digest.update(manifest.digests[start : start + _DIGESTS_AT_ONCE].tobytes())
    content = digest.hexdigest()
    if await ledger.content_of(uri) == content and await ledger.rows_of(uri) is not None:
        return
    waiting: list[Sequence[PlannedTake]] = []
    for part in manifest.parts():
        waiting.append([PlannedTake(*each) for each in part.names()])
        if len(waiting) >= (OF_LONG_AT_ONCE if part.row > LONG_ROWS else PARTS_AT_ONCE):
            await _add_planned(ledger, uri, waiting)
    await _add_planned(ledger, uri, waiting)
    await ledger.finish_planned(uri, content, manifest.num_rows)


async def _add_planned(ledger: Ledger, uri: str, waiting: list[Sequence[PlannedTake]]) -> None:
    """Write down what waits, all in one transaction, and forget it."""
    await asyncio.gather(*(ledger.add_planned(uri, asked) for asked in waiting))
    waiting.clear()


async def find_open(ledger: Ledger, manifest: Manifest, uri: str, ledger_url: str) -> tuple[list[Open], list[Open]]:
    """Return open takes that the manifest's table does not show: its own of earlier runs, and of other manifests.

    A live run looks after its own.
    """
    dropped: list[Open] = []
    elsewhere: list[Open] = []
    found = await ledger.open_takes(manifest.provider, also=(State.SUBMITTING,))
    if not found:
        return dropped, elsewhere
    takes, is_dead = FingerprintSet(manifest.digests), dead_runs(ledger_url)
    for each in found:
        is_left = is_dead(each.run_id)
        if each.state == State.SUBMITTING and not is_left:
            continue
        if each.take not in takes:
            (dropped if each.manifest == uri and is_left else elsewhere).append(each)
        elif each.fingerprint != each.take:  # an alias with an attempt of its own, which the take's row does not show
            dropped.append(each)
    return dropped, elsewhere


async def is_new_ledger(ledger: Ledger | None, provider: str) -> bool:
    """Tell if the ledger holds no take of this provider."""
    return ledger is None or await ledger.is_new(provider)


async def plan_takes(  # noqa: PLR0913, PLR0917 - a manifest, and what it is held against
    ledger: Ledger | None,
    manifest: Manifest,
    policy: BuyingPolicy,
    run_id: str | None = None,
    is_dead: IsDead = no_run_is_dead,
    choices: Choices = NO_CHOICES,
    purchases: Purchases | None = None,
) -> Plan:
    """Plan a manifest against an open ledger; None is one without takes. Chained shots get their sources here.

    Nothing but `purchases` is to be bought, where they are given.
    """
    resolved = await resolve_chains(ledger, manifest, choices, is_dead)
    plan = make_plan(resolved, await find_snapshot(ledger, resolved, run_id, is_dead), policy)
    return plan if purchases is None else purchases.within(plan)


async def plan_against(
    ledger_url: str, manifest: Manifest, policy: BuyingPolicy, choices: Choices = NO_CHOICES
) -> Plan:
    """Plan a manifest against a ledger that need not exist."""
    with look_into(ledger_url) as ledger:
        return await plan_takes(ledger, manifest, policy, is_dead=dead_runs(ledger_url), choices=choices)
