"""The ledger's knowledge of a manifest's takes, of runs that died, and of open takes elsewhere. Buys nothing."""

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache

from animatic.ledger import aliases, planned, settling
from animatic.ledger.desk import Ledger
from animatic.ledger.liveness import is_alive
from animatic.ledger.location import require_not_lost
from animatic.ledger.newest import IsDead, no_run_is_dead
from animatic.ledger.opening import sqlite_path
from animatic.ledger.settling import Open
from animatic.ledger.snapshot import SnapshotBuilder, snapshot_of
from animatic.manifest import Manifest
from animatic.planning.plan import Plan, make_plan
from animatic.takes.canonical import canonical_provider, is_signed_by_path
from animatic.takes.fingerprints import FingerprintSet, hex_of
from animatic.takes.snapshot import LedgerSnapshot
from animatic.takes.states import BuyingPolicy, State


@contextmanager
def open_to_look(ledger_url: str, *, may_be_restored: bool = False) -> Generator[Ledger | None]:
    """Open the ledger for reading; None if there is none. None is made."""
    ledger = sqlite_path(ledger_url)
    require_not_lost(ledger)
    if not ledger.exists():
        yield None
        return
    with Ledger(ledger_url, may_be_restored=may_be_restored) as desk:
        yield desk


def dead_runs_of(ledger_url: str) -> IsDead:
    """Tells of a run whether it is dead; asked once of each, for a run that has died stays so."""
    ledger = sqlite_path(ledger_url)
    return lru_cache(maxsize=None)(lambda run_id: not is_alive(ledger, run_id))


async def find_moved(desk: Ledger | None, plan: Plan) -> list[str]:
    """Return the names of takes to buy that were bought before under another address of the still.

    Only of stills whose address carries its authorisation in the path: nothing tells that two of them are one picture.
    """
    if desk is None or not plan.manifest.has_signed_paths:
        return []
    asked = {
        take.name: planned.Request(take.shot.model, take.shot.inputs.without("image").canonical(), take.number)
        for take in plan.takes_to_buy()
        if is_signed_by_path(take.shot.still)
    }
    bought = await desk.do(planned.bought_among, canonical_provider(plan.manifest.provider), {*asked.values()})
    return [name for name, request in asked.items() if request in bought]


async def find_snapshot(
    desk: Ledger | None, manifest: Manifest, run_id: str | None = None, is_dead: IsDead = no_run_is_dead
) -> LedgerSnapshot:
    """Return the ledger's knowledge of the takes of a manifest; empty if there is no ledger yet.

    A take that the ledger knows by its fingerprint of before only is known by that: an alias with attempts of its own.
    """
    if desk is None:
        return SnapshotBuilder(manifest.digests).snapshot()
    return await snapshot_of(desk, manifest.digests, _old_names(manifest), run_id, is_dead)


def _old_names(manifest: Manifest) -> dict[str, list[str]]:
    """Fingerprints from before there was a canonical form, by the take that each is now."""
    names: dict[str, list[str]] = {}
    takes = hex_of(manifest.digests[manifest.old_of])
    for take, old in zip(takes, hex_of(manifest.old_digests), strict=True):
        names.setdefault(take, []).append(old)
    return names


async def know_old_names(desk: Ledger, manifest: Manifest) -> None:
    """Make aliases of fingerprints of before that the ledger holds and that are takes of this manifest now."""
    names = _old_names(manifest)
    if names:
        await desk.do(aliases.know, names)


async def record_planned(desk: Ledger, manifest: Manifest, uri: str) -> None:
    """Write down which shots ask for which takes, once for each change of the manifest or its stills."""
    content = hashlib.sha256(manifest.sha256.encode() + manifest.digests.tobytes()).hexdigest()
    if await desk.do(planned.content_of, uri) == content:
        return
    for part in manifest.parts():
        await desk.do(planned.add, uri, [planned.Asked(*each) for each in part.names()])
    await desk.do(planned.finish, uri, content)


async def find_open(desk: Ledger, manifest: Manifest, uri: str, ledger_url: str) -> tuple[list[Open], list[Open]]:
    """Return open takes that the table of this manifest does not show: its own of before, and those of other manifests.

    A live run looks after its own.
    """
    takes, is_dead = FingerprintSet(manifest.digests), dead_runs_of(ledger_url)
    dropped: list[Open] = []
    elsewhere: list[Open] = []
    for each in await desk.do(settling.open_takes, manifest.provider, also=(State.SUBMITTING,)):
        is_left = is_dead(each.run_id)
        if each.state == State.SUBMITTING and not is_left:
            continue
        if each.take not in takes:
            (dropped if each.manifest == uri and is_left else elsewhere).append(each)
        elif each.fingerprint != each.take:  # an alias with an attempt of its own, which the take's row does not show
            dropped.append(each)
    return dropped, elsewhere


async def is_new_ledger(desk: Ledger | None, provider: str) -> bool:
    """Tell if the ledger holds no take of this provider."""
    return desk is None or await desk.do(planned.is_new, provider)


async def plan_takes(
    desk: Ledger | None,
    manifest: Manifest,
    policy: BuyingPolicy,
    run_id: str | None = None,
    is_dead: IsDead = no_run_is_dead,
) -> Plan:
    """Plan a manifest against an open ledger; None is one without takes."""
    return make_plan(manifest, await find_snapshot(desk, manifest, run_id, is_dead), policy)


async def plan_against(ledger_url: str, manifest: Manifest, policy: BuyingPolicy) -> Plan:
    """Plan a manifest against a ledger that need not exist."""
    with open_to_look(ledger_url) as desk:
        return await plan_takes(desk, manifest, policy, is_dead=dead_runs_of(ledger_url))
