"""How a manifest gets in: its bytes, its stills, and what the ledger and the API say of its takes. Buys nothing."""

import asyncio
import hashlib
import mimetypes
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from animatic import formats, storage
from animatic.errors import LocationError, SettingsError
from animatic.fingerprints import Digests, FingerprintSet, digests_of, hex_of
from animatic.formats import MAX_RESULTS_BYTES
from animatic.ledger import bulk
from animatic.ledger.bulk import Standings, StandingsBook
from animatic.ledger.desk import LedgerDesk
from animatic.ledger.liveness import is_alive
from animatic.ledger.place import require_not_lost
from animatic.ledger.schema import sqlite_path
from animatic.manifest import Manifest, RawManifest, check, local_stills, read_table
from animatic.manifest.source import MAX_FILE_BYTES
from animatic.plan import Plan, PricedBy, make_plan
from animatic.results import RESULTS_SCHEMA
from animatic.shots import Take
from animatic.spool import Spool
from animatic.stills import Still, probe
from animatic.takes import BuyingPolicy
from animatic.wavespeed.client import WaveSpeedClient

# Arrow's own allocator keeps what it has once used, some 30 MB more of a run that reads its rows batch by batch.
pa.set_memory_pool(pa.system_memory_pool())

pc: Any = pyarrow.compute  # its functions are made at import, where a type checker cannot see them


def read_manifest(uri: str) -> RawManifest:
    """The manifest behind a URI, in table form.

    Raises:
        LocationError: it cannot be read.
        ManifestError: it cannot be read as what its suffix says.
    """
    with storage.open_copy(uri, max_bytes=MAX_FILE_BYTES) as copy:
        return read_table(storage.name_of(uri), copy, Spool())


def manifest_sha256(uri: str) -> str:
    """What identifies the bytes of the manifest behind a URI now. Raises LocationError: it cannot be read."""
    return storage.sha256_of(uri, max_bytes=MAX_FILE_BYTES)


def probe_still(manifest_uri: str, path: str) -> Still | str:
    """What a local still is, or the sentence that says why it cannot be used."""
    try:
        return probe(storage.read_still(manifest_uri, path))
    except LocationError as error:
        return str(error)


def check_manifest(uri: str, raw: RawManifest, stills: Mapping[str, Still | str], provider: str) -> Manifest:
    """Every row judged; faults are in what comes back."""
    return check(
        raw,
        stills=stills,
        storyboard_default=storage.stem_of(uri),
        provider=provider,
        rows=Spool(),
        left_out=frozenset(RESULTS_SCHEMA.names),
    )


def load_manifest(uri: str, provider: str) -> Manifest:
    """Read, probe and check in one go, for those who need no task runs."""
    raw = read_manifest(uri)
    return check_manifest(uri, raw, {path: probe_still(uri, path) for path in local_stills(raw)}, provider)


@contextmanager
def open_to_look(ledger_url: str) -> Generator[LedgerDesk | None]:
    """The ledger, or None where there is none yet; none is made."""
    ledger = sqlite_path(ledger_url)
    require_not_lost(ledger)
    if not ledger.exists():
        yield None
        return
    with LedgerDesk(ledger_url) as desk:
        yield desk


def dead_runs_of(ledger_url: str) -> bulk.IsDead:
    """Tells of a run whether it is dead; asked once of each, for a run that has died stays so."""
    ledger = sqlite_path(ledger_url)
    return lru_cache(maxsize=None)(lambda run_id: not is_alive(ledger, run_id))


async def find_standings(
    desk: LedgerDesk | None, takes: Digests, run_id: str | None = None, is_dead: bulk.IsDead = bulk.nobody_is_dead
) -> Standings:
    """What the ledger knows of these takes; nothing where there is no ledger yet."""
    book = StandingsBook(takes, run_id, is_dead)
    if desk is None or not len(takes):
        return book.standings()
    if await desk.do(bulk.attempts_made) <= bulk.SCAN_UP_TO * len(takes):
        after = 0
        while rows := await desk.do(bulk.scan_standings, after):
            book.add(rows)
            after = int(rows[-1][2])
    else:
        for start in range(0, len(takes), bulk.SEEK_TAKES):
            rows = await desk.do(bulk.seek_standings, hex_of(takes[start : start + bulk.SEEK_TAKES]))
            book.add(rows)
    return book.standings()


async def plan_against(ledger_url: str, manifest: Manifest, policy: BuyingPolicy) -> Plan:
    """The plan for a manifest, from a ledger that need not exist."""
    with open_to_look(ledger_url) as desk:
        standings = await find_standings(desk, manifest.digests, is_dead=dead_runs_of(ledger_url))
    return make_plan(manifest, standings, policy)


def require_that_the_ledger_knows(ledger: str, results: str, plan: Plan) -> None:
    """Refuse to go on with a ledger that has never heard of takes which the existing results table shows as bought.

    Raises:
        SettingsError: it is the wrong ledger.
    """
    bought = _bought_according_to(results, plan.never_seen())
    if bought:
        raise SettingsError(
            f"ANIMATIC_LEDGER: {results} shows {bought:,} takes as bought that the ledger {ledger} has never heard of. "
            "Nothing was bought. Give the ledger that the table was made with, or another place for the results if "
            "they are to be bought again."
        )


def _bought_according_to(results: str, takes: FingerprintSet) -> int:
    """How many of these takes an existing results table shows as bought; 0 where there is none.

    A file that is no results table says nothing.
    """
    try:
        if not len(takes) or not storage.exists(results):
            return 0
        is_bought = np.zeros(len(takes), np.bool_)
        with storage.open_copy(results, max_bytes=MAX_RESULTS_BYTES) as file:
            for table in formats.read_columns(file, storage.name_of(results), ("fingerprint", "attempts")):
                bought = table.filter(pc.greater(table["attempts"], 0))["fingerprint"]
                named = bought.filter(pc.match_substring_regex(bought, "^[0-9a-f]{64}$"))
                at = takes.positions(digests_of(named.to_pylist()))
                is_bought[at[at >= 0]] = True
    except LocationError:
        return 0
    return int(np.count_nonzero(is_bought))


async def quote_usd(client: WaveSpeedClient, kind: PricedBy) -> float:
    """What one take of a kind costs, from the API.

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
    return await client.price_usd(model, inputs)


async def quote_all(client: WaveSpeedClient, kinds: Iterable[PricedBy]) -> dict[PricedBy, float]:
    """The price of each kind of take, asked one after the other.

    Raises:
        TryLaterError, NeverAgainError: there is no quote to be had for one of them.
    """
    return {kind: await quote_usd(client, kind) for kind in kinds}


def still_digest(manifest_uri: str, path: str) -> str:
    """What identifies the bytes of a local still now, or the sentence that says why there are none."""
    try:
        return hashlib.sha256(storage.read_still(manifest_uri, path)).hexdigest()
    except LocationError as error:
        return str(error)


async def upload_still(client: WaveSpeedClient, manifest_uri: str, take: Take) -> str:
    """Upload the still of a take, if it is still the one that was planned; where it can be fetched.

    Raises:
        LocationError: the file has changed since the plan was made.
    """
    data = await asyncio.to_thread(storage.read_still, manifest_uri, take.shot.image)
    found = probe(data)
    if not isinstance(found, Still) or f"sha256:{found.sha256}" != take.shot.still:
        raise LocationError(
            f"still {take.shot.image} of shot {take.shot.shot_id}: it changed while the run was planned; run again"
        )
    suffix = f".{found.format.lower()}".replace(".jpeg", ".jpg")
    media_type = mimetypes.types_map.get(suffix, "image/webp")
    return await client.upload(f"{found.sha256[:32]}{suffix}", data, media_type)
