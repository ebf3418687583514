"""Cells of models other than veo2-i2v: each becomes a typed value that fits the model's schema, or a fault.

Every different text of a column is read once in a batch, and judged by that input's own part of the schema.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, cast

from animatic.errors.text import quoted
from animatic.manifest import cells, images
from animatic.manifest.faults import Problem
from animatic.manifest.still_cells import StillCells
from animatic.manifest.still_folder import StillFolder
from animatic.takes.canonical import is_signed_by_path
from animatic.takes.inputs import as_json, form_of, parts_of
from animatic.takes.models import NO_LENGTHS, Property, RequestSchema, Unfit, read_value
from animatic.takes.shots import asked_value


class Cell(NamedTuple):
    """One cell as an input.

    Attributes:
        value: as written: a local file by its path.
        identity: the same, a local file by what identifies it.
        sent: the same with a URL for each local file, as it is going to be sent; which URL is not known yet.
        written: its part of the JSON of a row's inputs.
        asked: its part of the JSON that fingerprints are made from.
        counted: as classes are found by it: of files, how many there are; all else as it is.
    """

    value: Any
    identity: Any
    sent: Any
    written: str
    asked: str
    counted: Any


_SHORT_NUMBER = 15
"""Digits of a whole number that no float would change."""

Reader = Callable[[str], Cell | Problem]


class CellReaders:
    """Readers of the columns of one model's inputs.

    Attributes:
        has_signed_paths: whether a file has an address that carries its authorisation in the path.
    """

    def __init__(self, schema: RequestSchema, stills: StillCells, *, is_here: bool) -> None:
        self._schema, self._stills, self._is_here = schema, stills, is_here
        self.has_signed_paths = False

    def reader(self, name: str, column: str) -> Reader:
        """Return the function from a cell that is not blank to an input of this name."""
        wanted = self._schema.properties[name]
        if wanted.files is not None:
            is_plain = wanted.files is wanted and wanted.is_free and wanted.lengths == NO_LENGTHS
            return self._of_one_file(wanted, column) if is_plain else self._of_files(wanted, wanted.files, column)
        if wanted.alternatives or wanted.allowed or wanted.type not in {"string", "integer"}:
            return self._of_values(wanted)
        if wanted.type == "integer":
            return self._of_whole_numbers(wanted, self._of_values(wanted))
        return self._of_words(wanted) if wanted.is_free else self._of_values(wanted)

    def _of_words(self, wanted: Property) -> Reader:
        """Return the reader of free text: most of what a manifest holds, so it does as little as it can."""
        form, name = form_of(wanted.name), as_json(wanted.name)
        is_prompt, fit = wanted.name == "prompt", wanted.lengths.fit

        def read(text: str) -> Cell | Problem:
            bad = cells.formula_error(text) or cells.hidden_character(text)
            if bad is not None:
                return bad
            counts = text if form is None else form(text)
            if is_prompt and counts == "":
                return cells.EMPTY_PROMPT
            if not fit(len(text)):
                return Problem(f"bad {wanted.name}", f"{len(text):,} characters", wanted.allowed_in_words)
            shown = as_json(text)
            asked = shown if counts == text else asked_value(counts)
            return Cell(text, text, text, f"{name}: {shown}", f"{name}:{asked},", text)

        return read

    def _of_values(self, wanted: Property) -> Reader:
        form, key = form_of(wanted.name), as_json(wanted.name)
        fits = partial(self._schema.fits_alone, wanted.name)
        is_plain = wanted.type in {"integer", "number", "boolean"} and not wanted.alternatives

        def read(text: str) -> Cell | Problem:
            value = cells.formula_error(text) or read_value(text, wanted, fits)
            if isinstance(value, Unfit):
                return Problem(f"bad {wanted.name}", quoted(text), value.allowed)
            if isinstance(value, Problem):
                return value
            if not is_plain and (hidden := _hidden_in(value)) is not None:
                return hidden
            counts = value if form is None else form(value)
            if wanted.name == "prompt" and counts == "":
                return cells.EMPTY_PROMPT
            if not fits(value):
                return Problem(f"bad {wanted.name}", _shown(value), wanted.allowed_in_words)
            written = as_json(value)
            counted = written if isinstance(value, list | dict) else value
            return Cell(value, value, value, f"{key}: {written}", f"{key}:{asked_value(counts)},", counted)

        return read

    def _of_whole_numbers(self, wanted: Property, otherwise: Reader) -> Reader:
        """Return the reader of a column in which nearly all cells are plain digits, such as seeds."""
        key, fits = as_json(wanted.name), partial(self._schema.fits_alone, wanted.name)

        def read(text: str) -> Cell | Problem:
            if len(text) < _SHORT_NUMBER and text.isascii() and text.isdecimal() and fits(value := int(text)):
                return Cell(value, value, value, f"{key}: {value}", f"{key}:{value},", value)
            return otherwise(text)

        return read

    def _of_one_file(self, wanted: Property, column: str) -> Reader:
        """Return the reader of a column whose cells name one file each: most are URLs, and all of them differ."""
        form, key, whole = form_of(wanted.name), as_json(wanted.name), self._of_files(wanted, wanted, column)
        read_file = partial(_file, wanted=wanted, folder=self._stills.folder, is_here=self._is_here)

        def read(text: str) -> Cell | Problem:
            url = cells.formula_error(text) or read_file(text)
            if type(url) is not str or "://" not in url:
                return whole(text)
            self.has_signed_paths = self.has_signed_paths or is_signed_by_path(url)
            counts = url if form is None else form(url)
            written = as_json(url)
            asked = written if counts == url else asked_value(counts)
            return Cell(url, url, url, f"{key}: {written}", f"{key}:{asked},", 1)

        return read

    def _of_files(self, wanted: Property, files: Property, column: str) -> Reader:
        form, key, fits = form_of(wanted.name), as_json(wanted.name), partial(self._schema.fits_alone, wanted.name)

        def read(text: str) -> Cell | Problem:
            value = cells.formula_error(text) or read_value(text, wanted)
            if isinstance(value, Unfit):
                return Problem(f"bad {wanted.name}", quoted(text), value.allowed)
            if not isinstance(value, Problem):
                value = _files(value, files, self._stills.folder, is_here=self._is_here)
            if isinstance(value, Problem):
                return value
            known, problems = self._stills.identities_of(parts_of(value), column)
            if problems:
                return problems[0]
            self.has_signed_paths = self.has_signed_paths or any(map(is_signed_by_path, known))
            identity = known if isinstance(value, list) else known[0]
            sent = _uploaded(identity)
            if not fits(sent):
                return Problem(f"bad {wanted.name}", _shown(value), wanted.allowed_in_words)
            asked = asked_value(identity if form is None else form(identity))
            return Cell(value, identity, sent, f"{key}: {as_json(value)}", f"{key}:{asked},", len(known))

        return read


def paths_in(wanted: Property, text: str, folder: StillFolder) -> list[str]:
    """Return the paths below the folder of stills that a cell of files names."""
    value = read_value(text, wanted)
    if wanted.files is None or isinstance(value, Unfit):
        return []
    found = _files(value, wanted.files, folder, is_here=True)
    named = [] if isinstance(found, Problem) else parts_of(found)
    return [each for each in named if isinstance(each, str) and "://" not in each and _is_path(each)]


def _is_path(text: str) -> bool:
    return images.relative_path(text) is not None or images.media_path(text) is not None


def _hidden_in(value: Any) -> Problem | None:
    return next(filter(None, map(cells.hidden_character, _texts_in(value))), None)


def _texts_in(value: Any) -> Iterator[str]:
    """Yield the texts in a value, of lists and objects too, with the names that objects have for theirs."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in cast("list[Any]", value):
            yield from _texts_in(each)
    elif isinstance(value, dict):
        for name, each in cast("dict[str, Any]", value).items():
            yield name
            yield from _texts_in(each)


def _shown(value: Any) -> str:
    return quoted(value if isinstance(value, str) else json.dumps(value))


def _uploaded(value: Any) -> Any:
    if isinstance(value, list):
        return [_uploaded(each) for each in cast("list[Any]", value)]
    return f"https://example.com/{value[7:39]}.jpg" if isinstance(value, str) and value.startswith("sha256:") else value


def _files(value: Any, wanted: Property, folder: StillFolder, *, is_here: bool) -> Any:
    """Return URLs as they are and paths without `.` segments, or what is wrong with the first bad one."""
    if type(value) is str:
        return _file(value, wanted, folder, is_here=is_here)
    found = [
        _file(each, wanted, folder, is_here=is_here) if isinstance(each, str) else each for each in parts_of(value)
    ]
    bad = next((each for each in found if isinstance(each, Problem)), None)
    return bad or (found if isinstance(value, list) else found[0])


def _file(text: str, wanted: Property, folder: StillFolder, *, is_here: bool) -> str | Problem:
    if wanted.media == "image":
        return images.image(text, is_fetched_here=is_here, folder=folder)
    if images.is_acceptable_url(text.strip()):
        return text.strip()
    path = images.media_path(folder.path_of(text.strip()), wanted.media)
    return path or Problem(f"bad {wanted.name}", quoted(text), images.media_allowed(wanted.media))
