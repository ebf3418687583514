"""The board: what people look at. Storyboards, their shots, versions and takes, out of results tables and decisions.

Pure. Reading the tables is the business of `results.boards`.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from unicodedata import normalize
from urllib.parse import quote

from animatic.manifest.images import STILL_SUFFIXES
from animatic.results.decisions import APPROVED, DISCARDED, RETAKE, Decision, Decisions, named
from animatic.takes.canonical import canonical_still, canonical_text
from animatic.takes.inputs import Inputs
from animatic.takes.models import INPUT_NAMES
from animatic.takes.stills import MEDIA_FORMS

MOST_NAMED = 10
_FILES = (*STILL_SUFFIXES, *MEDIA_FORMS)

Row = Mapping[str, Any]
"""A row of a results table: its known columns by name, as Python values; those of the manifest under CARRIED."""

CARRIED = "carried"
"""Key of a row under which the manifest's columns stand by name, where they were read."""


@dataclass(frozen=True, slots=True)
class TakeShown:
    """One take as the results show it, with the decisions on it.

    Attributes:
        row: the row of the newest table that has it.
        table: which of the tables that is, from 0.
        decision: the last one on the take itself; None where there is none.
        notes: decisions that belong to a frame, in order of frames.
    """

    row: Row
    table: int = 0
    decision: Decision | None = None
    notes: tuple[Decision, ...] = ()

    @property
    def fingerprint(self) -> str | None:
        """Its identity; None in the row of a shot that is invalid."""
        return self.row["fingerprint"]

    @property
    def number(self) -> int | None:
        """Number of the take; None in the row of a shot that is invalid."""
        return self.row["take"]

    @property
    def is_approved(self) -> bool:
        """True if it was approved."""
        return self.decision is not None and self.decision.decision == APPROVED

    @property
    def is_discarded(self) -> bool:
        """True if it may not be used."""
        return self.decision is not None and self.decision.decision == DISCARDED

    @property
    def is_usable(self) -> bool:
        """True if it is completed and was not discarded."""
        return self.row["status"] == "completed" and not self.is_discarded


@dataclass(frozen=True, slots=True)
class Version:
    """Request of a shot at one time, and its takes in order of their numbers.

    Attributes:
        number: counts from 1 within the shot, in the order of the tables.
    """

    number: int
    takes: tuple[TakeShown, ...]

    @property
    def row(self) -> Row:
        """The row of its newest take, which holds what was asked for."""
        return self.takes[-1].row


@dataclass(frozen=True, slots=True)
class ShotShown:
    """A shot with all its versions, oldest first."""

    storyboard: str
    shot_id: str
    versions: tuple[Version, ...]

    @property
    def takes(self) -> tuple[TakeShown, ...]:
        """All its takes, oldest first."""
        return tuple(take for version in self.versions for take in version.takes)

    @property
    def picked(self) -> TakeShown | None:
        """The take that all use: the newest approved one, else the newest that is completed and not discarded."""
        completed = [take for take in self.takes if take.is_usable]
        approved = [take for take in completed if take.is_approved]
        return (approved or completed or [None])[-1]


@dataclass(frozen=True, slots=True)
class Storyboard:
    """Shots that belong together, in manifest order."""

    name: str
    shots: tuple[ShotShown, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """Storyboards in the order in which the tables name them.

    Attributes:
        unmatched: decisions on takes that no table has, or that shots of several storyboards may be meant by.
        decision_notes: lines for people on what could not be read as a decision.
    """

    storyboards: tuple[Storyboard, ...]
    unmatched: tuple[Decision, ...] = ()
    decision_notes: tuple[str, ...] = ()

    @property
    def shots(self) -> tuple[ShotShown, ...]:
        """All shots, in order."""
        return tuple(shot for storyboard in self.storyboards for shot in storyboard.shots)

    @property
    def notes(self) -> list[str]:
        """Lines for people: the decisions that are on no take, and what could not be read as one."""
        names = list(dict.fromkeys(map(named, self.unmatched)))
        if not names:
            return list(self.decision_notes)
        more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
        are = "decision is on a take" if len(self.unmatched) == 1 else "decisions are on takes"
        why = "that no table has, or that shots of several storyboards have"
        return [*self.decision_notes, f"{len(self.unmatched):,} {are} {why}: {', '.join(names[:MOST_NAMED])}{more}"]


def make_board(tables: Iterable[Iterable[Row]], decisions: Decisions) -> Board:
    """Return the board of results tables, given oldest first.

    A take that several tables have is shown as the newest of them has it, and where the first of them has it. Rows of
    a shot that differ in what is asked for, take number aside, are versions of it; so are those whose take of one
    number is another one, since a still has changed under its name.
    """
    shots: dict[tuple[str, str], list[_Asked]] = {}
    for number, rows in enumerate(tables):
        for (*name, _), group in _by_shot(rows).items():
            versions = shots.setdefault((name[0], name[1]), [])
            takes = {row["fingerprint"] or row["take"]: TakeShown(row, number) for row in group}
            _version_for(versions, asked_by(group[-1]), takes).takes.update(takes)
    shown = [_shot(*name, _without_mended(versions)) for name, versions in shots.items()]
    decided, unmatched = _decided(shown, decisions)
    storyboards: dict[str, list[ShotShown]] = {}
    for shot in decided:
        storyboards.setdefault(shot.storyboard, []).append(shot)
    return Board(
        tuple(Storyboard(name, tuple(shots)) for name, shots in storyboards.items()), unmatched, decisions.notes
    )


def asked_by(row: Row) -> str:
    """Return a key of what a row asks for, without the number of the take: rows of one version have the same.

    Texts and addresses count in their canonical form, files by where they are: another manifest may name them by
    another path.
    """
    still = canonical_still(row.get("still_uri") or row["image"] or "")
    sent = {name: still if value == row["image"] else _place_of(value, row) for name, value in inputs_of(row).items()}
    return json.dumps([row["model"], still, dict(Inputs(sent).canonical())], sort_keys=True)


def _place_of(value: Any, row: Row) -> Any:
    """Return where a file is that an input names, as far as the row's still says where its manifest's files are."""
    if isinstance(value, list):
        return [_place_of(each, row) for each in cast("list[Any]", value)]
    if not isinstance(value, str) or "://" in value or not value.lower().endswith(_FILES):
        return value
    image, uri = quote(row["image"] or ""), row.get("still_uri") or ""
    folder = uri.removesuffix(image) if image and uri.endswith(image) else ""
    return f"file://{quote(value)}" if value.startswith("/") else folder + quote(value)


def inputs_of(row: Row) -> Inputs:
    """Return what a row asks for, as written; of a table from before there was a column for it, what veo2-i2v takes."""
    try:
        inputs = json.loads(row.get("inputs") or "")
    except (ValueError, RecursionError):
        inputs = None
    if isinstance(inputs, dict):
        return Inputs(cast("dict[str, Any]", inputs))
    return Inputs({name: row[name] for name in INPUT_NAMES if row.get(name) is not None})


@dataclass(slots=True)
class _Asked:
    """A version while it is put together: its key, and its takes by fingerprint, or by number without one."""

    key: str
    takes: dict[Any, TakeShown] = field(default_factory=dict[Any, TakeShown])

    def conflicts(self, takes: Mapping[Any, TakeShown]) -> bool:
        """Tell if one of these has the number of another take here."""
        names = {take.number: name for name, take in self.takes.items()}
        return any(names.get(take.number, name) != name for name, take in takes.items())


def _by_shot(rows: Iterable[Row]) -> dict[tuple[str, str, Any], list[Row]]:
    """Return the rows of a table by storyboard, shot and row of the manifest."""
    groups: dict[tuple[str, str, Any], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["storyboard"] or "", _name_of(row), row["row"]), []).append(row)
    return groups


def _version_for(versions: list[_Asked], key: str, takes: Mapping[Any, TakeShown]) -> _Asked:
    """Return the version that takes belong to: one that has some of them, or asks for the same; else a new one."""
    for each in reversed(versions):
        if any(name in each.takes for name in takes if isinstance(name, str)):
            return each
    for each in reversed(versions):
        if each.key == key and not each.conflicts(takes):
            return each
    versions.append(_Asked(key))
    return versions[-1]


def _name_of(row: Row) -> str:
    return row["shot_id"] or f"row {row['row']}"


def _without_mended(versions: Sequence[_Asked]) -> Sequence[_Asked]:
    """Leave out rows that were invalid once, where the shot has valid ones by now."""
    valid = [each for each in versions if any(take.row["status"] != "invalid" for take in each.takes.values())]
    return valid or versions


def _shot(storyboard: str, shot_id: str, versions: Sequence[_Asked]) -> ShotShown:
    ordered = [
        Version(number, tuple(sorted(asked.takes.values(), key=lambda take: take.number or 0)))
        for number, asked in enumerate(versions, 1)
    ]
    return ShotShown(storyboard, shot_id, tuple(ordered))


def _decided(shots: Sequence[ShotShown], decisions: Decisions) -> tuple[list[ShotShown], tuple[Decision, ...]]:
    """Put decisions on their takes: on all that have the fingerprint, whichever shots they are of.

    Those without a fingerprint go to the newest version of the shot that has such a take; where it is known when they
    were made, to the newest one of then. Where shots of several storyboards have the name, and the decision names none,
    it is on none.
    """
    by_fingerprint: dict[str, list[TakeShown]] = {}
    by_name: dict[tuple[str, int | None], dict[str, list[TakeShown]]] = {}
    for shot in shots:
        for take in shot.takes:
            by_fingerprint.setdefault(take.fingerprint or "", []).append(take)
            named_so = by_name.setdefault((normalize("NFC", shot.shot_id), take.number), {})
            named_so.setdefault(shot.storyboard, []).append(take)
        if len(shot.takes) == 1:  # then its shot alone names it
            by_name.setdefault((normalize("NFC", shot.shot_id), None), {})[shot.storyboard] = list(shot.takes)
    found: dict[int, list[Decision]] = {}
    unmatched: list[Decision] = []
    wanted = _wanted_prompts(decisions)
    for decision in decisions.rows:
        takes = (
            by_fingerprint.get(decision.fingerprint, []) if decision.fingerprint else _named(decision, by_name, wanted)
        )
        for take in takes:
            found.setdefault(id(take.row), []).append(decision)
        if not takes:
            unmatched.append(decision)
    return [_shot_decided(shot, found) for shot in shots], tuple(unmatched)


WantedPrompts = Mapping[tuple[str, int | None], Collection[str]]
"""New prompts of retakes without a fingerprint or a time, by shot_id and number of the take."""


def _wanted_prompts(decisions: Decisions) -> WantedPrompts:
    found: dict[tuple[str, int | None], set[str]] = {}
    for each in decisions.rows:
        if each.decision == RETAKE and each.prompt and not each.fingerprint and each.moment is None:
            found.setdefault((normalize("NFC", each.shot_id), each.take), set()).add(canonical_text(each.prompt))
    return found


def _named(
    decision: Decision,
    by_name: Mapping[tuple[str, int | None], Mapping[str, Sequence[TakeShown]]],
    wanted: WantedPrompts,
) -> Sequence[TakeShown]:
    """Return the take that a decision names by shot_id and number; none where several may be meant."""
    name = normalize("NFC", decision.shot_id), decision.take
    boards, prompts = by_name.get(name, {}), wanted.get(name, ())
    if not decision.shot_id:
        return []
    if decision.storyboard in boards:
        return [_of_then(boards[decision.storyboard], decision, prompts)]
    takes = [_of_then(takes, decision, prompts) for takes in boards.values()]
    return takes if len({take.fingerprint for take in takes}) == 1 else []


def _of_then(takes: Sequence[TakeShown], decision: Decision, wanted: Collection[str]) -> TakeShown:
    """Return the newest of a shot's takes of one number that a decision can be about.

    A retake with another prompt, and the notes beside it, are not about the take that has this prompt by now.
    """
    answers = wanted if decision.moment is None and decision.decision in {"", RETAKE} else ()
    fitting = [take for take in takes if canonical_text(str(take.row["prompt"] or "")) not in answers]
    return next((take for take in reversed(fitting) if not is_newer(take.row, decision)), takes[0])


def is_newer(row: Row, decision: Decision) -> bool:
    """Tell if a take was submitted after a decision was made. Where one of the times is not known, it was not."""
    decided, submitted = decision.moment, submitted_at(row)
    return decided is not None and submitted is not None and submitted > decided


def submitted_at(row: Row) -> datetime | None:
    """Return when a take was submitted, in UTC; None where that is not known."""
    found = row.get("submitted_at")
    if not isinstance(found, datetime):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _shot_decided(shot: ShotShown, found: Mapping[int, Sequence[Decision]]) -> ShotShown:
    versions = [
        Version(version.number, tuple(_take_decided(take, found.get(id(take.row), ())) for take in version.takes))
        for version in shot.versions
    ]
    return ShotShown(shot.storyboard, shot.shot_id, tuple(versions))


def _take_decided(take: TakeShown, decisions: Sequence[Decision]) -> TakeShown:
    own = [each for each in decisions if each.frame is None]
    notes = sorted((each for each in decisions if each.frame is not None), key=lambda each: each.frame or 0)
    return TakeShown(take.row, take.table, own[-1] if own else None, tuple(notes))
