"""The takes that chained shots start from: looked up link by link, since each decides what the next one asks for.

Fingerprints of chained takes hold that of their source, so a checked manifest has them only once its chains are
resolved against a ledger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from animatic.ledger import IsDead, Ledger, no_run_is_dead
from animatic.manifest import Manifest
from animatic.takes.chains import (
    NO_CHOICES,
    Candidate,
    Chains,
    Choices,
    Link,
    Linked,
    Source,
    choose_source,
    key_of,
    last_frame_of,
    last_frame_of_shot,
)
from animatic.takes.fingerprints import Digests, digests_of, hex_of, shared
from animatic.takes.shots import asked_part, canonical, digest
from animatic.takes.states import PAID, State


async def resolve_chains(
    ledger: Ledger | None, manifest: Manifest, choices: Choices = NO_CHOICES, is_dead: IsDead = no_run_is_dead
) -> Manifest:
    """Return a manifest whose chained shots have their sources, and the fingerprints that follow from them."""
    links = manifest.chains.links
    if not links:
        return manifest
    asked = _asked_without_stills(manifest, links)
    digests = manifest.digests[manifest.take_of].copy()
    linked: dict[int, Linked] = {}
    for _, group in groupby(links, lambda link: link.depth):
        some = list(group)
        sources = await _sources_of(ledger, some, asked, digests, choices, is_dead)
        for each, source in zip(some, sources, strict=True):
            own = _digests_from(asked[each.row], source.fingerprint, each.takes)
            digests[each.at : each.at + each.takes] = own
            linked[each.row] = Linked(asked[each.row][2], source)
    return _with_digests(replace(manifest, chains=Chains(links, linked)), digests)


def _asked_without_stills(manifest: Manifest, links: Sequence[Link]) -> dict[int, tuple[str, str, str]]:
    """Return for each chained row what is asked before and behind its still, and the key of its shot."""
    by_row = {each.row: each for each in links}
    rows = np.array(sorted(by_row), np.int64)
    found: dict[int, tuple[str, str, str]] = {}
    unresolved = replace(manifest, chains=Chains(links))
    for part in unresolved.parts():
        own = rows[(rows >= part.row) & (rows < part.row + len(part.lengths))] - part.row
        for shot in part.shots(own) if len(own) else ():
            link = by_row[shot.row]
            text = canonical(manifest.provider, shot.model, shot.inputs)
            still = asked_part("image", last_frame_of_shot(link.source))
            head, tail = _around(text, still)
            names = shot.shot_id, link.source
            found[shot.row] = head, tail, key_of(f"{head}{tail}", shot.storyboard, names)
    return found


def _around(text: str, still: str) -> tuple[str, str]:
    """Cut the still out of what is asked. Its key has plain quotation marks, which no text inside a value has."""
    head, _, tail = text.partition(still)
    return head, tail


async def _sources_of(  # noqa: PLR0913, PLR0917 - links, and what decides where each starts
    ledger: Ledger | None,
    links: Sequence[Link],
    asked: Mapping[int, tuple[str, str, str]],
    digests: Digests,
    choices: Choices,
    is_dead: IsDead,
) -> list[Source]:
    """Return the source of each of these links, whose own sources are resolved already.

    A shot was bought with one of the takes on offer where the ledger knows what it would then ask for, whatever row or
    manifest asked; with a take that is on offer no more where the ledger's table of chains says so.
    """
    offered = [hex_of(digests[each.source_at : each.source_at + each.source_takes]) for each in links]
    keys = [asked[each.row][2] for each in links]
    fixed = {} if ledger is None else await ledger.sources_of(keys)
    own = [
        {take: [each.hex() for each in _digests_from(asked[link.row], take, link.takes)] for take in takes}
        for link, takes in zip(links, offered, strict=True)
    ]
    wanted = {*(take for takes in offered for take in takes), *fixed.values()}
    wanted |= {each for takes in own for names in takes.values() for each in names}
    states = await _states(ledger, wanted, is_dead)
    found: list[Source] = []
    for link, takes, key, names in zip(links, offered, keys, own, strict=True):
        tried = [take for take in takes if any(states.get(each) in _TRIED for each in names[take])]
        known = fixed.get(key)
        before = known if known is not None and (known in tried or not tried) else tried[0] if tried else None
        kept = None if before is None else Candidate(before, states.get(before))
        offers = [Candidate(take, states.get(take)) for take in takes]
        found.append(choose_source(offers, kept, choices.on(link.source, takes)))
    return found


_TRIED = frozenset({*PAID, State.SUBMITTING, State.REJECTED})


def _digests_from(asked: tuple[str, str, str], source: str, takes: int) -> list[bytes]:
    """Return the digests that a shot's takes have with this source."""
    head, tail, _ = asked
    text = f"{head}{asked_part('image', last_frame_of(source))}{tail}"
    return [digest(text, number) for number in range(1, takes + 1)]


async def _states(ledger: Ledger | None, takes: set[str], is_dead: IsDead) -> dict[str, State | None]:
    if ledger is None:
        return {}
    wanted = sorted(takes)
    snapshot = await ledger.snapshot(digests_of(wanted), {}, None, is_dead)
    return {take: snapshot.statuses[at].state for take, at in zip(wanted, snapshot.status_of.tolist(), strict=True)}


def _with_digests(manifest: Manifest, digests: Digests) -> Manifest:
    """Return a manifest whose pairs of row and take have these fingerprints."""
    classes, is_chosen = manifest.class_of[manifest.take_of], manifest.is_chosen
    new, take_of = shared(digests)
    first = np.zeros(len(manifest.digests), np.int64)
    first[manifest.take_of[::-1]] = np.arange(len(take_of))[::-1]  # where each take was shown first
    class_of = np.empty(len(new), np.int32)
    class_of[take_of] = classes
    chosen = None
    if is_chosen is not None:
        chosen = np.zeros(len(new), bool)
        np.logical_or.at(chosen, take_of, is_chosen[manifest.take_of])
    return replace(
        manifest,
        digests=new,
        take_of=take_of,
        class_of=class_of,
        is_chosen=chosen,
        old_of=take_of[first[manifest.old_of]] if len(manifest.old_of) else manifest.old_of,
    )
