"""A checked manifest: its shots, its takes and their fingerprints, and every fault that was found.

Rows come in batches and go out in batches; what stays is 32 bytes a take.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from animatic.errors import ManifestError
from animatic.manifest.faults import Faults, report
from animatic.manifest.rows import Rows
from animatic.takes.chains import NO_CHAINS, Chains, last_frame_of, last_frame_of_shot
from animatic.takes.fingerprints import Digests, digests_from, hex_of
from animatic.takes.inputs import Inputs
from animatic.takes.models import INPUT_NAMES
from animatic.takes.schemas import ModelSchema, TakeClass
from animatic.takes.shots import Shot, Take
from animatic.takes.stills import FoundStill, MediaFile, Still
from animatic.takes.veo2 import CHOICES

INPUT_COLUMNS = ("prompt", "still", *CHOICES)
"""Columns that hold the inputs, in the order of `INPUT_NAMES`."""
TEXT_COLUMNS = ("shot_id", "storyboard", "image", "start_from", "model", *INPUT_COLUMNS, "inputs")
CHECKED: pa.Schema = pa.schema(
    [("fault", pa.string()), *((name, pa.string()) for name in TEXT_COLUMNS), ("takes", pa.int8())]
)
"""The first columns of a checked row; the carried ones come behind them, whatever they are called.

`fault` is null for a shot; else it says what is wrong with the row, whose texts then are the cells as they stand, and
`takes` is 0. `inputs` is null for veo2-i2v, whose inputs have columns of their own; for any other model it is their
JSON, as written in the row.
"""
_OF_FILES = ("still", "inputs", "model")
FAULT_AT, TAKES_AT = 0, len(CHECKED) - 1


@dataclass(frozen=True, slots=True, repr=False)
class Manifest:
    """A manifest that was checked.

    Attributes:
        name, sha256, num_rows: as in `RawManifest`.
        provider: the provider that the shots are for; it is part of every fingerprint.
        folder: absolute URI of the folder that relative paths of stills start from.
        carried: the columns that go into the results unchanged.
        rows: every row in batches: the columns of `CHECKED`, then the carried ones; no takes while the header is bad.
        faults: those of the header first, then row by row; after the first 50 only counted.
        num_invalid: how many rows have faults.
        warnings: what is allowed and may still disappoint, ready to print.
        digests: of the takes, in order; rows that ask for the same take share one.
        take_of: for each row and take, in order, which of `digests` it is.
        schemas: of the models that rows are of, by their ids.
        classes, class_of: the different classes of takes; for each of `digests` which of them it is.
        stills: what was found at the relative paths that it names.
        old_digests, old_of: fingerprints from before there was a canonical form, of takes for which it makes a
            difference, and which of `digests` each is now.
        has_signed_paths: whether any still has an address that carries its authorisation in the path.
        chains: shots that start from others.
    """

    name: str
    sha256: str
    provider: str
    num_rows: int
    carried: pa.Schema
    rows: Rows
    faults: Faults
    num_invalid: int
    warnings: Sequence[str]
    digests: Digests
    take_of: NDArray[np.int32]
    schemas: Mapping[str, ModelSchema]
    classes: Sequence[TakeClass]
    class_of: NDArray[np.int32]
    stills: Mapping[str, FoundStill]
    folder: str = ""
    old_digests: Digests = field(default_factory=lambda: digests_from(b""))
    old_of: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    has_signed_paths: bool = False
    is_chosen: NDArray[np.bool_] | None = None
    row_is_chosen: NDArray[np.bool_] | None = None
    chains: Chains = NO_CHAINS

    def __repr__(self) -> str:
        """Return a short form: logs should not spell out every row."""
        return f"<Manifest {self.name} of {self.num_rows} rows>"

    @property
    def num_lines(self) -> int:
        """Number of rows of its results: one for each row and take, and one for each invalid row."""
        return len(self.take_of) + self.num_invalid

    def parts(self) -> Iterator["Part"]:
        """Its batches, one after the other, with the takes that they ask for."""
        row, at = 1, 0
        for batch in self.rows:
            lengths = batch.column(TAKES_AT).to_numpy(zero_copy_only=False).astype(np.int64)
            asked = int(lengths.sum())
            take_of = self.take_of[at : at + asked]
            digests = self.digests[take_of]
            yield Part(row, batch, lengths, take_of, digests, self.schemas, self.stills, self.chains)
            row, at = row + batch.num_rows, at + asked

    @property
    def has_chains(self) -> bool:
        """Tell if it has the column that chains are made with."""
        return "start_from" in self.carried.names

    def require_valid(self, *, skip_invalid: bool = False) -> None:
        """Raise ManifestError with the whole report; `skip_invalid` forgives faults of rows, never the header's."""
        if self.faults.has_header_faults or (len(self.faults) and not skip_invalid):
            raise ManifestError(report(self.faults, self.name), len(self.faults))


@dataclass(frozen=True, slots=True, repr=False)
class Part:
    """A batch of a checked manifest.

    Attributes:
        row: the number of its first row.
        batch: as in `Manifest.rows`.
        lengths: how many takes each row asks for; 0 for an invalid one.
        take_of, digests: for each row and take, as in `Manifest`.
        schemas, stills, chains: as in `Manifest`.
    """

    row: int
    batch: pa.RecordBatch
    lengths: NDArray[np.int64]
    take_of: NDArray[np.int32]
    digests: Digests
    schemas: Mapping[str, ModelSchema]
    stills: Mapping[str, FoundStill]
    chains: Chains = NO_CHAINS

    def shots(self, indices: NDArray[np.int64]) -> list[Shot]:
        """Return the shots in these of its rows, none of which is invalid."""
        rows = self.batch.select(range(len(CHECKED))).take(pa.array(indices, pa.int64()))
        columns = (column.to_pylist() for column in rows.columns[1:])
        return [
            self._shot(row, shot_id, storyboard, image, start_from, self.schemas[model], values, written, takes)
            for row, shot_id, storyboard, image, start_from, model, *values, written, takes in zip(
                (indices + self.row).tolist(), *columns, strict=True
            )
        ]

    def _shot(  # noqa: PLR0913, PLR0917 - the columns of a row
        self,
        row: int,
        shot_id: str,
        storyboard: str,
        image: str | None,
        start_from: str | None,
        schema: ModelSchema,
        values: Sequence[str],
        written: str | None,
        takes: int,
    ) -> Shot:
        if written is None and start_from is None:
            inputs = Inputs(zip(INPUT_NAMES, values, strict=True))
            still = inputs["image"]
            paths = {still: image or ""} if still.startswith("sha256:") else {}
            return Shot(row, shot_id, storyboard, image or "", schema, inputs, takes, paths)
        inputs = Inputs(zip(INPUT_NAMES, values, strict=True) if written is None else json.loads(written))
        identity_of = self._identities(schema.files_in(inputs))
        if start_from is not None:
            identity_of[last_frame_of_shot(start_from)] = self._still_of(row, start_from)
        paths = {identity: path for path, identity in identity_of.items()}
        return Shot(row, shot_id, storyboard, image or "", schema, inputs.with_files(identity_of), takes, paths)

    def _still_of(self, row: int, start_from: str) -> str:
        """Return what identifies the still of a shot that starts from another."""
        source = self.chains.source_of(row)
        return last_frame_of_shot(start_from) if source is None else last_frame_of(source.fingerprint)

    def _identities(self, files: Sequence[Any]) -> dict[str, str]:
        """Return what identifies each local file among these, by its path."""
        found = {each: self.stills.get(each) for each in files if isinstance(each, str)}
        return {path: f"sha256:{still.sha256}" for path, still in found.items() if isinstance(still, Still | MediaFile)}

    def files(self, index: int) -> list[str]:
        """Return what identifies each file that a row sends: `sha256:<hex>`, or its URL."""
        row = self.batch.slice(index, 1)
        still, written, model = (row.column(CHECKED.get_field_index(name))[0].as_py() for name in _OF_FILES)
        if written is None:
            return [still] if still else []
        files = self.schemas[model].files_in(Inputs(json.loads(written)))
        return [each for each in (*self._identities(files).values(), *files) if isinstance(each, str)]

    def first_shown(self, met: int) -> tuple[NDArray[np.bool_], int]:
        """Tell which of its takes appear here first, if earlier parts showed `met`; also return how many are met then.

        Takes are numbered as they first appear.
        """
        numbers, firsts = np.unique(self.take_of, return_index=True)
        is_first = np.zeros(len(self.take_of), np.bool_)
        is_first[firsts[numbers >= met]] = True
        return is_first, max(met, int(numbers.max(initial=-1)) + 1)

    def names(self) -> Iterator[tuple[int, int, str, str, str]]:
        """Yield the row, the number, the storyboard, the shot_id and the fingerprint of each of its takes, in order."""
        owners = np.repeat(np.arange(len(self.lengths)), self.lengths)
        numbers = np.arange(len(owners)) - np.repeat(np.cumsum(self.lengths) - self.lengths, self.lengths) + 1
        at = (CHECKED.get_field_index(name) for name in ("storyboard", "shot_id"))
        labels = (self.batch.column(index).take(pa.array(owners)).to_pylist() for index in at)
        rows = (owners + self.row).tolist()
        yield from zip(rows, numbers.tolist(), *labels, hex_of(self.digests), strict=True)

    def storyboards(self, is_wanted: NDArray[np.bool_]) -> list[str]:
        """Return the storyboard of each of its takes that is wanted: one flag for each row and take."""
        owners = np.repeat(np.arange(len(self.lengths)), self.lengths)[is_wanted]
        return self.batch.column(CHECKED.get_field_index("storyboard")).take(pa.array(owners)).to_pylist()

    def takes(self, is_wanted: NDArray[np.bool_]) -> Iterator[Take]:
        """Those of its takes, in order, that are wanted: one flag for each row and take."""
        wanted = np.flatnonzero(is_wanted)
        ends = np.cumsum(self.lengths)
        owners = np.searchsorted(ends, wanted, side="right")
        rows, which = np.unique(owners, return_inverse=True)
        shots = self.shots(rows)
        numbers = wanted - (ends - self.lengths)[owners] + 1
        names = hex_of(self.digests[wanted])
        for name, shot, number in zip(names, which.tolist(), numbers.tolist(), strict=True):
            yield Take(name, shots[shot], number)
