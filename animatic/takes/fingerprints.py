"""Many fingerprints in little memory: 32 bytes each instead of 200. Pure.

A column of digests is a numpy array of `S32`, whose comparisons fill up with zero bytes and so are those of 32 bytes.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = 32
DIGEST = np.dtype(f"S{DIGEST_BYTES}")

Digests = NDArray[np.bytes_]


def digests_from(data: bytes | bytearray | Iterable[bytes]) -> Digests:
    """Make a column from digests, one after the other."""
    joined = data if isinstance(data, bytes | bytearray) else b"".join(data)
    return np.frombuffer(joined, DIGEST)


def digests_of(fingerprints: Iterable[str]) -> Digests:
    """Make a column from fingerprints of 64 hex digits."""
    return digests_from(bytes.fromhex("".join(fingerprints)))


def hex_of(digests: Digests) -> list[str]:
    """Return the fingerprints, 64 hex digits each, in order."""
    text = digests.tobytes().hex()
    return [text[at : at + 2 * DIGEST_BYTES] for at in range(0, len(text), 2 * DIGEST_BYTES)]


class FingerprintSet:
    """A set of digests that do not change, each with its position in the column that it was made from."""

    __slots__ = ("_positions", "_sorted")

    def __init__(self, digests: Digests) -> None:
        self._positions: NDArray[np.int64] = np.argsort(digests, kind="stable")
        self._sorted: Digests = digests[self._positions]

    def __len__(self) -> int:
        return len(self._sorted)

    def __contains__(self, fingerprint: object) -> bool:
        """Tell if a fingerprint (64 hex digits) is one of them."""
        try:
            wanted = digests_of([fingerprint]) if isinstance(fingerprint, str) else None
        except ValueError:
            return False
        return wanted is not None and len(wanted) == 1 and self.positions(wanted)[0] >= 0

    def __iter__(self) -> Iterator[str]:
        """Yield the fingerprints, sorted."""
        for at in range(0, len(self._sorted), 1_000):
            yield from hex_of(self._sorted[at : at + 1_000])

    def positions(self, digests: Digests) -> NDArray[np.int64]:
        """Return the first position of each in the column that the set was made from; -1 for one that is not in it."""
        if not len(self._sorted):
            return np.full(len(digests), -1, np.int64)
        near = np.searchsorted(self._sorted, digests)
        near[near == len(self._sorted)] = 0
        return np.where(self._sorted[near] == digests, self._positions[near], -1)


def shared(digests: Digests) -> tuple[Digests, NDArray[np.int32]]:
    """Return the distinct digests in the order of first appearance, and for each of `digests` its index there."""
    _, firsts, inverse = np.unique(digests, return_index=True, return_inverse=True)
    if len(firsts) == len(digests):
        return digests, np.arange(len(digests), dtype=np.int32)
    order = np.argsort(firsts)
    number_of = np.empty(len(order), np.int32)
    number_of[order] = np.arange(len(order), dtype=np.int32)
    return digests[firsts[order]], number_of[inverse]


class FirstSeen:
    """First row of each name, for any number of names, in 40 bytes each."""

    __slots__ = ("_names", "_rows")

    def __init__(self) -> None:
        self._names: Digests = np.empty(0, DIGEST)  # sorted
        self._rows: NDArray[np.int64] = np.empty(0, np.int64)

    def add(self, names: Digests, rows: Sequence[int]) -> NDArray[np.int64]:
        """For each name the row that named it first, which may be its own; rows are given in order."""
        new, firsts, inverse = np.unique(names, return_index=True, return_inverse=True)
        first_rows = np.asarray(rows, np.int64)[firsts]
        at = np.searchsorted(self._names, new)
        if len(self._names):
            near = np.minimum(at, len(self._names) - 1)
            is_known: Any = self._names[near] == new
            first_rows[is_known] = self._rows[near[is_known]]
        else:
            is_known = np.zeros(len(new), bool)
        self._names = np.insert(self._names, at[~is_known], new[~is_known])
        self._rows = np.insert(self._rows, at[~is_known], first_rows[~is_known])
        return first_rows[inverse]
