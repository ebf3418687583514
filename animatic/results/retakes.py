"""Retakes: which shots are asked for again, and as how many takes. Pure.

A request is the decision `retake` on a take. It is answered once a take was bought for it, which the columns RETAKE_OF
and RETAKE_TAKES of that take's row say: they go through the next manifest into its results. A decision that is newer
than its answer, or names another prompt by now, is a request again; not the one that RETAKE_DECIDED names, which was
made before its answer whatever the clocks say.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from animatic.errors.text import escaped
from animatic.results.board import CARRIED, Board, Row, ShotShown, TakeShown, Version, asked_by, inputs_of, submitted_at
from animatic.results.decisions import RETAKE
from animatic.takes.canonical import canonical_text
from animatic.takes.chains import source_of
from animatic.takes.shots import MAX_TAKES

RETAKE_OF, RETAKE_TAKES, RETAKE_DECIDED = "retake_of", "retake_takes", "retake_decided"
"""Columns of the manifest: fingerprints of takes that were asked for again, numbers of the takes that answer, and the
moments of the decisions that asked."""

START_FROM = "start_from"
Answers = Mapping[str, Mapping[str, str]]
"""Takes that were asked for again, by the take that was bought for them, all by fingerprint; with the moment of each
decision, empty where it is not known."""

_NO_MOMENT = "-"


class Pair(NamedTuple):
    """A take that was asked for again, the number of the take that answers, and the moment of the decision."""

    asked: str
    number: int
    decided: str = ""

    @property
    def cells(self) -> tuple[str, str, str]:
        """Texts in RETAKE_OF, RETAKE_TAKES and RETAKE_DECIDED."""
        return self.asked, str(self.number), self.decided or _NO_MOMENT


@dataclass(frozen=True, slots=True)
class RetakeRow:
    """A row of the next manifest.

    Attributes:
        base: the row of the results that it asks like.
        prompt: the new prompt; empty for the same.
        takes: how many takes it asks for, those that are bought already included.
        pairs: a take that was asked for again each, and the number of the take that answers.
        bought: how many of its takes are new; 0 for a shot that only begins others.
        counted_on: the takes that it asks for and that were bought before, by fingerprint.
    """

    storyboard: str
    shot_id: str
    base: Row
    prompt: str
    takes: int
    pairs: tuple[Pair, ...] = ()
    bought: int = 0
    target: str = ""
    counted_on: tuple[str, ...] = ()

    @property
    def start_from(self) -> str:
        """The shot that it starts from; empty for none."""
        return start_of(self.base)


@dataclass(frozen=True, slots=True)
class Retakes:
    """Everything that is asked for again and was not bought yet.

    Attributes:
        units: rows that must stand in one manifest: one that is asked for, and the shots that it starts from.
        answered: requests that takes were bought for already.
        refused: why requests are not among them, a line each.
    """

    units: tuple[tuple[RetakeRow, ...], ...]
    answered: int = 0
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class RefusedError(Exception):
    """A request that no manifest can hold. Its argument says why."""


def start_of(row: Row) -> str:
    """Return the shot that a row starts from; empty for none."""
    return str(row.get(CARRIED, {}).get(START_FROM) or "").strip()


def answers_in(tables: Iterable[Iterable[Row]]) -> dict[str, dict[str, str]]:
    """Return which takes of results tables were bought for which."""
    found: dict[str, dict[str, str]] = {}
    for rows in tables:
        for row in rows:
            cells: Mapping[str, Any] = row.get(CARRIED, {})
            asked, numbers, moments = (
                str(cells.get(name) or "").split() for name in (RETAKE_OF, RETAKE_TAKES, RETAKE_DECIDED)
            )
            known = moments if len(moments) == len(asked) else [_NO_MOMENT] * len(asked)
            for fingerprint, number, moment in zip(asked, numbers, known, strict=False):
                if number == str(row["take"]) and row["fingerprint"]:
                    answered = found.setdefault(row["fingerprint"], {})
                    answered[fingerprint] = answered.get(fingerprint, "") if moment == _NO_MOMENT else moment
    return found


def plan_retakes(board: Board, answers: Answers) -> Retakes:
    """Return what is asked for again and was not bought yet."""
    return _Planner(board, answers).plan()


@dataclass(slots=True)
class _Target:
    """A version of a shot that is asked for: one that is there, or a new one."""

    shot: ShotShown
    version: Version | None
    key: str
    prompt: str
    requests: list[TakeShown]


class _Planner:
    def __init__(self, board: Board, answers: Answers) -> None:
        self._board, self._answers = board, answers
        self._refused, self._notes, self._answered = list[str](), list[str](), 0
        self._by_key: dict[str, list[Version]] = {}
        self._by_take: dict[str, list[Version]] = {}
        self._shots = {(shot.storyboard, shot.shot_id): shot for shot in board.shots}
        for version in (version for shot in board.shots for version in shot.versions):
            self._by_key.setdefault(_key(version.row, ""), []).append(version)
            for take in version.takes:
                self._by_take.setdefault(take.fingerprint or "", []).append(version)

    def plan(self) -> Retakes:
        """Return what is asked for again and was not bought yet."""
        units: list[tuple[RetakeRow, ...]] = []
        for target in self._targets():
            try:
                units.append(tuple(self._rows_for(target)))
            except RefusedError as error:
                self._refused.append(f"shot {escaped(target.shot.shot_id)}: {error}")
        found = tuple(filter(None, units))
        return Retakes(found, self._answered, tuple(self._refused), tuple(self._notes))

    def _targets(self) -> list[_Target]:
        found: dict[tuple[str, str, str], _Target] = {}
        for shot in self._board.shots:
            asked = [take for take in shot.takes if take.decision is not None and take.decision.decision == RETAKE]
            for take in (self._meant_by(take, shot) for take in asked):
                if take.fingerprint is None:
                    self._refused.append(
                        f"shot {escaped(shot.shot_id)}: its row is invalid; correct it in the manifest"
                    )
                    continue
                target = _target_of(shot, take)
                name = target.key if target.version is None else str(target.version.number)
                found.setdefault((shot.storyboard, shot.shot_id, name), target).requests.append(take)
        return list(found.values())

    def _meant_by(self, take: TakeShown, shot: ShotShown) -> TakeShown:
        """Return the take that a decision is about: one by name seems to be about the take that was bought for it."""
        decision = take.decision
        seen = {take.fingerprint}
        while decision is not None and not decision.fingerprint:
            answered = self._answers.get(take.fingerprint or "", {})
            before = [each for each in shot.takes if each.fingerprint in answered and each.number == take.number]
            if not before or before[-1].fingerprint in seen:
                break
            if _is_newer(take, take) and answered[before[-1].fingerprint or ""] != decision.stamp:
                break
            take = replace(before[-1], decision=decision)
            seen.add(take.fingerprint)
        return take

    def _rows_for(self, target: _Target) -> list[RetakeRow]:
        """Return the row for a target, and behind it those of the shots that it starts from; none where all is done."""
        known = self._pairs_of(target.version)
        asked = [take for take in target.requests if not self._is_answered(take, target)]
        self._answered += len(target.requests) - len(asked)
        if not asked:
            return []
        numbers = self._numbers_of(target)
        new, takes = _new_numbers(numbers, len(asked))
        if takes > MAX_TAKES:
            raise RefusedError(
                f"it would have {takes} takes; allowed: up to {MAX_TAKES}. Change its prompt or its still"
            )
        pending = [str(number) for number in new if number in numbers]
        if pending:
            what = "take" if len(pending) == 1 else "takes"
            self._notes.append(
                f"shot {escaped(target.shot.shot_id)}: {what} {', '.join(pending)}, asked for before and never bought, "
                "will be bought for it"
            )
        asked_again = {take.fingerprint for take in asked}
        pairs = [pair for pair in known if pair.asked not in asked_again or numbers.get(pair.number)]
        pairs += [
            Pair(take.fingerprint or "", number, _stamp_of(take)) for take, number in zip(asked, new, strict=True)
        ]
        row = RetakeRow(
            target.shot.storyboard,
            target.shot.shot_id,
            asked[0].row,
            target.prompt,
            takes,
            tuple(dict.fromkeys(pairs)),
            len(asked),
            _name_of(target.version, target.key),
            _bought_of(target.version, takes),
        )
        return [row, *self._sources_for(target)]

    def _pairs_of(self, version: Version | None) -> list[Pair]:
        takes = () if version is None else version.takes
        return [
            Pair(fingerprint, take.number or 0, decided)
            for take in takes
            for fingerprint, decided in sorted(self._answers.get(take.fingerprint or "", {}).items())
        ]

    def _is_answered(self, request: TakeShown, target: _Target) -> bool:
        takes = () if target.version is None else target.version.takes
        for take in takes:
            decided = self._answers.get(take.fingerprint or "", {}).get(request.fingerprint or "")
            if decided is None or not was_tried(take.row):
                continue
            if _is_newer(request, take) and decided != _stamp_of(request):
                continue
            if take.row["status"] in {"failed", "rejected"}:
                self._notes.append(
                    f"shot {escaped(target.shot.shot_id)}: take {take.number}, bought for take {request.number}, "
                    f"{'failed' if take.row['status'] == 'failed' else 'was rejected'}; run its manifest again with "
                    "--retry-failed, or ask for a retake of it"
                )
            return True
        return False

    def _numbers_of(self, target: _Target) -> dict[int, bool]:
        """Return the numbers of takes that ask for the same, in whichever shot; true for those that were tried."""
        own = target.version
        others = self._by_key.get(target.key, []) if own is None and not _is_chained(target.requests[0].row) else []
        if own is not None:
            others = [each for take in own.takes for each in self._by_take.get(take.fingerprint or "", [])]
        numbers: dict[int, bool] = {}
        for version in (*([] if own is None else [own]), *others):
            for take in version.takes:
                if take.number is not None:
                    numbers[take.number] = numbers.get(take.number, False) or was_tried(take.row)
        return numbers

    def _sources_for(self, target: _Target) -> list[RetakeRow]:
        """Return the rows of the shots that a target starts from, with the takes that they have: nothing is bought."""
        rows: list[RetakeRow] = []
        base, version, seen = target.requests[0].row, target.version, {target.shot.shot_id}
        while name := start_of(base):
            shot = self._shots.get((target.shot.storyboard, name))
            if shot is None or name in seen:
                raise RefusedError(f"it starts from {escaped(name)}, which no table has; give its table too")
            seen.add(name)
            version = _source_version(shot, version)
            takes = _whole_number_of_takes(version)
            if not takes:
                raise RefusedError(
                    f"it starts from {escaped(name)}, whose take 1 was never bought; run its manifest first"
                )
            base = version.row
            pairs = tuple(self._pairs_of(version))
            rows.append(
                RetakeRow(
                    shot.storyboard, shot.shot_id, base, "", takes, pairs,
                    target=_name_of(version, ""), counted_on=_bought_of(version, takes),
                )
            )  # fmt: skip
        if _is_chained(target.requests[0].row) and not rows:
            raise RefusedError("it starts from another shot, and the table has no column start_from that says which")
        return rows


def was_tried(row: Row) -> bool:
    """Tell if a take was submitted, whatever its end: its number is used."""
    marks = (row.get("prediction_id"), row.get("submitted_at"), row.get("attempts"))
    return row["status"] not in {"pending", "invalid"} or any(marks)


def _target_of(shot: ShotShown, take: TakeShown) -> _Target:
    """Return the version that a decision asks for."""
    version = next(each for each in shot.versions if any(own.row is take.row for own in each.takes))
    wanted = "" if take.decision is None else take.decision.prompt
    same = not wanted or canonical_text(wanted) == canonical_text(str(inputs_of(take.row).get("prompt") or ""))
    if same and not _is_chained(take.row):
        return _Target(shot, version, _key(take.row, ""), "", [])
    key = _key(take.row, "" if same else wanted)
    found = [each for each in shot.versions if _key(each.row, "") == key]
    return _Target(shot, found[-1] if found else None, key, "" if same else wanted, [])


def _key(row: Row, prompt: str) -> str:
    """Return a key of what a row asks for, with another prompt; a last frame counts as any other of the shot's source.

    The take that a shot starts from is the run's to choose: it keeps the one that it was bought with.
    """
    if not prompt and not _is_chained(row):
        return asked_by(row)
    inputs = {**inputs_of(row), **({"prompt": prompt} if prompt else {})}
    return asked_by({**row, "inputs": _as_inputs(inputs, start_of(row) if _is_chained(row) else "")})


def _as_inputs(inputs: Mapping[str, Any], start: str) -> str:
    return json.dumps({**inputs, **({"image": f"last frame of shot {start}"} if start else {})})


def _is_chained(row: Row) -> bool:
    image = inputs_of(row).get("image")
    return bool(start_of(row)) or (isinstance(image, str) and source_of(image) is not None)


def _name_of(version: Version | None, key: str) -> str:
    return key if version is None else f"version {version.number}"


def _bought_of(version: Version | None, takes: int) -> tuple[str, ...]:
    """Return the first so many takes of a version, as far as they were tried, by fingerprint."""
    own = () if version is None else version.takes
    return tuple(take.fingerprint or "" for take in own if (take.number or 0) <= takes and was_tried(take.row))


def _source_version(shot: ShotShown, follower: Version | None) -> Version:
    """Return the version that a shot's follower was bought with; for one that is new, that of the take that all use."""
    source = None if follower is None else source_of(str(inputs_of(follower.row).get("image")))
    picked = source or (shot.picked.fingerprint if shot.picked is not None else None)
    has_it = [each for each in shot.versions if any(take.fingerprint == picked for take in each.takes)]
    return (has_it or list(shot.versions))[-1]


def _whole_number_of_takes(version: Version) -> int:
    """Return how many takes can be asked for without buying one: up to the first that was not tried."""
    tried = {take.number for take in version.takes if was_tried(take.row)}
    return next(number for number in range(1, MAX_TAKES + 2) if number not in tried) - 1


def _new_numbers(numbers: Mapping[int, bool], count: int) -> tuple[list[int], int]:
    """Return the first so many numbers that were not tried, and how many takes ask for just these and tried ones."""
    new: list[int] = []
    number = 0
    while len(new) < count:
        number += 1
        if not numbers.get(number, False):
            new.append(number)
    return new, number


def _stamp_of(request: TakeShown) -> str:
    return "" if request.decision is None else request.decision.stamp


def _is_newer(request: TakeShown, answer: TakeShown) -> bool:
    """Tell if a decision was made after its answer was submitted. One whose time is not known was not."""
    moment = None if request.decision is None else request.decision.moment
    submitted = submitted_at(answer.row)
    return moment is not None and submitted is not None and moment > submitted
