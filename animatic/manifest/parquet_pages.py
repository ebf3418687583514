"""Pages of a Parquet file, as their headers describe them: how long text can be that is read without dictionaries.

Reading text as dictionaries is safe, but pyarrow keeps every text of a row group that way. A long group is read as it
is where its headers show that no batch can be far longer than its pages. Headers that are in any way unusual show
nothing. Pure; pyarrow parses the same headers, and checks the sizes that they give when it unpacks a page.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any, BinaryIO, NamedTuple

MAX_PAGE_BYTES = 8 << 20
MAX_CHUNKS = 4_096
"""Column chunks of a file; reading the headers of more takes longer than it saves."""

_MAX_HEADER_BYTES = 64 << 10
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_PLAIN, _FROM_DICTIONARY = 0, (2, 8)
_BOOLEANS, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LISTS, _LIST, _STRUCT = (1, 2), 3, 4, 5, 6, 7, 8, (9, 10), 9, 12
_BITS = {_I16: 16, _I32: 32, _I64: 64}

Struct = Mapping[tuple[int, int], Any]
"""Values of a struct in Thrift's compact protocol, by number and type of the field."""


class _UnusualError(Exception):
    """Bytes that are not as all known writers write them."""


class Chunk(NamedTuple):
    """A column of a row group: where its pages begin and end, and how many values they hold."""

    start: int
    end: int
    values: int


class TextPages:
    """Headers of the pages of a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._groups: list[list[Chunk]] | None = None

    def mean_bytes(self, group: int, columns: Collection[int]) -> dict[int, int] | None:
        """Return for each of these columns the most bytes that a value has on the average of a page without dictionary.

        None where that cannot be told, or where such pages are not all that may follow the entries of a dictionary.
        """
        try:
            if self._groups is None:
                self._groups = _groups_in(self._file)
            chunks = self._groups[group]
            return {column: _mean_bytes(self._file, chunks[column]) for column in columns}
        except (_UnusualError, IndexError, KeyError, ValueError, OSError, OverflowError, RecursionError):
            return None


def _groups_in(file: BinaryIO) -> list[list[Chunk]]:
    size = file.seek(0, 2)
    file.seek(size - 8)
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or length > size - 8:
        raise _UnusualError
    file.seek(size - 8 - length)
    groups = _struct(file.read(length), 0)[0][4, _LIST]
    if sum(len(group[1, _LIST]) for group in groups) > MAX_CHUNKS:
        raise _UnusualError
    return [[_chunk(each) for each in group[1, _LIST]] for group in groups]


def _chunk(column: Struct) -> Chunk:
    meta = column[3, _STRUCT]
    start, first = meta[9, _I64], meta.get((11, _I64), 0)
    if (1, _BINARY) in column:  # in another file
        raise _UnusualError
    start = first if 0 < first < start else start
    return Chunk(start, start + meta[7, _I64], meta[5, _I64])


def _mean_bytes(file: BinaryIO, chunk: Chunk) -> int:
    at, left, longest = chunk.start, chunk.values, 0
    is_first, has_dictionary = True, False
    while left > 0:
        file.seek(at)
        header, length = _struct(file.read(_MAX_HEADER_BYTES), 0)
        packed, size = header[3, _I32], header[2, _I32]
        at += length + packed
        if min(packed, size) < 0 or max(packed, size) > MAX_PAGE_BYTES or at > chunk.end:
            raise _UnusualError
        if header[1, _I32] == _DICTIONARY and at - length - packed == chunk.start:
            has_dictionary = True
            continue
        values, encoding = _data_page(header)
        if values <= 0:
            raise _UnusualError
        if encoding == _PLAIN and not (is_first and has_dictionary):
            longest = max(longest, math.ceil(max(packed, size) / values))
        elif encoding not in _FROM_DICTIONARY or not has_dictionary:
            raise _UnusualError
        is_first, left = False, left - values
    return longest


def _data_page(header: Struct) -> tuple[int, int]:
    """Return the number of values and their encoding."""
    if header[1, _I32] == _DATA:
        page = header[5, _STRUCT]
        return page[1, _I32], page[2, _I32]
    if header[1, _I32] == _DATA_V2:
        page = header[8, _STRUCT]
        return page[1, _I32], page[4, _I32]
    raise _UnusualError


def _struct(data: bytes, at: int) -> tuple[Struct, int]:
    """Return a struct and where it ends. A field that is there twice is unusual."""
    found: dict[tuple[int, int], Any] = {}
    number = 0
    while head := data[at]:
        at += 1
        kind = head & 15
        if head >> 4:
            number += head >> 4
        else:
            number, at = _integer(data, at, 16)
        value, at = (None, at) if kind in _BOOLEANS else _value(data, at, kind)
        if (number, kind) in found:
            raise _UnusualError
        found[number, kind] = value
    return found, at + 1


def _value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    """Return a value of this type, and where it ends; None where only its length matters."""
    if kind in _BITS:
        return _integer(data, at, _BITS[kind])
    if kind in _LISTS:
        return _list(data, at)
    if kind == _STRUCT:
        return _struct(data, at)
    if kind == _BINARY:
        length, at = _varint(data, at)
        return None, at + length
    if kind in {_BYTE, _DOUBLE}:
        return None, at + (1 if kind == _BYTE else 8)
    raise _UnusualError


def _list(data: bytes, at: int) -> tuple[list[Any], int]:
    head, at = data[at], at + 1
    count, kind = head >> 4, head & 15
    if count == 15:
        count, at = _varint(data, at)
    if count > len(data):
        raise _UnusualError
    values: list[Any] = []
    for _ in range(count):
        value, at = (None, at + 1) if kind in _BOOLEANS else _value(data, at, kind)
        values.append(value)
    return values, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        byte, at = data[at], at + 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise _UnusualError


def _integer(data: bytes, at: int, bits: int) -> tuple[int, int]:
    packed, at = _varint(data, at)
    if packed >> bits:
        raise _UnusualError
    return (packed >> 1) ^ -(packed & 1), at
