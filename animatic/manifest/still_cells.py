"""Rules for the local stills that rows name: their identities, their faults, and what may disappoint. Opens nothing."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from animatic.errors.text import did_you_mean, escaped, quoted
from animatic.manifest import images
from animatic.manifest.faults import MAX_REPORTED_FAULTS, Problem, position_of
from animatic.manifest.still_folder import StillFolder
from animatic.takes.stills import (
    MEDIA_FORMS,
    MIN_SIDE_PIXELS,
    FoundStill,
    MediaFile,
    MissingStill,
    Shape,
    Still,
    media_suffix,
)  # fmt: skip
from animatic.takes.veo2 import ASPECT_RATIO, ratio_of

LEAST_SUMMED_UP = 6
"""So many missing stills of one folder are told in one line, even where others of it are there."""

MOST_NAMED = 10
_SMALL_ADVICE = f"{MIN_SIDE_PIXELS} or more on the shorter side give better clips"

Unsound = Mapping[int, Mapping[str, str]]
"""Rows by number, each with its stills that cannot be used, by what identifies them, and why."""

RowProblems = dict[int, list[tuple[str, Problem]]]
"""Problems of rows, by index in their batch, each with its column."""


class StillCells:
    """Judges the stills of the rows of one manifest, batch after batch.

    Args:
        stills: for each relative path that rows name, what was found there.
        folder: the folder that paths start from.
        unsound: rows with stills that are there and cannot be used.
        seen: shapes of stills on the web, by URL, as far as they were looked at.
    """

    def __init__(
        self, stills: Mapping[str, FoundStill], folder: StillFolder, unsound: Unsound, seen: Mapping[str, Shape]
    ) -> None:
        self._stills, self.folder, self._unsound = stills, folder, unsound
        self._shapes = {path: found for path, found in stills.items() if isinstance(found, Still)} | dict(seen)
        self._summaries = _summaries(stills, folder)
        self._small, self._unfit = set[str](), dict[str, Sequence[str]]()
        shapes: dict[tuple[int, int], tuple[bool, list[str]]] = {}
        for path, found in self._shapes.items():
            size = found.width, found.height
            if size not in shapes:
                shapes[size] = found.is_small, [each for each in ASPECT_RATIO.allowed if not found.fits(each)]
            is_small, self._unfit[path] = shapes[size]
            if is_small:
                self._small.add(path)
        self._first_row_of_small: dict[str, int] = {}
        self._first_row_of_unfit: dict[tuple[str, str], int] = {}

    def ratio_of(self, path: str) -> str | None:
        """Return the ratio in which a local still lies; None for one that is not there, or on the web."""
        found = self._stills.get(path)
        return ratio_of(found) if isinstance(found, Still) else None

    def identities(self, cells: Sequence[Any], problems: RowProblems, first_row: int) -> list[str | None]:
        """Return what each still is known by, None where there is a fault; `cells` are what `images.image` returned."""
        known: list[str | None] = []
        for index, image in enumerate(cells):
            if not isinstance(image, str):
                known.append(None)
                continue
            found = image if "://" in image else self._identity_of(image)
            why = self._unsound.get(first_row + index, {}).get(found) if isinstance(found, str) else None
            problem = unusable(image, why) if why is not None else found
            if isinstance(problem, Problem):
                problems.setdefault(index, []).append(("image", problem))
            known.append(problem if isinstance(problem, str) else None)
        return known

    def _identity_of(self, path: str, column: str = "image") -> str | Problem:
        """Return what a local still is known by, or its fault."""
        found = self._stills.get(path, "it was not looked for")
        is_file = isinstance(found, Still | MediaFile)
        return f"sha256:{found.sha256}" if is_file else self._problem_of(path, found, column)

    @property
    def unsound(self) -> Unsound:
        """Rows with stills that are there and cannot be used."""
        return self._unsound

    def identities_of(self, files: Sequence[Any], column: str) -> tuple[list[Any], list[Problem]]:
        """Return what each file of one cell is known by, and the faults of those that cannot be used."""
        known, problems = list[Any](), list[Problem]()
        for each in files:
            if not isinstance(each, str) or "://" in each:
                known.append(each)
                continue
            found = self._identity_of(each, column)
            if isinstance(found, Problem):
                problems.append(found)
            else:
                known.append(found)
        return known, problems

    def note(self, columns: Mapping[str, Sequence[Any]], first_row: int) -> None:
        """Remember the first row of each still that may disappoint. Rows with faults have no takes."""
        if not self._unfit:
            return
        ratios, takes = columns[ASPECT_RATIO.name], columns["takes"]
        for index, path in enumerate(columns["image"]):
            unfit = self._unfit.get(path)
            if unfit is None or not takes[index]:
                continue
            if ratios[index] in unfit:
                self._first_row_of_unfit.setdefault((path, ratios[index]), first_row + index)
            if path in self._small:
                self._first_row_of_small.setdefault(path, first_row + index)

    def notes(self, name: str, line_of: Callable[[int], int | None]) -> list[str]:
        """Return a line for each small still, and one for all those of another shape than their clips."""
        shown = escaped(name, 200)

        def place(row: int) -> str:
            return position_of(shown, line_of(row), row)

        small = list(self._first_row_of_small.items())
        lines = [
            f"{place(row)}: image: {quoted(path)} is {self._size_of(path)} pixels; {_SMALL_ADVICE}"
            for path, row in small[:MAX_REPORTED_FAULTS]
        ]
        if len(small) > MAX_REPORTED_FAULTS:
            lines.append(f"{shown}: and {len(small) - MAX_REPORTED_FAULTS:,} more small stills")
        unfit = list(self._first_row_of_unfit.items())
        if unfit:
            named = [
                f"{quoted(path)} ({self._size_of(path)} in {ratio}, {place(row)})"
                for (path, ratio), row in unfit[:MOST_NAMED]
            ]
            more = f" and {len(unfit) - MOST_NAMED:,} more" if len(unfit) > MOST_NAMED else ""
            what = "a still has" if len(unfit) == 1 else f"{len(unfit):,} stills have"
            lines.append(
                f"image: {what} another shape than the row's {ASPECT_RATIO.name}, so that parts may be cut away: "
                f"{', '.join(named)}{more}"
            )
        return lines

    def _problem_of(self, path: str, found: MissingStill | str, column: str = "image") -> Problem:
        if isinstance(found, MissingStill):
            hint = None if found.near is None else did_you_mean(found.near)
            what = f"no file {quoted(path)}"
            return Problem(
                "missing still",
                what,
                _allowed_at(path),
                hint,
                self._summaries.get(path) if column == "image" else None,
            )
        return unusable(path, found)

    def _size_of(self, path: str) -> str:
        return f"{self._shapes[path].width} x {self._shapes[path].height}"


def unusable(file: str, why: str) -> Problem:
    """Return the fault of a still that is there, by path or URL, and cannot be used."""
    allowed = images.SEEN_ALLOWED if "://" in file else _allowed_at(file)
    return Problem("unusable still", f"{quoted(file)}: {escaped(why, 200)}", allowed)


def _allowed_at(path: str) -> str:
    """Return what the file at a path may be, in words."""
    suffix = media_suffix(path)
    return images.STILL_ALLOWED if suffix is None else images.media_allowed(MEDIA_FORMS[suffix].kind)


def _summaries(stills: Mapping[str, FoundStill], folder: StillFolder) -> dict[str, str]:
    """Return one line for all missing stills, by path: of each folder that has none of its own, or lacks many."""
    missing: dict[str, list[str]] = defaultdict(list)
    named = Counter(path.rpartition("/")[0] for path in stills)
    for path, found in stills.items():
        if isinstance(found, MissingStill):
            missing[path.rpartition("/")[0]].append(path)
    everything = [path for paths in missing.values() for path in paths]
    if len(everything) > 1 and len(everything) == len(stills) and len(missing) > 1:
        places = ", ".join(quoted(f"{each}/") if each else "its own folder" for each in list(missing)[:MOST_NAMED])
        return dict.fromkeys(everything, _summary(everything, len(stills), f", in {places}", folder, stills))
    return {
        path: _summary(paths, named[place], f" in {quoted(f'{place}/')}" if place else "", folder, stills)
        for place, paths in missing.items()
        if len(paths) > 1 and (len(paths) == named[place] or len(paths) >= LEAST_SUMMED_UP)
        for path in paths
    }


def _summary(
    paths: Sequence[str], named: int, where: str, folder: StillFolder, stills: Mapping[str, FoundStill]
) -> str:
    """Return the words for several missing stills; the first near name among them stands for all."""
    shown = ", ".join(map(quoted, paths[:MOST_NAMED])) + (
        f" and {len(paths) - MOST_NAMED:,} more" if len(paths) > MOST_NAMED else ""
    )
    looked = f" (looked from {escaped(folder.shown, 200)})" if folder.uri else ""
    near = next((found.near for path in paths if isinstance(found := stills[path], MissingStill) and found.near), None)
    if len(paths) == named:
        found, hint = (
            f"none of {named:,} stills{where}{looked}: {shown}",
            "is that the right folder?" if folder.is_named else "is the manifest in the right folder?",
        )
    else:
        found, hint = (
            f"no file for {len(paths):,} of {named:,} stills{where}{looked}: {shown}",
            "are these names right?",
        )
    return Problem("", found, images.STILL_ALLOWED, hint if near is None else f"{hint} {did_you_mean(near)}").text
