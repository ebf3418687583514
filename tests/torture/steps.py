"""The steps of a run around the shoot, as `flows.run` makes them: in the same order, on the same functions."""

import csv
import hashlib
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asked import price_class_of, takes_in

from animatic import storage
from animatic.buying.reconcile import Reconciled, open_claims, poll_stuck, reconcile, stuck_takes
from animatic.buying.recovery import recover
from animatic.ledger import Ledger
from animatic.manifest import Manifest
from animatic.planning.lookup import find_snapshot, know_old_names, record_planned
from animatic.planning.manifests import ManifestFile
from animatic.planning.plan import Plan, make_plan
from animatic.takes.money.amounts import Quote, microusd
from animatic.takes.schemas import PriceClass
from animatic.takes.shots import Take
from animatic.takes.states import BuyingPolicy
from animatic.wavespeed.client import WaveSpeedClient

GIVE_UP_S = 86_400.0


def quotes(price_usd: float = 2.5, age_s: float = 0.0) -> Mapping[PriceClass, Quote]:
    """Price of a take of five seconds, as if it had been asked for so long ago."""
    return {price_class_of(): Quote(microusd(price_usd), asked_at_s=time.time() - age_s)}


@dataclass
class Settling:
    """Settle takes before and after the shoot of one run: receipts, the list, one poll of the stuck ones."""

    opened: Ledger
    client: WaveSpeedClient
    provider: str
    run_id: str
    settle_s: float
    give_up_s: float = GIVE_UP_S
    adopts_by_window: bool = False
    _has_polled_stuck: bool = False

    async def settle(self) -> Reconciled:
        stuck = await stuck_takes(self.opened, self.provider, self.give_up_s)
        await recover(self.opened, self.client.latest_time)
        settled = Reconciled()
        if await open_claims(self.opened, self.provider):
            settled = await reconcile(
                self.opened, self.client, self.provider, self.settle_s, adopts_by_window=self.adopts_by_window
            )
        if stuck and not self._has_polled_stuck:
            self._has_polled_stuck = True
            settled.ended = await poll_stuck(self.opened, self.client, stuck, self.give_up_s, self.run_id)
        return settled


def manifest_of(takes: Sequence[Take], folder: Path, provider: str) -> tuple[str, Manifest] | None:
    """A manifest that asks for these takes, and its URI; equal takes have the same one. None asks for nothing."""
    shots = {take.shot: None for take in takes}
    if not shots:
        return None
    text = io.StringIO()
    rows = [
        {**shot.inputs, "image": shot.image, "model": shot.model, "takes": shot.takes, "shot_id": f"shot {number}"}
        for number, shot in enumerate(shots, 1)
    ]
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode()
    path = folder / f"shots-{hashlib.sha256(content).hexdigest()[:12]}.csv"
    path.write_bytes(content)
    manifest = ManifestFile(str(path), provider).load()
    manifest.require_valid(skip_invalid=False)
    asked = {take.fingerprint for take in takes_in(manifest)}
    unasked = [take.name for take in takes if take.fingerprint not in asked]
    assert not unasked, f"the manifest does not ask for {unasked}"
    return storage.absolute_uri(str(path)), manifest


async def plan_of(opened: Ledger, uri: str, manifest: Manifest, run_id: str, policy: BuyingPolicy) -> Plan:
    """Hold a manifest against the ledger, and write down what it asks for."""
    await know_old_names(opened, manifest)
    plan = make_plan(manifest, await find_snapshot(opened, manifest, run_id), policy)
    await record_planned(opened, manifest, uri)
    return plan
