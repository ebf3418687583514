"""Chains: shots that start from the last frame of another shot's take. Pure.

A last frame is known by the fingerprint of the take that it ends, never by its pixels: what a decoder makes of a clip
depends on its version, and must not make another take of the same request.
"""

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from unicodedata import normalize

from animatic.takes.states import State

_LAST_FRAME = re.compile(r"last frame of ([0-9a-f]{64})")
_BAD = (State.FAILED, State.REJECTED)


def last_frame_of(fingerprint: str) -> str:
    """Return what identifies the last frame of a take in inputs, by the take's fingerprint."""
    return f"last frame of {fingerprint}"


def last_frame_of_shot(shot_id: str) -> str:
    """Return what stands for a last frame while it is not known which take of its shot is meant."""
    return f"last frame of shot {shot_id}"


def source_of(identity: str) -> str | None:
    """Return the fingerprint of the take whose last frame this identifies; None where it identifies anything else."""
    found = _LAST_FRAME.fullmatch(identity)
    return None if found is None else found[1]


def key_of(asked: str, storyboard: str, names: tuple[str, str]) -> str:
    """Return the key by which the ledger knows a chained shot: what it asks for without its still, and its names.

    `asked` is as of `takes.shots.canonical`; `names` are its own shot_id and that of the shot that it starts from.
    """
    return hashlib.sha256(json.dumps([asked, storyboard, *names]).encode()).hexdigest()


class Candidate(NamedTuple):
    """A take of the shot that another starts from, in the order of the takes' numbers."""

    fingerprint: str
    state: State | None


@dataclass(frozen=True, slots=True)
class Choices:
    """Decisions of people on takes, by fingerprint, or by shot_id and number.

    Attributes:
        approved: takes that were approved; shot_ids in NFC.
        discarded: takes that nothing may use any more.
        is_followed: shots that were bought with another source than the approved one are bought again from that.
        row_of: where in the file the last decision on each stands. Of a take that is decided on by fingerprint and by
            shot_id and number, the later decision counts.
    """

    approved: Collection[str | tuple[str, int]] = ()
    discarded: Collection[str | tuple[str, int]] = ()
    is_followed: bool = False
    row_of: Mapping[str | tuple[str, int], int] = field(default_factory=dict[str | tuple[str, int], int])

    def on(self, shot_id: str, takes: Sequence[str]) -> "Choices":
        """Return those on the takes of one shot, by their fingerprints; `takes` are in the order of their numbers."""
        plain = normalize("NFC", shot_id)
        numbered = [(take, (plain, number)) for number, take in enumerate(takes, 1)]
        names = {take: max((take, name), key=lambda each: self.row_of.get(each, -1)) for take, name in numbered}
        approved, discarded = (
            frozenset(take for take, name in numbered if names[take] in among or (not self.row_of and name in among))
            for among in (self.approved, self.discarded)
        )
        return Choices(approved, discarded, self.is_followed)


NO_CHOICES = Choices()


@dataclass(frozen=True, slots=True)
class Source:
    """The take that a shot starts from.

    Attributes:
        fingerprint: of that take.
        state: in the ledger.
        newer: the take that it would start from if it had not been bought yet; None where that is the same.
        instead_of: the take that it was bought with before, where that is followed no more.
        is_discarded: every take on offer was discarded, and the shot was not bought yet.
    """

    fingerprint: str
    state: State | None
    newer: str | None = None
    instead_of: str | None = None
    is_discarded: bool = False


def choose_source(
    candidates: Sequence[Candidate], fixed: Candidate | None = None, choices: Choices = NO_CHOICES
) -> Source:
    """Return the take that a shot starts from.

    Args:
        candidates: takes of the other shot as it is now, at least one.
        fixed: the take that the shot was bought with before. It stays, unless another is approved, or the other shot
            asks for something else by now, and that is to be followed.
        choices: which takes were approved and discarded.
    """
    current = _current(candidates, choices)
    if fixed is None:
        return Source(*current, is_discarded=current.fingerprint in choices.discarded)
    is_replaced = fixed.fingerprint not in {each.fingerprint for each in candidates}
    is_other = current.fingerprint != fixed.fingerprint and (is_replaced or current.fingerprint in choices.approved)
    if is_other and choices.is_followed:
        return Source(*current, instead_of=fixed.fingerprint)
    return Source(*fixed, newer=current.fingerprint if is_other else None)


def _current(candidates: Sequence[Candidate], choices: Choices) -> Candidate:
    """Return the approved take, else the last that is completed, else the first that may still become so."""
    usable = [each for each in candidates if each.fingerprint not in choices.discarded]
    approved = [each for each in candidates if each.fingerprint in choices.approved]
    completed = [each for each in usable if each.state is State.COMPLETED]
    if approved or completed:
        return (approved or completed)[-1]
    return next((each for each in usable if each.state not in _BAD), candidates[0])


class Origin(NamedTuple):
    """The take whose last frame another starts from.

    Attributes:
        source: its fingerprint.
        key: what the shot that starts from it asks for, without its still.
        instead_of: the take that the shot was bought with before, where another may replace that.
    """

    source: str
    key: str
    instead_of: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A shot that starts from another one.

    Attributes:
        row: its row.
        name: its shot_id.
        source: shot_id of the other.
        at, takes: where its first take is among all pairs of row and take, and how many there are.
        source_at, source_takes: the same of the other.
        depth: how many shots come before it in its chain, from 1.
    """

    row: int
    name: str
    source: str
    at: int
    takes: int
    source_at: int
    source_takes: int
    depth: int


class Linked(NamedTuple):
    """A link that was looked up: the key of its shot, and the take that it starts from."""

    key: str
    source: Source


@dataclass(frozen=True, slots=True)
class Chains:
    """The chains of a manifest.

    Attributes:
        links: each after the one that it starts from.
        linked: the links that were looked up, by row; empty before.
    """

    links: Sequence[Link] = ()
    linked: Mapping[int, Linked] = field(default_factory=dict[int, Linked])

    def source_of(self, row: int) -> Source | None:
        """Return where a row starts; None where it starts from no other, or that was not looked up yet."""
        found = self.linked.get(row)
        return None if found is None else found.source


NO_CHAINS = Chains()
