"""How a manifest gets in: its bytes, its stills, and what the ledger and the API say of its takes. Buys nothing."""

import asyncio
import hashlib
import mimetypes
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute

from animatic import formats, storage
from animatic.errors import LocationError, SettingsError
from animatic.ledger import operations as ledger_operations
from animatic.ledger.desk import LedgerDesk
from animatic.ledger.liveness import is_alive
from animatic.ledger.place import require_not_lost
from animatic.ledger.records import Record
from animatic.ledger.schema import sqlite_path
from animatic.manifest import Manifest, RawManifest, check, local_stills, read_table
from animatic.manifest.source import MAX_FILE_BYTES
from animatic.plan import Plan, PricedBy, make_plan, priced_by
from animatic.shots import Take
from animatic.stills import Still, probe
from animatic.takes import BuyingPolicy, State
from animatic.wavespeed.client import WaveSpeedClient

pc: Any = pyarrow.compute  # its functions are made at import, where a type checker cannot see them


def read_manifest(uri: str) -> RawManifest:
    """The manifest behind a URI, in table form.

    Raises:
        LocationError: it cannot be read.
        ManifestError: it cannot be read as what its suffix says.
    """
    return read_table(storage.name_of(uri), storage.read_bytes(uri, max_bytes=MAX_FILE_BYTES))


def probe_still(manifest_uri: str, path: str) -> Still | str:
    """What a local still is, or the sentence that says why it cannot be used."""
    try:
        return probe(storage.read_still(manifest_uri, path))
    except LocationError as error:
        return str(error)


def check_manifest(uri: str, raw: RawManifest, stills: Mapping[str, Still | str], provider: str) -> Manifest:
    """Every row judged; faults are in what comes back."""
    return check(raw, stills=stills, storyboard_default=storage.stem_of(uri), provider=provider)


def load_manifest(uri: str, provider: str) -> Manifest:
    """Read, probe and check in one go, for those who need no task runs."""
    raw = read_manifest(uri)
    return check_manifest(uri, raw, {path: probe_still(uri, path) for path in local_stills(raw)}, provider)


async def find_records(ledger_url: str, fingerprints: Iterable[str], run_id: str | None = None) -> dict[str, Record]:
    """What the ledger knows of these takes; nothing where there is no ledger yet, and none is made."""
    ledger = sqlite_path(ledger_url)
    require_not_lost(ledger)
    if not ledger.exists():
        return {}
    with LedgerDesk(ledger_url) as desk:
        found = await desk.do(ledger_operations.look_up, list(fingerprints), run_id)
    return {key: _as_it_is(record, ledger) for key, record in found.items()}


def _as_it_is(record: Record, ledger: Path) -> Record:
    """What a dead run was submitting is unknown, whether or not somebody has written that down yet."""
    if record.state is not State.SUBMITTING or is_alive(ledger, record.run_id):
        return record
    return replace(record, state=State.UNKNOWN, error=f"run {record.run_id} died while it was submitting this take")


async def plan_against(ledger_url: str, manifest: Manifest, policy: BuyingPolicy) -> Plan:
    """The plan for a manifest, from a ledger that need not exist."""
    keys = (take.fingerprint for take in manifest.takes())
    return make_plan(manifest, await find_records(ledger_url, keys), policy)


def require_that_the_ledger_knows(ledger: str, results: str, plan: Plan) -> None:
    """Refuse to go on with a ledger that has never heard of takes which the existing results table shows as bought.

    Raises:
        SettingsError: it is the wrong ledger.
    """
    bought = _bought_according_to(results, [take for take in plan.takes if take not in plan.records])
    if bought:
        raise SettingsError(
            f"ANIMATIC_LEDGER: {results} shows {bought:,} takes as bought that the ledger {ledger} has never heard of. "
            "Nothing was bought. Give the ledger that the table was made with, or another place for the results if "
            "they are to be bought again."
        )


def _bought_according_to(results: str, takes: Iterable[str]) -> int:
    """How many of these takes, by fingerprint, an existing results table shows as bought; 0 where there is none.

    A file that is no results table says nothing.
    """
    wanted = pa.array(list(takes), pa.string())
    try:
        if not len(wanted) or not storage.exists(results):
            return 0
        data = storage.read_bytes(results, max_bytes=formats.MAX_RESULTS_BYTES)
        table = formats.decode(data, storage.name_of(results)).select(["fingerprint", "attempts"])
    except LocationError:
        return 0
    bought = table.filter(pc.greater(table["attempts"], 0))["fingerprint"]
    return int(pc.count_distinct(bought.filter(pc.is_in(bought, wanted))).as_py())


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


def kinds_of(takes: Iterable[Take]) -> list[PricedBy]:
    """What there are different prices for, in order of appearance."""
    return list(dict.fromkeys(priced_by(take.shot) for take in takes))


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
