"""A plan whose local stills can be decoded. Those of takes to buy are decoded whole, once for each content.

Only the ledger knows which takes are to be bought, so this comes after it was asked, and before anyone is asked for a
yes. A still that cannot be decoded is a fault of the rows that would buy with it, like any other of the manifest.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from animatic.manifest import Manifest
from animatic.planning.manifests import ManifestFile
from animatic.planning.plan import Plan
from animatic.takes.stills import Still

MANY_STILLS = 50

Decode = Callable[[Mapping[str, Still]], Awaitable[Mapping[str, str | None]]]
"""From stills by their paths to what is wrong with each, by SHA-256; None where nothing is."""


async def with_damages(file: ManifestFile, checked: Manifest, decode: Decode) -> Manifest:
    """Return a manifest that is refused anyway with the faults of its local stills too: all come at once.

    Nothing is decoded where that would take long.
    """
    stills = {path: still for path, still in checked.stills.items() if isinstance(still, Still)}
    if not 0 < len(stills) < MANY_STILLS:
        return checked
    damages = {each: why for each, why in (await decode(stills)).items() if why is not None}
    unsound = {
        part.row + index: damages[content]
        for part in (checked.parts() if damages else ())
        for index in np.flatnonzero(part.lengths).tolist()
        for content in part.contents(index)
        if content in damages
    }
    return await asyncio.to_thread(file.reload, checked, unsound) if unsound else checked


@dataclass(slots=True)
class SoundPlanning:
    """The way to a sound plan.

    Attributes:
        file: the manifest's.
        decode: decodes stills.
        skip_invalid: rows with faults are left out instead of refused.
        known: damages that are known already, by SHA-256; None where a still is sound. It grows.
        tell: gets a line where there are so many stills to decode that it takes a while.
    """

    file: ManifestFile
    decode: Decode
    skip_invalid: bool = False
    known: dict[str, str | None] = field(default_factory=dict[str, str | None])
    tell: Callable[[str], object] | None = None

    async def plan(self, checked: Manifest, plan_of: Callable[[Manifest], Awaitable[Plan]]) -> Plan:
        """Return the plan, its manifest without the rows whose stills are damaged.

        `plan_of` holds a manifest against the ledger.

        Raises:
            ManifestError: there are such rows, and they are not to be skipped.
            LocationError: the manifest or a still has changed since it was read.
        """
        manifest, unsound = checked, dict[int, str]()
        while True:
            plan = await plan_of(manifest)
            stills = await asyncio.to_thread(plan.stills_to_send)
            new = {path: still for path, still in stills.items() if still.sha256 not in self.known}
            if self.tell is not None and len(new) >= MANY_STILLS:
                self.tell(f"decoding {len(new):,} stills of takes to buy, each content once")
            if new:
                self.known.update(await self.decode(new))
            damages = {each: why for each in {still.sha256 for still in stills.values()} if (why := self.known[each])}
            if not damages:
                return plan
            unsound |= await asyncio.to_thread(plan.rows_to_buy_with, damages)
            manifest = await asyncio.to_thread(self.file.reload, checked, unsound)
            manifest.require_valid(skip_invalid=self.skip_invalid)
