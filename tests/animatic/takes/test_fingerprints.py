import random
from hashlib import sha256

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from animatic.takes.fingerprints import FingerprintSet, FirstSeen, digests_from, digests_of, hex_of, shared

NAMES = [sha256(str(number).encode()).hexdigest() for number in range(60)]
# Zero bytes at the end are where numpy's texts of bytes could go wrong.
DIGESTS = st.sampled_from([bytes(32), b"\0" * 31 + b"\1", b"\1" + bytes(31), b"\1\1" + bytes(30), b"\xff" * 32])


def test_a_column_holds_what_was_put_into_it() -> None:
    assert hex_of(digests_of(NAMES)) == NAMES
    assert digests_of(NAMES).nbytes == 32 * len(NAMES)
    assert hex_of(digests_of([])) == []


def test_a_set_knows_what_is_in_it_and_where() -> None:
    names = random.Random(1).sample(NAMES, 40)
    found = FingerprintSet(digests_of(names))
    assert len(found) == 40
    assert list(found) == sorted(names)
    for name in NAMES:
        assert (name in found) == (name in names)
    expected = [names.index(name) if name in names else -1 for name in NAMES]
    assert found.positions(digests_of(NAMES)).tolist() == expected


def test_what_is_no_fingerprint_is_in_no_set() -> None:
    found = FingerprintSet(digests_of(NAMES))
    assert not any(other in found for other in ("", NAMES[0][:12], NAMES[0] + NAMES[1], "x" * 64, None, 7))
    assert NAMES[0] not in FingerprintSet(digests_of([]))


@given(st.lists(DIGESTS))
def test_shared_digests_are_numbered_as_they_first_appear(digests: list[bytes]) -> None:
    distinct, number_of = shared(digests_from(digests))
    order = list(dict.fromkeys(digests))
    assert hex_of(distinct) == [digest.hex() for digest in order]
    assert number_of.tolist() == [order.index(digest) for digest in digests]


@given(st.lists(st.lists(DIGESTS, min_size=1), max_size=6))
def test_the_first_row_that_names_a_name_is_remembered(batches: list[list[bytes]]) -> None:
    first_seen, first_of, row = FirstSeen(), dict[bytes, int](), 1
    for batch in batches:
        rows = list(range(row, row + len(batch)))
        expected = [first_of.setdefault(name, at) for name, at in zip(batch, rows, strict=True)]
        assert first_seen.add(digests_from(batch), rows).tolist() == expected
        row += len(batch)


def test_positions_of_equal_digests_are_the_first() -> None:
    twice = digests_of([NAMES[1], NAMES[0], NAMES[1]])
    assert FingerprintSet(twice).positions(twice).tolist() == [0, 1, 0]
    assert np.asarray(twice).dtype.itemsize == 32
