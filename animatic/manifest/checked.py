"""The check of a whole manifest: every row becomes a shot, or every fault in it is told. It buys and opens nothing."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from animatic.errors import ManifestError
from animatic.manifest import cells, images
from animatic.manifest.faults import MAX_REPORTED_FAULTS, Bad, Fault, escaped, fault_at, place_of, quoted, report
from animatic.manifest.header import COLUMNS, REQUIRED_COLUMNS
from animatic.manifest.images import Still
from animatic.manifest.parquet import has_text_form
from animatic.manifest.source import RawManifest, text_rows
from animatic.shots import ASPECT_RATIOS, DEFAULT_MODEL, DURATIONS, Shot, Take, fingerprint, takes_of

Value: TypeAlias = str | int | None

_MEMO_SIZE = 4_096
# One rule for each column; None for a blank cell. Where few different texts are to be expected, each is judged once.
_RULES: Mapping[str, Callable[[str], Value | Bad]] = {
    "image": lru_cache(_MEMO_SIZE)(images.image),
    "prompt": cells.prompt,
    "shot_id": cells.shot_id,
    "storyboard": lru_cache(_MEMO_SIZE)(cells.storyboard),
    "aspect_ratio": lru_cache(_MEMO_SIZE)(cells.aspect_ratio),
    "duration": lru_cache(_MEMO_SIZE)(cells.duration),
    "takes": lru_cache(_MEMO_SIZE)(cells.takes),
    "model": lru_cache(_MEMO_SIZE)(cells.model),
}
_SMALL_STILL_ADVICE = f"{images.MIN_SIDE_PIXELS} or more on the shorter side give better clips"
_EMPTY = {
    "image": Bad("empty image", "nothing", images.ALLOWED),
    "prompt": Bad("empty prompt", "nothing", "a text that is not blank"),
}


@dataclass(frozen=True, slots=True, repr=False)
class Manifest:
    """A manifest that was checked.

    Attributes:
        name, sha256, table: as in `RawManifest`.
        provider: the origin that the shots are for; it is part of every fingerprint.
        shots: the rows without faults, in order; empty while the header has faults.
        faults: those of the header first, then row by row.
        invalid_rows: each row with faults, in order, and what is wrong with it in one line.
        warnings: what is allowed and may still disappoint, ready to print.
    """

    name: str
    sha256: str
    provider: str
    shots: Sequence[Shot]
    table: pa.Table
    faults: Sequence[Fault]
    invalid_rows: Sequence[tuple[int, str]]
    warnings: Sequence[str]

    def __repr__(self) -> str:
        """Short: whoever prints or logs it should not spell out every row."""
        return f"<Manifest {self.name} of {self.table.num_rows} rows>"

    def takes(self) -> Iterator[Take]:
        """The takes of all shots, in order. Rows that ask for the same take give the same fingerprint."""
        for shot in self.shots:
            yield from takes_of(shot, self.provider)

    def require_valid(self, *, skip_invalid: bool = False) -> None:
        """Raise ManifestError with the whole report; `skip_invalid` forgives faults of rows, never the header's."""
        if any(fault.row is None for fault in self.faults) or (self.faults and not skip_invalid):
            raise ManifestError(report(self.faults, self.name), len(self.faults))


def check(raw: RawManifest, *, stills: Mapping[str, Still | str], storyboard_default: str, provider: str) -> Manifest:
    """Every row judged by every rule. Faults are returned, not raised.

    Args:
        raw: as `read_table` gave it.
        stills: for each path of `local_stills`, what was found there, or the sentence that says what is wrong with it.
        storyboard_default: the manifest file's stem.
        provider: the origin that takes are bought from.
    """
    judge = _Judge(raw, stills, _as_label(storyboard_default), provider)
    shots: list[Shot] = []
    faults = list(raw.header_faults)
    broken = {fault.row: fault for fault in raw.row_faults}
    nuls = _nul_faults(raw)
    for row, texts in enumerate(text_rows(raw.table, COLUMNS), start=1):
        if row in broken:
            faults.append(broken[row])
            continue
        shot = judge.shot(row, texts)
        found = judge.take_faults() + nuls.get(row, [])
        faults += found
        if shot is not None and not found and not raw.header_faults:
            shots.append(shot)
    warnings = _small_still_warnings(raw, shots, stills)
    return Manifest(raw.name, raw.sha256, provider, shots, raw.table, faults, _invalid_rows(faults), warnings)


class _Judge:
    """Judges rows one after the other, and remembers which shot_ids are taken."""

    def __init__(self, raw: RawManifest, stills: Mapping[str, Still | str], storyboard: str, provider: str) -> None:
        self._lines = raw.lines
        self._stills = stills
        self._storyboard = storyboard
        self._provider = provider
        readable = {field.name for field in raw.table.schema if has_text_form(field.type)}
        self._absent = frozenset(REQUIRED_COLUMNS) - readable  # a fault of the header; not one more in every row
        self._row_of_shot_id: dict[str, int] = {}
        self._row = 0
        self._faults: list[Fault] = []

    def shot(self, row: int, texts: Sequence[str | None]) -> Shot | None:
        """The shot of that row, or None; then `take_faults` says why."""
        self._row = row
        image, prompt, shot_id, storyboard, aspect_ratio, duration, takes, model = map(self._value, COLUMNS, texts)
        still = self._still_of(image) if isinstance(image, str) else None
        if isinstance(shot_id, str):
            self._claim(shot_id)
        if self._faults or still is None or not isinstance(image, str) or not isinstance(prompt, str):
            return None
        asked = {
            "still": still,
            "prompt": prompt,
            "model": str(model or DEFAULT_MODEL),
            "aspect_ratio": str(aspect_ratio or ASPECT_RATIOS[0]),
            "duration": str(duration or DURATIONS[0]),
        }
        name = str(shot_id or fingerprint(provider=self._provider, take=1, **asked)[:12])
        group = str(storyboard or self._storyboard)
        return Shot(row=row, shot_id=name, storyboard=group, image=image, takes=int(takes or 1), **asked)

    def take_faults(self) -> list[Fault]:
        """The faults of the row that was judged last; they are forgotten here."""
        faults, self._faults = self._faults, []
        return faults

    def _value(self, column: str, text: str | None) -> Value:
        if text is None or not text or text.isspace():
            if column in _EMPTY and column not in self._absent:
                self._add(column, _EMPTY[column])
            return None
        value = _RULES[column](text)
        if isinstance(value, Bad):
            self._add(column, value)
            return None
        return value

    def _still_of(self, image: str) -> str | None:
        if "://" in image:
            return image
        found = self._stills.get(image, "it was not looked for")
        if isinstance(found, str):
            self._add("image", Bad("unusable still", f"{quoted(image)}: {escaped(found, 200)}", images.STILL_ALLOWED))
            return None
        return f"sha256:{found.sha256}"

    def _claim(self, shot_id: str) -> None:
        first = self._row_of_shot_id.setdefault(shot_id, self._row)
        if first != self._row:
            place = f"row {first}" if self._lines is None else f"line {self._lines[first - 1]}"
            found = f"{quoted(shot_id)}, which is the shot_id of {place} already"
            self._add("shot_id", Bad("duplicate shot_id", found, "each shot_id once"))

    def _add(self, column: str, bad: Bad) -> None:
        line = None if self._lines is None else self._lines[self._row - 1]
        self._faults.append(fault_at(line, self._row, column, bad))


def _nul_faults(raw: RawManifest) -> dict[int, list[Fault]]:
    """NUL characters in columns that are only carried: no file that we write could hold them. By row."""
    faults: defaultdict[int, list[Fault]] = defaultdict(list)
    for name in raw.table.column_names:
        column = raw.table.column(name)
        if name in COLUMNS or not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            continue
        for index in _rows_with_nul(column):
            line = None if raw.lines is None else raw.lines[index]
            bad = Bad("hidden character", "a NUL character", "text without NUL characters")
            faults[index + 1].append(fault_at(line, index + 1, escaped(name), bad))
    return faults


def _rows_with_nul(column: pa.ChunkedArray) -> list[int]:
    """Indices, from 0."""
    mask = pc.call_function("match_substring", [column], pc.MatchSubstringOptions("\0"))
    return pc.call_function("indices_nonzero", [mask]).to_pylist()


def _invalid_rows(faults: Sequence[Fault]) -> list[tuple[int, str]]:
    texts: defaultdict[int, list[str]] = defaultdict(list)
    for fault in faults:
        if fault.row is not None:
            texts[fault.row].append(fault.text)
    return [(row, " | ".join(found)) for row, found in sorted(texts.items())]


def _small_still_warnings(raw: RawManifest, shots: Sequence[Shot], stills: Mapping[str, Still | str]) -> list[str]:
    """One line for each still that is smaller than the API asks for, at the first row that names it."""
    small = {path for path, found in stills.items() if not isinstance(found, str) and found.is_small}
    warnings: list[str] = []
    for shot in shots if small else ():
        found = stills.get(shot.image)
        if shot.image not in small or found is None or isinstance(found, str):
            continue
        small.discard(shot.image)
        line = None if raw.lines is None else raw.lines[shot.row - 1]
        size = f"{quoted(shot.image)} is {found.width} x {found.height} pixels"
        warnings.append(f"{place_of(escaped(raw.name, 200), line, shot.row)}: image: {size}; {_SMALL_STILL_ADVICE}")
    rest = len(warnings) - MAX_REPORTED_FAULTS
    return warnings if rest <= 0 else [*warnings[:-rest], f"{escaped(raw.name, 200)}: and {rest:,} more small stills"]


def _as_label(text: str) -> str:
    """A file's stem as a storyboard: whatever the file is called, it has a name that a table can hold."""
    value = cells.storyboard(text) if text.strip() else "manifest"
    return value if isinstance(value, str) else "".join(c if c.isprintable() else "_" for c in text.strip()[:200])
