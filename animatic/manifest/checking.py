"""The check of a whole manifest: every row becomes a shot, or all its faults are reported. It buys and opens nothing.

Rows come in batches and go out in batches; what stays is 32 bytes a take.
"""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from animatic.errors.text import escaped
from animatic.manifest import cells
from animatic.manifest.checked import CHECKED, TAKES_AT, TEXT_COLUMNS, Manifest
from animatic.manifest.faults import Problem
from animatic.manifest.header import is_carried, unsent_notes
from animatic.manifest.judging import Judge
from animatic.manifest.rows import Rows
from animatic.manifest.selection import ALL_ROWS, Selection, Selector
from animatic.manifest.source import RawManifest
from animatic.manifest.spelled import cell_bytes
from animatic.manifest.still_cells import StillCells, Unsound
from animatic.manifest.still_folder import StillFolder
from animatic.manifest.tables import whole_file_error
from animatic.takes.fingerprints import digests_from, shared
from animatic.takes.models import BUILT_IN, Catalogue
from animatic.takes.stills import FoundStill, Shape

MAX_CARRIED_BYTES = 4 << 30
"""Of carried cells in the results, where each take of a row repeats them; no larger table could be read back."""


def check(  # noqa: PLR0913 - what it is judged by, and where it goes
    raw: RawManifest,
    *,
    stills: Mapping[str, FoundStill],
    storyboard_default: str,
    provider: str,
    rows: Rows | None = None,
    left_out: Collection[str] = (),
    folder: StillFolder = StillFolder(),  # noqa: B008 - frozen
    written_provider: str | None = None,
    selection: Selection = ALL_ROWS,
    unsound: Unsound = MappingProxyType({}),
    seen: Mapping[str, Shape] = MappingProxyType({}),
    unlinked: Mapping[int, Problem] = MappingProxyType({}),
    catalogue: Catalogue = BUILT_IN,
) -> Manifest:
    """Judge every row by every rule. Faults are returned, not raised.

    Args:
        raw: as `read_table` gave it.
        stills: for each path of `local_stills`, what was found there.
        storyboard_default: the manifest file's stem.
        provider: the provider that takes are bought from.
        rows: where checked rows go; into memory if it is not given.
        left_out: names of columns that are not carried.
        folder: the folder that relative paths of stills start from.
        selection: rows that a run is about.
        unsound: rows with stills that are there and cannot be used.
        seen: shapes of stills on the web, by URL, as far as they were looked at.
        unlinked: rows that cannot start from the shot that they name, and why.
        catalogue: the models that rows may name.
        written_provider: the provider as fingerprints had it before there was a canonical form, where that differs.

    Raises:
        ManifestError: the takes would repeat more than MAX_CARRIED_BYTES of carried cells.
    """
    kept = [] if rows is None else rows
    still_cells = StillCells(stills, folder, unsound, seen)
    written = written_provider or provider
    judge = Judge(raw, still_cells, _as_label(storyboard_default), provider, written, catalogue, unlinked)
    carried, schema = _carried(raw, left_out)
    selector = (
        None if selection.is_all else Selector(selection, list(dict.fromkeys([*TEXT_COLUMNS, *raw.schema.names])))
    )
    chosen: list[NDArray[np.bool_]] = []
    carried_bytes = 0
    for batch in raw.rows:
        checked = judge.batch(batch)
        carried_bytes += _repeated_bytes([batch.column(index) for index in carried], checked[TAKES_AT])
        if carried_bytes > MAX_CARRIED_BYTES:
            found = "more than 4 GiB of carried cells, since every take of a row repeats them"
            raise whole_file_error(raw.name, Problem("too large", found, "up to 4 GiB; fewer takes, or shorter cells"))
        columns = [*checked, *(batch.column(index) for index in carried)]
        kept.append(pa.RecordBatch.from_arrays(columns, schema=pa.schema([*CHECKED, *schema])))
        if selector is not None:
            own = dict(zip(CHECKED.names, checked, strict=True))
            others = {name: batch.column(index) for index, name in enumerate(raw.schema.names) if name not in own}
            chosen.append(selector.batch({**others, **own}, checked[TAKES_AT]))
    digests, take_of = shared(digests_from(judge.digests))
    class_of = np.empty(len(digests), np.int32)
    class_of[take_of] = np.frombuffer(judge.classes_asked, np.int32)
    return Manifest(
        name=raw.name,
        sha256=raw.sha256,
        provider=provider,
        num_rows=raw.num_rows,
        carried=schema,
        rows=kept,
        faults=judge.faults,
        num_invalid=judge.num_invalid,
        warnings=[
            *raw.notes,
            *_rename_notes(raw, schema),
            *unsent_notes(raw.schema.names, judge.sent()),
            *still_cells.notes(raw.name, raw.line),
        ],
        digests=digests,
        take_of=take_of,
        schemas=judge.schemas,
        classes=list(judge.classes),
        class_of=class_of,
        stills=stills,
        folder=folder.uri,
        old_digests=digests_from(judge.old_digests),
        old_of=take_of[np.frombuffer(judge.old_at, np.int64)],
        has_signed_paths=judge.has_signed_paths or any(each.has_signed_paths for each in judge.models),
        **_chosen(selector, chosen, kept, take_of, len(digests)),
    )


def _carried(raw: RawManifest, left_out: Collection[str]) -> tuple[list[int], pa.Schema]:
    """Return the columns that are carried, and the schema that they have in the results.

    One with the name of a results column is carried as `manifest_NAME`; ours appear there once, normalised.
    """
    carried = [index for index, name in enumerate(raw.schema.names) if is_carried(name)]
    taken, fields = {*left_out, *raw.schema.names}, list[pa.Field]()
    for field in map(raw.schema.field, carried):
        name = field.name
        if name in left_out:
            name = f"manifest_{name}"
            while name in taken:
                name += "_"
            taken.add(name)
        fields.append(field.with_name(name))
    return carried, pa.schema(fields)


def _rename_notes(raw: RawManifest, carried: pa.Schema) -> list[str]:
    names = [name for name in raw.schema.names if is_carried(name)]
    changed = [(old, new) for old, new in zip(names, carried.names, strict=True) if old != new]
    if not changed:
        return []
    shown = ", ".join(f"{escaped(old, 60)} as {escaped(new, 60)}" for old, new in changed)
    return [f"columns with the name of a results column are carried under another: {shown}"]


def _chosen(
    selector: Selector | None, chosen: Sequence[NDArray[np.bool_]], rows: Rows, take_of: NDArray[np.int32], takes: int
) -> dict[str, Any]:
    """Return which rows are chosen, and which takes a chosen row asks for. Raises SettingsError."""
    if selector is None:
        return {"is_chosen": None, "row_is_chosen": None}
    selector.require_found()
    by_row = np.concatenate([np.empty(0, bool), *chosen])
    lengths = np.concatenate(
        [np.empty(0, np.int64), *(batch.column(TAKES_AT).to_numpy(zero_copy_only=False) for batch in rows)]
    )
    by_take = np.zeros(takes, bool)
    np.logical_or.at(by_take, take_of, np.repeat(by_row, lengths.astype(np.int64)))
    return {"is_chosen": by_take, "row_is_chosen": by_row}


def _repeated_bytes(carried: Sequence[pa.Array], takes: pa.Array) -> int:
    """Return about how much of the results these cells are."""
    lines = np.maximum(takes.to_numpy(zero_copy_only=False).astype(np.int64), 1)
    return sum(int(cell_bytes(column) @ lines) for column in carried)


def _as_label(text: str) -> str:
    """Return a file's stem as a storyboard name that a table can hold, however the file is called."""
    value = cells.storyboard(text) if text.strip() else "manifest"
    return value if isinstance(value, str) else "".join(c if c.isprintable() else "_" for c in text.strip()[:200])
