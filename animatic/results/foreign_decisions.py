"""Decisions out of the CSV exports of review systems: Kitsu, and Flow (ShotGrid). Pure.

An export is known by its header. A status that is not in the tables below decides nothing and is named: a studio may
mean anything by its own. Sources, and how sure each is: docs/how-to/retakes.md.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from animatic.errors import LocationError
from animatic.errors.text import quoted
from animatic.results.decisions import APPROVED, RETAKE, Decision

LINES_ABOVE = 5
"""An export of a playlist has lines above its header."""

MOST_NAMED = 10
KITSU: Mapping[str, str] = {
    "done": APPROVED,
    "approved": APPROVED,
    "retake": RETAKE,
    **dict.fromkeys(
        ("", "todo", "ready", "ready to start", "wip", "work in progress", "wfa", "waiting for approval", "neutral"), ""
    ),
}
"""Short names and names of the statuses that zou makes for a new studio. Source: its `init_data`."""

FLOW: Mapping[str, str] = {
    "apr": APPROVED,
    "approved": APPROVED,
    "final approved": APPROVED,
    "fin": APPROVED,
    "final": APPROVED,
    "retake": RETAKE,
    **dict.fromkeys(
        (
            *("", "na", "n/a", "rev", "pending review", "pending director review", "vwd", "viewed"),
            *("wtg", "waiting to start", "rdy", "ready to start", "ip", "in progress"),
        ),
        "",
    ),
}
"""Codes and names of the statuses of a Version. Source: Autodesk's page on statuses, and ShotGrid's own apps."""

_TAKE = re.compile(r"(?:^|[^a-z])(?:take|tk|t)[ _-]?([0-9]{1,4})(?![0-9])", re.IGNORECASE)
_VERSION = re.compile(r"(?:^|[^a-z])v([0-9]{1,4})(?![0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Foreign:
    """Decisions of another system.

    Attributes:
        system: its name.
        notes: statuses that decide nothing since they are not known, and rows without a shot.
    """

    system: str
    rows: tuple[Decision, ...]
    notes: tuple[str, ...]


def find_foreign(data: bytes, name: str) -> Foreign | None:
    """Return the decisions in an export of a review system; None where it is no such file.

    Raises:
        LocationError: it is one, and does not say which task its statuses are of.
    """
    try:
        text = data.decode("utf-8-sig")
        head = "".join(text[:20_000].splitlines(keepends=True)[: LINES_ABOVE + 1])
        delimiter = max(",;\t", key=head.count)
        for at, header in enumerate(csv.reader(io.StringIO(head, newline=""), delimiter=delimiter)):
            plain = [cell.strip().lower() for cell in header]
            form = _form_of(name, plain, header)
            if form is not None:
                rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))[at + 1 :]
                return _found(form, [dict(zip(plain, row, strict=False)) for row in rows if any(row)])
    except (UnicodeDecodeError, csv.Error):
        return None
    return None


_Row = tuple[str, str, int | None, str, str]
"""Storyboard, shot, take, status and note."""

_Cells = Mapping[str, str]


class _Form(NamedTuple):
    """An export: of which system, what its statuses mean, and the way from its cells to a row; None for no shot's."""

    system: str
    statuses: Mapping[str, str]
    read: Callable[[_Cells], _Row | None]


def _form_of(name: str, plain: Sequence[str], header: Sequence[str]) -> _Form | None:
    """Return the form of an export with this header. Raises LocationError."""
    names = {*plain}
    if {"entity name", "revision", "task status"} <= names:
        return _Form("Kitsu", KITSU, _of_playlist)
    if {"entity type", "entity", "task type", "task status"} <= names:
        return _Form("Kitsu", KITSU, _of_task)
    if {"sequence", "name", "assignations"} <= names:
        return _Form("Kitsu", KITSU, partial(_of_shot, column=_task_column(name, plain, header)))
    if {"version name", "status"} <= names and "shot_id" not in names:
        return _Form("Flow", FLOW, _of_version)
    return None


def _of_playlist(row: _Cells) -> _Row:
    *above, shot = [part.strip() for part in row.get("entity name", "").split(" / ")]
    author, text = row.get("last comment author", "").strip(), row.get("last comment", "").strip()
    note = f"{author}: {text}" if author and text else text
    return above[-1] if above else "", shot, _whole(row.get("revision", "")), row.get("task status", ""), note


def _of_task(row: _Cells) -> _Row | None:
    if row["entity type"].strip().lower() != "shot":
        return None
    return row.get("sequence", "").strip(), row["entity"].strip(), None, row["task status"], ""


def _of_shot(row: _Cells, column: str) -> _Row:
    return row.get("sequence", "").strip(), row.get("name", "").strip(), None, row.get(column, ""), ""


def _of_version(row: _Cells) -> _Row:
    name, link = row["version name"].strip(), row.get("link", row.get("shot", "")).strip()
    found = _TAKE.search(name) or _VERSION.search(name)
    shot = link or (re.sub(r"[ _.-]+$", "", name[: found.start()]) if found else name)
    return "", shot, None if found is None else int(found[1]), row.get("status", ""), row.get("description", "").strip()


def _task_column(name: str, plain: Sequence[str], header: Sequence[str]) -> str:
    """Return the one column of a task's status: the column behind it names who has the task."""
    tasks = [at for at, following in enumerate(plain[1:]) if following == "assignations"]
    if len(tasks) != 1:
        found = ", ".join(quoted(header[at]) for at in tasks[:MOST_NAMED])
        raise LocationError(
            f"{name}: an export of Kitsu with the statuses of {len(tasks)} tasks ({found}); allowed: one. Leave the "
            "columns of the others out, or export a playlist"
        )
    return plain[tasks[0]]


def _found(form: _Form, cells: Sequence[_Cells]) -> Foreign:
    system, statuses, read = form
    decisions: list[Decision] = []
    unknown = Counter[str]()
    nameless = 0
    for storyboard, shot, take, status, note in filter(None, map(read, cells)):
        known = statuses.get(status.strip().lower())
        if not shot:
            nameless += 1
            continue
        if known is None:
            unknown[status.strip()] += 1
        if known or note:
            decisions.append(Decision(shot, take, "", known or "", note=note, storyboard=storyboard))
    notes: list[str] = []
    if unknown:
        named = ", ".join(f"{quoted(status)} ({count:,})" for status, count in unknown.most_common(MOST_NAMED))
        notes.append(f"statuses of {system} that decide nothing, since their meaning is not known: {named}")
    if nameless:
        notes.append(f"{nameless:,} rows of {system} name no shot")
    return Foreign(system, tuple(decisions), tuple(notes))


def _whole(text: str) -> int | None:
    plain = text.strip().removesuffix(".0")
    return int(plain) if plain.isdecimal() and len(plain) < 7 else None
