"""Inputs of a generation: the one value that is fingerprinted, priced, sent, stored and compared. Pure.

It knows no model. The names that every model shares have a canonical form here; the values of all others count as they
are.
"""

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from json.encoder import encode_basestring
from typing import Any, cast

from animatic.takes.canonical import canonical_still, canonical_text

_FILES = re.compile(r"(?:^|_)(?:image|video|audio)s?(?:_url|_urls)?$")
"""Names of inputs that are files, whichever model they are of."""

_IDENTITY = re.compile(r"sha256:|last frame of [0-9a-f]{64}$")
"""Identity of a file, by its bytes or by the take that made it."""


class Inputs(Mapping[str, Any]):
    """Values by input name, in the order in which they are sent. Immutable; the order does not count in comparisons.

    A file of a shot is what identifies it; that of a submission is the URL that is sent.
    """

    __slots__ = ("_values",)
    _values: Mapping[str, Any]

    def __init__(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        object.__setattr__(self, "_values", dict(values))

    def __setattr__(self, name: str, _value: object) -> None:
        raise AttributeError(f"inputs cannot be changed: {name}")

    def __reduce__(self) -> tuple[type["Inputs"], tuple[Mapping[str, Any]]]:
        return Inputs, (self._values,)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return self._values == (other._values if isinstance(other, Inputs) else other)

    def __hash__(self) -> int:
        try:
            return hash(frozenset(self._values.items()))
        except TypeError:  # a list or an object
            return hash(frozenset(self._values))

    def __repr__(self) -> str:
        return f"Inputs({self._values})"

    def canonical(self) -> "Inputs":
        """Return the form in which two requests for the same are equal. What is sent is never this form."""
        changed = {name: form(value) for name, value in self._values.items() if (form := form_of(name)) is not None}
        return Inputs({**self._values, **changed})

    def replaced(self, **values: Any) -> "Inputs":
        """Return these inputs with other values for some names."""
        return Inputs({**self._values, **values})

    def only(self, names: Iterable[str]) -> "Inputs":
        """Return those of these inputs that are named, in the order of the names."""
        return Inputs({name: self._values[name] for name in names if name in self._values})

    def with_files(self, urls: Mapping[str, str]) -> "Inputs":
        """Return these inputs with the URLs of files in place of what identifies them."""
        return Inputs({name: _with_files(value, urls) for name, value in self._values.items()}) if urls else self

    def local_paths(self) -> list[str]:
        """Return the files among these inputs that are paths: not URLs, and not known by their bytes or their take."""
        files = [each for name, value in self._values.items() if _FILES.search(name) for each in parts_of(value)]
        return [each for each in files if isinstance(each, str) and "://" not in each and not _IDENTITY.match(each)]

    def without(self, name: str) -> "Inputs":
        """Return these inputs without one name."""
        return Inputs({key: value for key, value in self._values.items() if key != name})


NO_INPUTS = Inputs({})


def parts_of(value: Any) -> list[Any]:
    """Return the parts of an input that is a list, and any other as its only part."""
    return cast("list[Any]", value) if isinstance(value, list) else [value]


_encode = json.JSONEncoder(ensure_ascii=False).encode


def as_json(value: Any) -> str:
    """Return a value of an input, or several of them, as JSON that people can read."""
    if type(value) is str:
        return encode_basestring(value)
    return str(value) if type(value) is int else _encode(value)


@functools.lru_cache(maxsize=4_096)
def form_of(name: str) -> Callable[[Any], Any] | None:
    """Return the function to the canonical form of an input of this name; None where values count as they are."""
    return _canonical_prompt if name == "prompt" else _canonical_file if _FILES.search(name) else None


def _canonical_prompt(value: Any) -> Any:
    return canonical_text(value) if isinstance(value, str) else value


def _canonical_file(value: Any) -> Any:
    if isinstance(value, list):
        return [_canonical_file(each) for each in cast("list[Any]", value)]
    return canonical_still(value) if isinstance(value, str) else value


def _with_files(value: Any, urls: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_with_files(each, urls) for each in cast("list[Any]", value)]
    return urls.get(value, value) if isinstance(value, str) else value


def request_of(inputs: Mapping[str, Any], take: int) -> str:
    """Return what a take asks for as the ledger stores it: JSON of its inputs and its number."""
    return json.dumps({**inputs, "take": take}, sort_keys=True, ensure_ascii=False)


def read_request(request: str) -> tuple[Inputs, int | None]:
    """Return the inputs and the number of a take out of a stored request."""
    inputs = json.loads(request)
    take = inputs.pop("take", None)
    return Inputs(inputs), take
