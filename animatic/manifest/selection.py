"""Rows that a run is about: chosen by values of columns, and by a limit. Others stay as the ledger knows them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from animatic.errors import SettingsError
from animatic.errors.text import did_you_mean, nearest, quoted
from animatic.manifest.header import COLUMNS, known_name

NOT_CHOSEN = "not chosen by --only or --limit"


@dataclass(frozen=True, slots=True)
class Selection:
    """Choice of rows.

    Attributes:
        only: allowed values by column; a row is chosen if it has one of them in each.
        limit: at most so many of those rows, from the first; None for all.
    """

    only: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    limit: int | None = None

    @property
    def is_all(self) -> bool:
        """Tell that every row is chosen."""
        return not self.only and self.limit is None


ALL_ROWS = Selection()


def read_only(options: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of `--only COLUMN=VALUE`, by column. Raises SettingsError."""
    found: dict[str, list[str]] = {}
    for option in options:
        column, mark, value = option.partition("=")
        if not mark or not column.strip():
            raise SettingsError(f'--only: found "{option}"; allowed: COLUMN=VALUE, such as storyboard=lighthouse')
        found.setdefault(column.strip(), []).append(value.strip())
    return found


_NAME = re.compile(r"[A-Za-z]\w{0,99}", re.ASCII)


def read_mapping(options: Sequence[str]) -> dict[str, str]:
    """Return the columns of `--map NAME=COLUMN`, by our name. Raises SettingsError."""
    found: dict[str, str] = {}
    for option in options:
        name, mark, column = (part.strip() for part in option.partition("="))
        near = None if name in COLUMNS else nearest(name, COLUMNS, 0.7)
        if not mark or not column or not _NAME.fullmatch(name) or near:
            hint = f"; {did_you_mean(near)}" if near else ""
            allowed = f"NAME=COLUMN, where NAME is {', '.join(COLUMNS)}, or an input of a model"
            raise SettingsError(f'--map: found "{option}"; allowed: {allowed}{hint}')
        if name in found:
            raise SettingsError(f'--map: found "{name}" twice; allowed: each name once')
        found[name] = column
    return found


def _column(name: str, columns: Sequence[str]) -> str:
    """Return the column that a name means: itself, else ours as in a header, else the one in another case."""
    if name in columns:
        return name
    known = known_name(name)
    if known in columns:
        return str(known)
    alike = [column for column in columns if column.lower() == name.lower()]
    return alike[0] if len(alike) == 1 else name


class Selector:
    """Applies a selection to the batches of one manifest, in order."""

    def __init__(self, selection: Selection, columns: Sequence[str]) -> None:
        selection = Selection(
            {_column(name, columns): values for name, values in selection.only.items()}, selection.limit
        )
        self._selection, self._left = selection, selection.limit
        self._seen: dict[str, set[str]] = {name: set() for name in selection.only}
        self._others: dict[str, dict[str, None]] = {name: {} for name in selection.only}
        unknown = [name for name in selection.only if name not in columns]
        if unknown:
            near = nearest(unknown[0], columns, 0.7)
            hint = f"; {did_you_mean(near)}" if near else ""
            raise SettingsError(
                f"--only: found no column {quoted(unknown[0])}; allowed: one of {', '.join(columns[:20])}{hint}"
            )

    def batch(self, columns: Mapping[str, pa.Array], takes: pa.Array) -> NDArray[np.bool_]:
        """Tell which rows are chosen; `takes` is 0 in rows with faults, which no limit counts."""
        is_chosen = np.ones(len(takes), bool)
        for name, wanted in self._selection.only.items():
            texts = [None if value is None else str(value).strip() for value in columns[name].to_pylist()]
            is_chosen &= np.array([text in wanted for text in texts], bool)
            self._seen[name].update(text for text in texts if text is not None and text in wanted)
            if len(self._others[name]) < 1_000:
                self._others[name].update((text, None) for text in texts if text)
        if self._left is not None:
            is_valid = takes.to_numpy(zero_copy_only=False) > 0
            rank = np.cumsum(is_chosen & is_valid)
            is_chosen &= rank <= self._left
            self._left -= int(min(rank[-1], self._left)) if len(rank) else 0
        return is_chosen

    def require_found(self) -> None:
        """Refuse values that no row has. Raises SettingsError."""
        for name, wanted in self._selection.only.items():
            for value in wanted:
                if value not in self._seen[name]:
                    others = list(self._others[name])
                    near = nearest(value, others, 0.6)
                    hint = f"; {did_you_mean(near)}" if near else ""
                    shown = ", ".join(quoted(each) for each in others[:10])
                    raise SettingsError(f"--only {name}={value}: no row has that value; allowed: such as {shown}{hint}")
