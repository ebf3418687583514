"""The judging of rows, batch after batch: each becomes a shot with its takes, or shows all its faults."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from animatic.errors.text import escaped, quoted
from animatic.manifest import cells, images
from animatic.manifest.checked import TEXT_COLUMNS
from animatic.manifest.faults import Fault, Faults, Problem
from animatic.manifest.header import COLUMNS, NEAR_MISS, REQUIRED_COLUMNS, START_FROM
from animatic.manifest.model_rows import INSISTS, ModelRequests, ModelRows, refuse_cells
from animatic.manifest.parquet import has_text_form
from animatic.manifest.source import RawManifest, broken_rows, models_in, texts_of
from animatic.manifest.still_cells import RowProblems, StillCells
from animatic.takes.canonical import (
    canonical_provider,
    canonical_still,
    canonical_text,
    is_here,
    is_signed_by_path,
)
from animatic.takes.chains import last_frame_of_shot
from animatic.takes.fingerprints import DIGEST_BYTES, FirstSeen, digests_from
from animatic.takes.inputs import Inputs
from animatic.takes.models import DEFAULT_MODEL, INPUT_NAMES, Catalogue, RequestSchema
from animatic.takes.schemas import ModelSchema, TakeClass
from animatic.takes.shots import asked_form, digest
from animatic.takes.veo2 import ASPECT_RATIO, CHOICES, VEO2

Value: TypeAlias = str | int | None
# One rule for each column but `model`; blank cells are not shown to it. In each batch every different text is judged
# once. Those of veo2-i2v's inputs hold for its rows only: other models say in their schemas what they take.
_RULES: Mapping[str, Callable[[str], Value | Problem]] = {
    "prompt": cells.prompt,
    "shot_id": cells.shot_id,
    "storyboard": cells.storyboard,
    **{name: partial(cells.choice, choice) for name, choice in CHOICES.items()},
    START_FROM: cells.shot_id,
    "takes": cells.takes,
}
AUTO = "auto"
"""The aspect ratio of a row whose clip is to lie as its local still does."""

_VEO2_INPUTS = (*REQUIRED_COLUMNS, *CHOICES)
_UNNAMED = Problem("no shot_id", "nothing", f"a name of the shot's own, since it has a {START_FROM}")
_EMPTY = {
    "image": Problem("empty image", "nothing", images.ALLOWED),
    "prompt": cells.EMPTY_PROMPT,
}


def _header_faults(raw: RawManifest, models: Mapping[str, RequestSchema]) -> list[Fault]:
    """Return the faults of the header, but for near-misses that are inputs of a model in the manifest."""
    inputs = {quoted(name) for schema in models.values() for name in schema.properties}
    return [each for each in raw.header_faults if each.rule != NEAR_MISS or each.found not in inputs]


def _but_not_in(rows: Collection[int], batch: pa.RecordBatch, column: str) -> Sequence[str | None]:
    """Return the cells of a column, those of some rows blank: another judges them."""
    if len(rows) == batch.num_rows:
        return [None] * batch.num_rows
    texts = texts_of(batch, column)
    return [None if index in rows else text for index, text in enumerate(texts)] if rows else texts


class _Alike(NamedTuple):
    """Values that rows of one model with the same choices share.

    Attributes:
        form, form_of_before: from prompt and still to what is asked, now and before there was a canonical form.
        take_class: the number of their class, as int32.
    """

    form: Callable[[tuple[str, str]], str]
    form_of_before: Callable[[tuple[str, str]], str]
    take_class: bytes


class Judge:
    """Judges batches one after the other, and remembers which shot_ids are taken."""

    def __init__(  # noqa: PLR0913, PLR0917 - what rows are judged by
        self,
        raw: RawManifest,
        still_cells: StillCells,
        storyboard: str,
        provider: str,
        written: str,
        catalogue: Catalogue,
        unlinked: Mapping[int, Problem],
    ) -> None:
        models = {name: catalogue[name] for name in models_in(raw) if name in catalogue}
        self.faults = Faults(_header_faults(raw, models))
        self._catalogue = catalogue
        self._models: dict[str, ModelRows] = {
            name: ModelRows(schema, raw.schema.names, still_cells, provider)
            for name, schema in models.items()
            if name != DEFAULT_MODEL
        }
        self._unlinked = unlinked
        self._insisted = [name for name in raw.schema.names if name.startswith(INSISTS)]
        self.num_invalid = 0
        self.has_signed_paths = False
        self.digests = bytearray()
        self.classes: dict[TakeClass, int] = {}
        self._number_of: dict[int, bytes] = {}  # by identity: rows of others keep their classes, and a hash takes long
        self._alike: dict[tuple[str, tuple[str, ...]], _Alike] = {}
        self.classes_asked = bytearray()  # one int32 for each row and take
        self._raw = raw
        self._still_cells = still_cells
        self._storyboard = storyboard
        self._provider, self._written = canonical_provider(provider), written
        self.old_digests = bytearray()
        self.old_at = bytearray()  # one int64 for each of them: where its take stands among all row-and-take pairs
        readable = {field.name for field in raw.schema if has_text_form(field.type)}
        is_mixed = "model" in readable
        self._absent = frozenset() if is_mixed else frozenset(REQUIRED_COLUMNS) - readable  # a fault of the header
        self._first_row_of = FirstSeen()
        self._row = 1

    @property
    def models(self) -> Collection[ModelRows]:
        """Rows of models other than veo2-i2v."""
        return self._models.values()

    @property
    def schemas(self) -> dict[str, ModelSchema]:
        """Schemas of the models that rows may be of, by their ids."""
        return {VEO2.model: VEO2} | {name: each.takes for name, each in self._models.items()}

    def sent(self) -> Mapping[str, Sequence[str]]:
        """Return the names of the inputs of each model in the manifest."""
        return {VEO2.model: _VEO2_INPUTS} | {name: list(self._catalogue[name].properties) for name in self._models}

    def batch(self, batch: pa.RecordBatch) -> list[pa.Array]:
        """Return the columns of CHECKED for the next batch."""
        broken = broken_rows(batch)
        problems: RowProblems = {}
        unknown: RowProblems = {}
        models = self._judged("model", texts_of(batch, "model"), unknown)
        others = self._rows_of_others(models)
        not_ours = {*others, *unknown}
        values = {"model": models, START_FROM: self._judged(START_FROM, texts_of(batch, START_FROM), problems)}
        chained = self._chained(batch, values[START_FROM], problems)
        for column in COLUMNS[:-1]:
            if column in values:
                continue
            passed_over = not_ours if column in _VEO2_INPUTS else ()
            passed_over = {*passed_over, *chained} if column == "image" and chained else passed_over
            texts = _but_not_in(passed_over, batch, column)
            values[column] = self._judged(column, texts, problems, passed_over)
        if len(not_ours) < batch.num_rows:  # else all are blank already
            for index in (*not_ours, *chained):
                values["image"][index] = None  # its own model's rows judge it, or it has none
        for index, found in unknown.items():
            problems.setdefault(index, []).extend(found)
        stills = self._still_cells.identities(values["image"], problems, self._row)
        for index, still in chained.items():
            stills[index] = still
        self._lay_out(values, problems)
        asked = self._read_others(batch, others, chained, problems)
        self._refuse_unlinked(values, problems)
        self._refuse_insisted(batch, others, problems)
        self._claim(values["shot_id"], broken, problems)
        for name, index in _nuls(batch):
            bad = Problem("hidden character", "a NUL character", "text without NUL characters")
            problems.setdefault(index, []).append((escaped(name), bad))
        problems.update({index: [("row", bad)] for index, bad in broken.items()})
        named = texts_of(batch, "shot_id") if problems else ()
        texts = (
            [self._tell(index, problems.get(index), named[index]) for index in range(batch.num_rows)]
            if problems
            else None
        )
        columns = self._shots(values, stills, asked, problems, batch.num_rows)
        self._unread(batch, columns, problems)
        self._row += batch.num_rows
        arrays = [pa.array(columns[name], pa.string()) for name in TEXT_COLUMNS]
        fault = pa.nulls(batch.num_rows, pa.string()) if texts is None else pa.array(texts, pa.string())
        return [fault, *arrays, pa.array(columns["takes"], pa.int8())]

    def _chained(
        self, batch: pa.RecordBatch, sources: Sequence[Value | Problem], problems: RowProblems
    ) -> dict[int, str]:
        """Return the rows that start from another shot, each with what stands for its still; they have no other."""
        chained = {index: name for index, name in enumerate(sources) if isinstance(name, str)}
        images_, shot_ids = (texts_of(batch, name) for name in ("image", "shot_id")) if chained else ((), ())
        for index, name in chained.items():
            image, shot_id = images_[index], shot_ids[index]
            if image is not None and image.strip():
                allowed = f"nothing, since the shot starts from {quoted(name)}; or empty {START_FROM}"
                problems.setdefault(index, []).append(("image", Problem("two stills", quoted(image), allowed)))
            if shot_id is None or not shot_id.strip():
                problems.setdefault(index, []).append(("shot_id", _UNNAMED))
        return {index: last_frame_of_shot(name) for index, name in chained.items()}

    def _refuse_unlinked(self, values: Mapping[str, Sequence[Any]], problems: RowProblems) -> None:
        """Refuse rows that cannot start from the shot that they name, as far as that is known already."""
        for index in range(len(values[START_FROM])) if self._unlinked else ():
            problem = self._unlinked.get(self._row + index)
            if problem is not None:
                problems.setdefault(index, []).append((START_FROM, problem))

    def _judged(
        self, column: str, texts: Sequence[str | None], problems: RowProblems, passed_over: Collection[int] = ()
    ) -> list[Value | Problem]:
        """Return the value of each cell, None for a blank one, and add faults to those of its row."""
        rule = self._rule_of(column)
        empty = None if column in self._absent else _EMPTY.get(column)
        judged: dict[str | None, Value | Problem] = {
            text: empty if text is None or not text or text.isspace() else cells.formula_error(text) or rule(text)
            for text in dict.fromkeys(texts)
        }
        values = [judged[text] for text in texts]
        if any(isinstance(value, Problem) for value in judged.values()):
            for index, value in enumerate(values):
                if isinstance(value, Problem) and index not in passed_over:
                    problems.setdefault(index, []).append((column, value))
        return values

    def _lay_out(self, values: Mapping[str, list[Value | Problem]], problems: RowProblems) -> None:
        """Put the shape of each local still in the place of `auto`."""
        ratios = values[ASPECT_RATIO.name]
        if AUTO not in ratios:
            return
        for index, (ratio, image) in enumerate(zip(ratios, values["image"], strict=True)):
            if ratio != AUTO:
                continue
            lies = self._still_cells.ratio_of(image) if isinstance(image, str) else None
            ratios[index] = lies
            if lies is None and index not in problems:
                allowed = f"{', '.join(ASPECT_RATIO.allowed)}; {AUTO} is as a local still lies"
                problems[index] = [
                    (
                        ASPECT_RATIO.name,
                        Problem(f"bad {ASPECT_RATIO.name}", f"{AUTO} for a still that is no local file", allowed),
                    )
                ]

    def _rule_of(self, column: str) -> Callable[[str], Value | Problem]:
        match column:
            case "model":
                return partial(cells.model, self._catalogue)
            case ASPECT_RATIO.name:
                return lambda text: AUTO if text.strip().lower() == AUTO else cells.choice(ASPECT_RATIO, text)
            case "image":
                return partial(images.image, is_fetched_here=is_here(self._provider), folder=self._still_cells.folder)
            case _:
                return _RULES[column]

    def _rows_of_others(self, models: Sequence[Value | Problem]) -> dict[int, str]:
        """Return the rows of models other than veo2-i2v, each with its model."""
        return {index: name for index, name in enumerate(models) if isinstance(name, str) and name in self._models}

    def _read_others(
        self, batch: pa.RecordBatch, others: Mapping[int, str], chained: Mapping[int, str], problems: RowProblems
    ) -> list[ModelRequests]:
        asked: list[ModelRequests] = []
        for name, rows in self._models.items():
            if indices := [index for index, model in others.items() if model == name]:
                asked.append(rows.read(batch, indices, self._row, problems, chained))
        return asked

    def _refuse_insisted(self, batch: pa.RecordBatch, others: Collection[int], problems: RowProblems) -> None:
        """Refuse cells of columns that insist on being inputs, in rows of a model that has no such input."""
        for column in self._insisted:
            ours = (index for index in range(batch.num_rows) if index not in others)
            refuse_cells(batch, column, ours, VEO2.model, _VEO2_INPUTS, problems)

    def _claim(self, shot_ids: list[Value | Problem], broken: Mapping[int, Problem], problems: RowProblems) -> None:
        """Each shot_id belongs to the row that names it first."""
        named = [(index, name) for index, name in enumerate(shot_ids) if isinstance(name, str) and index not in broken]
        if not named:
            return
        rows = [self._row + index for index, _ in named]
        firsts = self._first_row_of.add(digests_from(sha256(name.encode()).digest() for _, name in named), rows)
        for at in np.flatnonzero(firsts != np.asarray(rows)).tolist():
            index, name = named[at]
            first, line = int(firsts[at]), self._raw.line(int(firsts[at]))
            place = f"row {first}" if line is None else f"line {line}"
            found = f"{quoted(name)}, which is the shot_id of {place} already"
            bad = Problem("duplicate shot_id", found, "each shot_id once")
            problems.setdefault(index, []).append(("shot_id", bad))

    def _tell(self, index: int, problems: Sequence[tuple[str, Problem]] | None, shot_id: str | None) -> str | None:
        """Write down the faults of a row; what is wrong with it in one line."""
        if problems is None:
            return None
        self.num_invalid += 1
        faults = [self._raw.fault(self._row + index, bad, column, shot_id) for column, bad in problems]
        for fault in faults:
            self.faults.add(fault)
        return " | ".join(fault.text for fault in faults)

    def _shots(
        self,
        values: Mapping[str, list[Any]],
        stills: list[str | None],
        asked: Sequence[ModelRequests],
        problems: Collection[int],
        num_rows: int,
    ) -> dict[str, list[Any]]:
        """Return the columns of the shots, with defaults, and their takes. Rows with faults have none."""
        columns: dict[str, list[Any]] = {
            **values,
            "still": stills,
            "storyboard": [value or self._storyboard for value in values["storyboard"]],
            "model": [value or DEFAULT_MODEL for value in values["model"]],
            **{name: [value or choice.default for value in values[name]] for name, choice in CHOICES.items()},
            "inputs": [None] * num_rows,
            "takes": [0] * num_rows,
        }
        if self.faults.has_header_faults:
            return columns
        others = self._put_others(columns, asked)
        choices = zip(*(columns[name] for name in CHOICES), strict=True)
        rows = zip(columns["model"], choices, columns["prompt"], columns["still"], values["takes"], strict=True)
        for index, (model, chosen, prompt, still, takes) in enumerate(rows):
            if index in problems:
                continue
            if index in others:
                text, take_class = others[index]
                self._add_takes(columns, index, text, self._number(take_class), takes or 1)
                continue
            alike = self._alike.get((model, chosen)) or self._first_like(model, chosen)
            canonical = (canonical_text(prompt), canonical_still(still))
            self.has_signed_paths = self.has_signed_paths or is_signed_by_path(still)
            count = takes or 1
            if self._written != self._provider or canonical != (prompt, still):
                self._note_old(count, alike.form_of_before((prompt, still)))
            self._add_takes(columns, index, alike.form(canonical), alike.take_class, count)
        self._still_cells.note(columns, self._row)
        return columns

    def _put_others(
        self, columns: dict[str, list[Any]], asked: Sequence[ModelRequests]
    ) -> dict[int, tuple[str, TakeClass]]:
        """Put the rows of other models into the columns; return what each asks for, and the class of its takes."""
        found: dict[int, tuple[str, TakeClass]] = {}
        for part in asked:
            for name, values in part.columns.items():
                if len(part.indices) == len(columns[name]):
                    columns[name] = list(values)
                else:
                    for index, value in zip(part.indices, values, strict=True):
                        columns[name][index] = value
            found.update(zip(part.indices, zip(part.texts, part.take_classes, strict=True), strict=True))
        for index, source in enumerate(columns[START_FROM]) if asked else ():
            if source is not None and index in found:
                columns["image"][index] = None  # the row has none
        return found

    def _number(self, take_class: TakeClass) -> bytes:
        """Return the number of a class, as int32."""
        known = self._number_of.get(id(take_class))
        if known is None:
            known = self.classes.setdefault(take_class, len(self.classes)).to_bytes(4, "little")
            self._number_of[id(take_class)] = known
        return known

    def _add_takes(self, columns: dict[str, list[Any]], index: int, text: str, take_class: bytes, count: int) -> None:
        """Add the fingerprints and classes of a row's takes; the first one names a shot that has no name."""
        first = digest(text, 1)
        self.digests += first
        for number in range(2, count + 1):
            self.digests += digest(text, number)
        self.classes_asked += take_class * count
        columns["takes"][index] = count
        if columns["shot_id"][index] is None:
            columns["shot_id"][index] = first.hex()[:12]

    def _first_like(self, model: str, chosen: tuple[str, ...]) -> "_Alike":
        """Prepare what all rows of this model with the same choices share."""
        known = Inputs(zip(CHOICES, chosen, strict=True))
        number = self.classes.setdefault(VEO2.take_class(known), len(self.classes))
        form, before = (asked_form(of, model, INPUT_NAMES[:2], known) for of in (self._provider, self._written))
        self._alike[model, chosen] = alike = _Alike(form, before, number.to_bytes(4, "little"))
        return alike

    def _note_old(self, count: int, text: str) -> None:
        """Note the fingerprints that the takes of a row had before there was a canonical form."""
        at = len(self.digests) // DIGEST_BYTES
        for number in range(1, count + 1):
            self.old_digests += digest(text, number)
            self.old_at += (at + number - 1).to_bytes(8, "little")

    def _unread(self, batch: pa.RecordBatch, columns: dict[str, list[Any]], problems: Collection[int]) -> None:
        """In rows with faults: the cells as they stand, as text; null for a column that is not there."""
        if not problems:
            return
        rows = sorted(problems)
        known = [name for name in TEXT_COLUMNS if name in COLUMNS and name in self._raw.schema.names]
        found = self._raw.without_broken(batch).select(known).take(pa.array(rows, pa.int64())).to_pylist()
        for row, cells_ in zip(rows, found, strict=True):
            for name in TEXT_COLUMNS:
                cell = cells_.get(name)
                columns[name][row] = cell if cell is None or isinstance(cell, str) else str(cell)


def _nuls(batch: pa.RecordBatch) -> Iterator[tuple[str, int]]:
    """NUL characters in columns that are only carried: no file that we write could hold them. Name and index."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name in COLUMNS or not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            continue
        mask = pc.call_function("match_substring", [column], pc.MatchSubstringOptions("\0"))
        for index in pc.call_function("indices_nonzero", [mask]).to_pylist():
            yield name, index
