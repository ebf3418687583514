"""The order in which chained takes can be bought: which wait for others, which cannot be bought at all. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from animatic.manifest import Manifest
from animatic.takes.chains import Link, Origin, Source
from animatic.takes.fingerprints import FingerprintSet, digests_of, hex_of
from animatic.takes.states import State

_WAITS = "waits for the last frame of shot {shot}, whose take "
_REASONS: Mapping[State | None, str] = {
    None: "is not bought by this run",
    State.FAILED: "failed; --retry-failed buys it again",
    State.REJECTED: "was rejected; --retry-failed buys it again",
    State.UNKNOWN: "is unknown: it is not known whether it was bought; animatic reconcile settles it",
    State.HELD: "is held; animatic reconcile says what settles it",
}
_OPEN = "is still being made; run again when it is completed"


@dataclass(frozen=True, slots=True, repr=False)
class Following:
    """Takes that start from others.

    Attributes:
        is_follower: takes to buy that wait for the clip of another first.
        height: for each take how many takes of this run follow it, one after the other.
        blocked: takes that this run cannot buy since it cannot have their source, and why.
    """

    is_follower: NDArray[np.bool_]
    height: NDArray[np.int32]
    blocked: Mapping[int, str] = field(default_factory=dict[int, str])

    @property
    def longest(self) -> int:
        """Number of takes to buy in the longest row of those that wait for one another."""
        rows = self.height[self.is_follower]
        return int(rows.max()) + 1 if len(rows) else 0

    @classmethod
    def none(cls, takes: int) -> "Following":
        """Return that of a manifest of so many takes without chains."""
        return cls(np.zeros(takes, bool), np.zeros(takes, np.int32))


def find_following(manifest: Manifest, is_to_buy: NDArray[np.bool_], is_to_do: NDArray[np.bool_]) -> Following:
    """Return which takes to buy follow others; those that cannot be bought are in `blocked`."""
    found = Following.none(len(is_to_buy))
    links = [link for link in manifest.chains.links if link.row in manifest.chains.linked]
    if not links:
        return found
    sources = [manifest.chains.linked[link.row].source for link in links]
    at = FingerprintSet(manifest.digests).positions(digests_of(each.fingerprint for each in sources)).tolist()
    blocked: dict[int, str] = {}
    for link, source, from_take in zip(links, sources, at, strict=True):
        for take in manifest.take_of[link.at : link.at + link.takes].tolist():
            if not is_to_buy[take] or take in blocked:
                continue
            is_coming = from_take >= 0 and bool(is_to_do[from_take]) and from_take not in blocked
            if not source.is_discarded and (source.state is State.COMPLETED or is_coming):
                found.is_follower[take] = True
            else:
                blocked[take] = _reason_for(link, source, is_blocked=from_take in blocked)
    for link, from_take in zip(reversed(links), reversed(at), strict=True):
        takes = manifest.take_of[link.at : link.at + link.takes]
        following = takes[found.is_follower[takes]]
        if from_take >= 0 and len(following):
            found.height[from_take] = max(found.height[from_take], int(found.height[following].max()) + 1)
    return Following(found.is_follower, found.height, blocked)


def sources_among(manifest: Manifest) -> dict[int, int]:
    """Return the take that each chained take starts from, where the manifest asks for that too; both by number."""
    links = [link for link in manifest.chains.links if link.row in manifest.chains.linked]
    if not links:
        return {}
    sources = [manifest.chains.linked[link.row].source.fingerprint for link in links]
    at = FingerprintSet(manifest.digests).positions(digests_of(sources)).tolist()
    found: dict[int, int] = {}
    for link, source in zip(links, at, strict=True):
        if source >= 0:
            found |= dict.fromkeys(manifest.take_of[link.at : link.at + link.takes].tolist(), source)
    return found


def _reason_for(link: Link, source: Source, *, is_blocked: bool) -> str:
    what = "waits itself" if is_blocked else _REASONS.get(source.state, _OPEN)
    what = "was discarded, and there is no other; buy more takes of it" if source.is_discarded else what
    return f"{_WAITS.format(shot=link.source)}{source.fingerprint[:12]} {what}"


def origins_of(manifest: Manifest) -> dict[str, Origin]:
    """Return the take that each chained take starts from, by its fingerprint."""
    origins: dict[str, Origin] = {}
    for link in manifest.chains.links:
        linked = manifest.chains.linked.get(link.row)
        if linked is not None:
            takes = hex_of(manifest.digests[manifest.take_of[link.at : link.at + link.takes]])
            origin = Origin(linked.source.fingerprint, linked.key, linked.source.instead_of)
            origins.update(dict.fromkeys(takes, origin))
    return origins
