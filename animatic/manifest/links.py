"""Links between rows: which shot each chained row starts from, and every fault of its chain. Pure."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from animatic.errors.text import counted, did_you_mean, nearest, quoted
from animatic.manifest.checked import CHECKED, FAULT_AT, TAKES_AT, Manifest
from animatic.manifest.faults import Problem
from animatic.manifest.header import START_FROM
from animatic.takes.chains import Link

LONGEST = 200
"""Most shots in one chain. Each is looked up after the one before it."""

_MOST_COMPARED = 2_000
_ALLOWED = "the shot_id of another row of the same storyboard"
_BEGINS = "a chain that begins with a shot that has an image"
_AT = [CHECKED.get_field_index(name) for name in ("shot_id", "storyboard", START_FROM)]
"""Places of these columns: a carried one behind them may have the same name."""


class _Row(NamedTuple):
    """A row of a manifest that has chains; `at` is where its first take is among all pairs of row and take."""

    row: int
    storyboard: str
    start_from: str | None
    at: int
    takes: int


def find_links(manifest: Manifest) -> tuple[list[Link], dict[int, Problem]]:
    """Return the links of a manifest, each after the one that it starts from, and what is wrong with other rows."""
    rows = dict(_named_rows(manifest))
    chained = [name for name, each in rows.items() if each.start_from and each.takes]
    problems: dict[str, Problem] = {}
    depths: dict[str, int] = {}
    for name in chained:
        _measure(name, rows, depths, problems)
    links = [
        Link(row.row, name, source, row.at, row.takes, rows[source].at, rows[source].takes, depths[name])
        for name in chained
        if name not in problems and (row := rows[name]) and (source := row.start_from or "")
    ]
    links.sort(key=lambda link: (link.depth, link.row))
    return links, {rows[name].row: problem for name, problem in problems.items()}


def _named_rows(manifest: Manifest) -> Iterator[tuple[str, _Row]]:
    """Yield each row by its shot_id. A row with a fault has no takes; it does not hide a sound one of its name."""
    row, at, seen = 1, 0, set[str]()
    for batch in manifest.rows:
        names, storyboards, sources = (batch.column(at) for at in _AT)
        cells = zip(
            names.to_pylist(),
            storyboards.to_pylist(),
            sources.to_pylist(),
            batch.column(TAKES_AT).to_pylist(),
            batch.column(FAULT_AT).to_pylist(),
            strict=True,
        )
        for name, storyboard, source, takes, fault in cells:
            if name and name not in seen:
                seen.update([name] if fault is None else [])
                yield name, _Row(row, storyboard or "", source, at, takes)
            row, at = row + 1, at + takes


def _measure(name: str, rows: Mapping[str, _Row], depths: dict[str, int], problems: dict[str, Problem]) -> None:
    """Find the depth of a chained row and of all that it stands on, or what is wrong with each."""
    path: dict[str, int] = {}
    while name not in depths and name not in problems and name not in path:
        row = rows.get(name)
        if row is None or not row.takes or not row.start_from:
            break
        path[name] = len(path)
        name = row.start_from
    depth = depths.get(name, 0)
    for number, each in enumerate(reversed(path), 1):
        problem = _problem_of(each, path, rows, problems)
        if problem is None and depth + number > LONGEST:
            found = f"{quoted(rows[each].start_from or '')}, with {LONGEST:,} shots before this one in its chain"
            problem = Problem("long chain", found, f"chains of up to {LONGEST:,} shots; begin a new one with an image")
        if problem is None:
            depths[each] = depth + number
        else:
            problems[each] = problem


def _problem_of(
    name: str, path: Mapping[str, int], rows: Mapping[str, _Row], problems: Mapping[str, Problem]
) -> Problem | None:
    """Return why a row cannot start from the shot that it names; None where it can."""
    row = rows[name]
    source = row.start_from or ""
    other = rows.get(source)
    if other is None:
        near = nearest(source, list(rows)[:_MOST_COMPARED], 0.7)
        return Problem("missing shot", f"{quoted(source)}, which no row has", _ALLOWED, near and did_you_mean(near))
    if path.get(source, len(path)) <= path[name]:
        shots = path[name] - path[source] + 1
        found = f"{quoted(source)}, which starts from this shot itself"
        found = found if shots < 3 else f"{found} by way of {counted(shots - 2, 'other')}"
        return Problem("circle", found if shots > 1 else f"{quoted(source)}, the shot itself", _BEGINS)
    if not other.takes or source in problems:
        return Problem("faulty source", f"{quoted(source)}, whose row has a fault", f"{_ALLOWED} that has none")
    if other.storyboard != row.storyboard:
        found = f"{quoted(source)}, which is of storyboard {quoted(other.storyboard)}"
        return Problem("another storyboard", found, f"a shot of {quoted(row.storyboard)}")
    return None
