"""How a manifest gets in: its bytes, its stills, and what the ledger and the API say of its takes. Buys nothing."""

import asyncio
import hashlib
import mimetypes
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from animatic import storage
from animatic.errors import LocationError, SettingsError
from animatic.ledger import bulk, planned, settling
from animatic.ledger.bulk import Standings, StandingsBook
from animatic.ledger.desk import LedgerDesk
from animatic.ledger.liveness import is_alive
from animatic.ledger.place import require_not_lost
from animatic.ledger.schema import sqlite_path
from animatic.ledger.settling import Open
from animatic.manifest import Manifest, RawManifest, check, local_stills, read_table
from animatic.manifest.source import MAX_FILE_BYTES
from animatic.media.stills import Still, probe
from animatic.money.amounts import Quote
from animatic.planning.plan import Plan, PricedBy, make_plan
from animatic.results import formats
from animatic.results.formats import MAX_RESULTS_BYTES
from animatic.results.schema import RESULTS_SCHEMA
from animatic.storage.spool import Spool
from animatic.takes.canonical import canonical_provider, canonical_text, is_signed_by_path
from animatic.takes.fingerprints import FingerprintSet, digests_of, hex_of
from animatic.takes.shots import Take
from animatic.takes.states import BuyingPolicy, State
from animatic.wavespeed.client import WaveSpeedClient
from animatic.web.network import DIRECT, Network

# Arrow's own allocator keeps what it has once used, some 30 MB more of a run that reads its rows batch by batch.
pa.set_memory_pool(pa.system_memory_pool())

pc: Any = pyarrow.compute  # its functions are made at import, where a type checker cannot see them


def read_manifest(uri: str, network: Network = DIRECT) -> RawManifest:
    """The manifest behind a URI, in table form.

    Raises:
        LocationError: it cannot be read.
        ManifestError: it cannot be read as what its suffix says.
    """
    with storage.open_copy(uri, max_bytes=MAX_FILE_BYTES, network=network) as copy:
        return read_table(storage.name_of(uri), copy, Spool())


def manifest_sha256(uri: str, network: Network = DIRECT) -> str:
    """What identifies the bytes of the manifest behind a URI now. Raises LocationError: it cannot be read."""
    return storage.sha256_of(uri, max_bytes=MAX_FILE_BYTES, network=network)


def probe_still(manifest_uri: str, path: str, network: Network = DIRECT) -> Still | str:
    """What a local still is, or the sentence that says why it cannot be used."""
    try:
        with storage.open_still(manifest_uri, path, network=network) as file:
            return probe(file)
    except LocationError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def check_manifest(
    uri: str, raw: RawManifest, stills: Mapping[str, Still | str], provider: str, written_provider: str | None = None
) -> Manifest:
    """Judge every row; faults are in what comes back. `written_provider` is as in `manifest.check`."""
    return check(
        raw,
        stills=stills,
        storyboard_default=storage.stem_of(uri),
        provider=provider,
        rows=Spool(),
        left_out=frozenset(RESULTS_SCHEMA.names),
        folder=storage.absolute_uri(uri).rpartition("/")[0],
        written_provider=written_provider,
    )


def load_manifest(uri: str, provider: str, written_provider: str | None = None, network: Network = DIRECT) -> Manifest:
    """Read, probe and check in one go, where no task runs are needed."""
    raw = read_manifest(uri, network)
    stills = {path: probe_still(uri, path, network) for path in local_stills(raw)}
    return check_manifest(uri, raw, stills, provider, written_provider)


@contextmanager
def open_to_look(ledger_url: str, *, may_be_restored: bool = False) -> Generator[LedgerDesk | None]:
    """The ledger, or None where there is none yet; none is made."""
    ledger = sqlite_path(ledger_url)
    require_not_lost(ledger)
    if not ledger.exists():
        yield None
        return
    with LedgerDesk(ledger_url, may_be_restored=may_be_restored) as desk:
        yield desk


def dead_runs_of(ledger_url: str) -> bulk.IsDead:
    """Tells of a run whether it is dead; asked once of each, for a run that has died stays so."""
    ledger = sqlite_path(ledger_url)
    return lru_cache(maxsize=None)(lambda run_id: not is_alive(ledger, run_id))


async def find_moved(desk: LedgerDesk | None, plan: Plan) -> list[str]:
    """Return the names of takes to buy that were bought before under another address of the still.

    Only of stills whose address carries its authorisation in the path: nothing tells that two of them are one picture.
    """
    if desk is None or not plan.manifest.has_signed_paths:
        return []
    asked = {
        take.name: planned.Request(
            take.shot.model,
            canonical_text(take.shot.prompt),
            take.shot.aspect_ratio,
            take.shot.duration,
            take.number,
        )
        for take in plan.takes_to_buy()
        if is_signed_by_path(take.shot.still)
    }
    bought = await desk.do(planned.bought_among, canonical_provider(plan.manifest.provider), {*asked.values()})
    return [name for name, request in asked.items() if request in bought]


async def find_standings(
    desk: LedgerDesk | None, manifest: Manifest, run_id: str | None = None, is_dead: bulk.IsDead = bulk.nobody_is_dead
) -> Standings:
    """What the ledger knows of the takes of a manifest; nothing where there is no ledger yet.

    A take that the ledger knows by its fingerprint of before only is known by that: an alias with attempts of its own.
    """
    takes = manifest.digests
    if desk is None or not len(takes):
        return StandingsBook(takes, run_id, is_dead).standings()
    run_no = None if run_id is None else await desk.do(bulk.run_no_of, run_id)
    book = StandingsBook(takes, run_id, is_dead, run_no)
    if await desk.do(bulk.attempts_made) <= bulk.SCAN_UP_TO * len(takes):
        after = 0
        while rows := await desk.do(bulk.scan_standings, after):
            book.add(rows)
            after = int(rows[-1][2])
    else:
        for start in range(0, len(takes), bulk.SEEK_TAKES):
            rows = await desk.do(bulk.seek_standings, hex_of(takes[start : start + bulk.SEEK_TAKES]))
            book.add(rows)
    apart = await desk.do(bulk.apart)
    for take, olds in _old_names(manifest).items():
        apart.setdefault(take, []).extend(old for old in olds if old not in apart[take])
    if apart:
        olds = [old for each in apart.values() for old in each]
        for start in range(0, len(olds), bulk.SEEK_TAKES):
            book.add_apart(apart, await desk.do(bulk.seek_standings, olds[start : start + bulk.SEEK_TAKES]))
    return book.standings()


def _old_names(manifest: Manifest) -> dict[str, list[str]]:
    """Fingerprints from before there was a canonical form, by the take that each is now."""
    names: dict[str, list[str]] = {}
    takes = hex_of(manifest.digests[manifest.old_of])
    for take, old in zip(takes, hex_of(manifest.old_digests), strict=True):
        names.setdefault(take, []).append(old)
    return names


async def know_old_names(desk: LedgerDesk, manifest: Manifest) -> None:
    """Make aliases of fingerprints of before that the ledger holds and that are takes of this manifest now."""
    names = _old_names(manifest)
    if names:
        await desk.do(bulk.know_old_names, names)


async def record_planned(desk: LedgerDesk, manifest: Manifest, uri: str) -> None:
    """Write down which shots ask for which takes, once for each change of the manifest or its stills."""
    content = hashlib.sha256(manifest.sha256.encode() + manifest.digests.tobytes()).hexdigest()
    if await desk.do(planned.content_of, uri) == content:
        return
    asked: list[planned.Asked] = []
    for part in manifest.parts():
        shots = part.shots(np.flatnonzero(part.lengths))
        names = iter(hex_of(part.digests))
        for shot in shots:
            asked += [
                planned.Asked(shot.row, number, shot.storyboard, shot.shot_id, next(names))
                for number in range(1, shot.takes + 1)
            ]
        await desk.do(planned.add, uri, asked)
        asked.clear()
    await desk.do(planned.finish, uri, content)


async def find_open(desk: LedgerDesk, manifest: Manifest, uri: str, ledger_url: str) -> tuple[list[Open], list[Open]]:
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


async def plan_against(ledger_url: str, manifest: Manifest, policy: BuyingPolicy) -> Plan:
    """The plan for a manifest, from a ledger that need not exist."""
    with open_to_look(ledger_url) as desk:
        standings = await find_standings(desk, manifest, is_dead=dead_runs_of(ledger_url))
    return make_plan(manifest, standings, policy)


def require_that_the_ledger_knows(ledger: str, results: str, plan: Plan) -> None:
    """Refuse to go on with a ledger that has never heard of takes which the existing results table shows as bought.

    Raises:
        SettingsError: it is the wrong ledger.
    """
    bought = _bought_according_to(results, plan.never_seen(), FingerprintSet(plan.never_seen_before()))
    if bought:
        raise SettingsError(
            f"ANIMATIC_LEDGER: {results} shows {bought:,} takes as bought that the ledger {ledger} has never heard of. "
            "Nothing was bought. Either give the ledger that the table was made with, or take over what it knows: "
            f"animatic ledger import {results}. To buy them again, give another place for the results."
        )


def _bought_according_to(results: str, takes: FingerprintSet, old: FingerprintSet) -> int:
    """How many of these takes an existing results table shows as bought; 0 where there is none.

    `old` are their fingerprints from before there was a canonical form. A file that is no results table says nothing.
    """
    try:
        if not len(takes) or not storage.exists(results):
            return 0
        is_bought, is_old_bought = np.zeros(len(takes), np.bool_), np.zeros(len(old), np.bool_)
        with storage.open_copy(results, max_bytes=MAX_RESULTS_BYTES) as file:
            for table in formats.read_columns(file, storage.name_of(results), ("fingerprint", "attempts")):
                bought = table.filter(pc.greater(table["attempts"], 0))["fingerprint"]
                named = digests_of(bought.filter(pc.match_substring_regex(bought, "^[0-9a-f]{64}$")).to_pylist())
                for known, flags in ((takes, is_bought), (old, is_old_bought)):
                    at = known.positions(named)
                    flags[at[at >= 0]] = True
    except LocationError:
        return 0
    return int(np.count_nonzero(is_bought)) + int(np.count_nonzero(is_old_bought))


async def quote(client: WaveSpeedClient, kind: PricedBy) -> Quote:
    """Ask the API what one take of a kind costs.

    Raises:
        TryLaterError, NeverAgainError: there is no quote to be had.
    """
    model, duration, aspect_ratio = kind
    inputs = {
        "prompt": "a quote",
        "image": "https://example.com/still.jpg",
        "duration": duration,
        "aspect_ratio": aspect_ratio,
    }
    price = await client.quote(model, inputs)
    return Quote(price.microusd, price.is_floor, time.time())


async def quote_all(client: WaveSpeedClient, kinds: Iterable[PricedBy]) -> dict[PricedBy, Quote]:
    """Ask for the price of each kind of take, one after the other.

    Raises:
        TryLaterError, NeverAgainError: there is no quote to be had for one of them.
    """
    return {kind: await quote(client, kind) for kind in kinds}


def still_digest(manifest_uri: str, path: str, network: Network = DIRECT) -> str:
    """What identifies the bytes of a local still now, or the sentence that says why there are none."""
    digest = hashlib.sha256()
    try:
        for chunk in storage.still_chunks(manifest_uri, path, network=network):
            digest.update(chunk)
    except LocationError as error:
        return str(error)
    return digest.hexdigest()


async def upload_still(client: WaveSpeedClient, manifest_uri: str, take: Take, network: Network = DIRECT) -> str:
    """Upload the still of a take, if it is still the one that was planned; where it can be fetched.

    What is sent is a copy of its own, so that a file which changes meanwhile is never sent under the hash of before.

    Raises:
        LocationError: the file has changed since the plan was made.
    """
    with ExitStack() as stack:
        copied = storage.copy_of(storage.still_chunks(manifest_uri, take.shot.image, network=network))
        copy = await asyncio.to_thread(stack.enter_context, copied)
        found = await asyncio.to_thread(probe, copy)
        if not isinstance(found, Still) or f"sha256:{found.sha256}" != take.shot.still:
            raise LocationError(
                f"still {take.shot.image} of shot {take.shot.shot_id}: it changed while the run was planned; run again"
            )
        suffix = f".{found.format.lower()}".replace(".jpeg", ".jpg")
        media_type = mimetypes.types_map.get(suffix, "image/webp")
        copy.seek(0)
        return await client.upload(f"{found.sha256[:32]}{suffix}", copy, media_type)
