"""A plan whose stills can be used: local ones are decoded, those on the web fetched where that was asked for.

Only the ledger knows which takes are to be bought, so this comes after it was asked, and before anyone is asked for a
yes. A still that cannot be used is a fault of the rows that would buy with it, like any other of the manifest.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from animatic.errors import SettingsError
from animatic.errors.text import quoted
from animatic.manifest import Manifest, Problem
from animatic.planning.manifests import ManifestFile
from animatic.planning.plan import Plan
from animatic.takes.seen_stills import LookedAt, SeenStill
from animatic.takes.signed_urls import expires_at
from animatic.takes.stills import Still

MANY_STILLS = 50

FindGone = Callable[[Plan], Awaitable[Mapping[int, Problem]]]
Decode = Callable[[Mapping[str, Still]], Awaitable[Mapping[str, str | None]]]
"""From stills by their paths to what is wrong with each, by SHA-256; None where nothing is."""

Look = Callable[[Sequence[str]], Awaitable[Mapping[str, LookedAt]]]
"""From URLs to what was seen there; one that there was no time for is left out."""

PlanOf = Callable[[Manifest], Awaitable[Plan]]


async def with_damages(file: ManifestFile, checked: Manifest, decode: Decode) -> Manifest:
    """Return a manifest that is refused anyway with the faults of its local stills too: all come at once.

    Nothing is decoded where that would take long.
    """
    stills = {path: still for path, still in checked.stills.items() if isinstance(still, Still)}
    if not 0 < len(stills) < MANY_STILLS:
        return checked
    damages = {f"sha256:{each}": why for each, why in (await decode(stills)).items() if why is not None}
    unsound = {
        part.row + index: whys
        for part in (checked.parts() if damages else ())
        for index in np.flatnonzero(part.lengths).tolist()
        if (whys := {each: damages[each] for each in part.files(index) if each in damages})
    }
    return await asyncio.to_thread(file.reload, checked, unsound) if unsound else checked


def ending_note(looked: Mapping[str, LookedAt], now: datetime, duration_s: float) -> str | None:
    """Return a line about signatures that end while the run may still be submitting; None where all last longer."""
    by = now + timedelta(seconds=duration_s)
    usable = (url for url, found in looked.items() if isinstance(found, SeenStill))
    ends = sorted((end, url) for url in usable if (end := expires_at(url)) is not None and end < by)
    if not ends:
        return None
    first, url = ends[0]
    what = "a still has a signature that ends" if len(ends) == 1 else f"{len(ends):,} stills have signatures that end"
    return (
        f"image: {what} before the run can be expected to have sent it, the first on {first:%Y-%m-%d %H:%M} UTC "
        f"({quoted(url)}); sign for longer, or run fewer rows at a time"
    )


@dataclass(slots=True)
class SoundPlanning:
    """The way to a sound plan.

    Attributes:
        file: the manifest's.
        decode: decodes local stills.
        skip_invalid: rows with faults are left out instead of refused.
        known: damages that are known already, by SHA-256; None where a still is sound. It grows.
        find_gone: returns the rows of a plan that would start from a clip which is gone, and why.
        log_line: gets a line where there are so many stills to decode that it takes a while.
        look: looks at stills on the web; None where that was not asked for.
        looked: what was seen already, by URL. It grows.
    """

    file: ManifestFile
    decode: Decode
    skip_invalid: bool = False
    known: dict[str, str | None] = field(default_factory=dict[str, str | None])
    log_line: Callable[[str], object] | None = None
    look: Look | None = None
    looked: dict[str, LookedAt] = field(default_factory=dict[str, LookedAt])

    find_gone: FindGone | None = None

    async def plan(self, checked: Manifest, plan_of: PlanOf) -> Plan:
        """Return the plan, its manifest without the rows whose stills cannot be used, or come from a clip that is gone.

        `plan_of` holds a manifest against the ledger.

        Raises:
            ManifestError: there are such rows, and they are not to be skipped.
            SettingsError: the stills on the web are too many, or their hosts too slow, to be looked at now.
            LocationError: the manifest or a still has changed since it was read.
        """
        manifest, noted = checked, 0
        unsound, unlinked = dict[int, dict[str, str]](), dict[int, Problem]()
        while True:
            plan = await plan_of(manifest)
            damages = await self._damages(plan) | await self._faults_on_web(plan)
            gone = {} if self.find_gone is None else await self.find_gone(plan)
            if not damages and not gone and len(self.looked) == noted:
                return plan
            noted = len(self.looked)
            for row, whys in (await asyncio.to_thread(plan.rows_to_buy_with, damages)).items():
                unsound.setdefault(row, {}).update(whys)
            unlinked |= gone
            manifest = await asyncio.to_thread(self.file.reload, checked, unsound, self.seen, unlinked)
            manifest.require_valid(skip_invalid=self.skip_invalid)

    async def _damages(self, plan: Plan) -> dict[str, str]:
        """Decode the local stills that takes to buy need; return the faults of those that cannot be decoded."""
        stills = await asyncio.to_thread(plan.stills_to_send)
        new = {path: still for path, still in stills.items() if still.sha256 not in self.known}
        if self.log_line is not None and len(new) >= MANY_STILLS:
            self.log_line(f"decoding {len(new):,} stills of takes to buy, each content once")
        if new:
            self.known.update(await self.decode(new))
        contents = {still.sha256 for still in stills.values()}
        return {f"sha256:{each}": why for each in contents if (why := self.known[each])}

    async def _faults_on_web(self, plan: Plan) -> dict[str, str]:
        """Look at the stills on the web that takes to buy need; return the faults of those that cannot be used."""
        if self.look is None:
            return {}
        urls = await asyncio.to_thread(plan.stills_on_web, plan.is_to_buy)
        new = [url for url in urls if url not in self.looked]
        self.looked.update(await self.look(new) if new else {})
        missed = sum(url not in self.looked for url in urls)
        if missed:
            raise SettingsError(
                f"--check-stills: {len(urls) - missed:,} of {len(urls):,} stills on the web were looked at before the "
                "time for it was over. Nothing was bought. Run again: what was seen is remembered for an hour"
            )
        return {url: found for url in urls if isinstance(found := self.looked[url], str)}

    @property
    def seen(self) -> dict[str, SeenStill]:
        """The stills on the web that can be used, by URL."""
        return {url: found for url, found in self.looked.items() if isinstance(found, SeenStill)}
