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
    """A set of digests that do not change, each with its position in the column that it was made from.

    It keeps the column, and 12 bytes for each digest.
    """

    __slots__ = ("_digests", "_keys", "_positions")

    def __init__(self, digests: Digests) -> None:
        self._digests = digests
        self._positions: NDArray[np.int32] = _sorted(digests)[0]
        self._keys: NDArray[np.uint64] = _keys(digests)[self._positions]

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, fingerprint: object) -> bool:
        """Tell if a fingerprint (64 hex digits) is one of them."""
        try:
            wanted = digests_of([fingerprint]) if isinstance(fingerprint, str) else None
        except ValueError:
            return False
        return wanted is not None and len(wanted) == 1 and self.positions(wanted)[0] >= 0

    def __iter__(self) -> Iterator[str]:
        """Yield the fingerprints, sorted."""
        for at in range(0, len(self), 1_000):
            yield from hex_of(self._digests[self._positions[at : at + 1_000]])

    def positions(self, digests: Digests) -> NDArray[np.int64]:
        """Return the first position of each in the column that the set was made from; -1 for one that is not in it."""
        found = np.full(len(digests), -1, np.int64)
        for at in range(0, len(digests), _AT_ONCE):
            found[at : at + _AT_ONCE] = self._positions_of(digests[at : at + _AT_ONCE])
        return found

    def _positions_of(self, digests: Digests) -> NDArray[np.int64]:
        found, keys = np.full(len(digests), -1, np.int64), _keys(digests)
        near = np.searchsorted(self._keys, keys)
        left = np.arange(len(digests))
        while True:
            left = left[near[left] < len(self)]
            left = left[self._keys[near[left]] == keys[left]]
            if not len(left):
                return found
            at = self._positions[near[left]]
            is_same = self._digests[at] == digests[left]
            found[left[is_same]] = at[is_same]
            left = left[~is_same]
            near[left] += 1  # the next with the same key


def shared(digests: Digests) -> tuple[Digests, NDArray[np.int32]]:
    """Return the distinct digests in the order of first appearance, and for each of `digests` its index there."""
    order, is_repeated = _sorted(digests)
    if not is_repeated.any():
        return digests, np.arange(len(digests), dtype=np.int32)
    firsts = order[~is_repeated]
    by_appearance = np.argsort(firsts)
    number_of = np.empty(len(firsts), np.int32)
    number_of[by_appearance] = np.arange(len(firsts), dtype=np.int32)
    index_of = np.empty(len(digests), np.int32)
    index_of[order] = number_of[np.cumsum(~is_repeated, dtype=np.int32) - 1]
    return digests[firsts[by_appearance]], index_of


_AT_ONCE = 1 << 16


def _keys(digests: Digests) -> NDArray[np.uint64]:
    """Return the first 8 bytes of each digest, as numbers that sort as they do."""
    return np.ascontiguousarray(digests).view(">u8")[:: DIGEST_BYTES // 8].astype(np.uint64)


def _sorted(digests: Digests) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Return the order of the digests, equal ones as they appear; and in that order, which are as the one before."""
    keys = _keys(digests)
    order = np.argsort(keys, kind="stable").astype(np.int32)
    keys = keys[order]
    is_repeated = np.zeros(len(order), bool)
    is_repeated[1:] = keys[1:] == keys[:-1]
    at = np.flatnonzero(is_repeated)
    is_same = _are_equal(digests, order[at], order[at - 1])
    if not is_same.all():  # different digests have the same key
        order = np.argsort(digests, kind="stable").astype(np.int32)
        is_repeated[1:] = _are_equal(digests, order[1:], order[:-1])
    return order, is_repeated


def _are_equal(digests: Digests, some: NDArray[np.int32], others: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Compare digests at some places with those at others, one by one."""
    found = np.empty(len(some), bool)
    for at in range(0, len(some), _AT_ONCE):
        here = slice(at, at + _AT_ONCE)
        found[here] = digests[some[here]] == digests[others[here]]
    return found


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
