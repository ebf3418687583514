"""The file of a plan: what is written is read again, and nothing else is."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kept_plans import THREE, VEO2, bytes_of, file_of, manifest_of, plan_of

from animatic.errors import SettingsError
from animatic.planning.plan_file import ROWS_AT_ONCE
from animatic.planning.plan_form import WholePart
from animatic.planning.planned_rows import DOES, Do, rows_of
from animatic.takes.states import BuyingPolicy, State

WHOLE = bytes_of(plan_of())
LAST = WHOLE.splitlines(keepends=True)[-1]


def resealed(data: bytes) -> bytes:
    """Return a file with the hash that fits it, as a forger would make it."""
    body = data.removesuffix(data.splitlines(keepends=True)[-1])
    return body + f'"sha256": "{hashlib.sha256(body).hexdigest()}"}}\n'.encode()


def test_a_plan_is_one_json_object_that_fits_its_schema() -> None:
    whole = WholePart.model_validate_json(WHOLE)
    assert [(each.row, each.shot_id, each.take, each.do) for each in whole.takes] == [
        (1, "one", 1, "buy"), (2, "two", 1, "buy"), (2, "two", 2, "buy"), (3, "three", 1, "buy"),
    ]  # fmt: skip
    assert [(each.usd, each.takes) for each in whole.prices] == [("2.500000", 2), ("3.000000", 2)]
    assert (whole.cost.usd, whole.cost.most_usd) == ("11.000000", "11.000000")
    assert whole.sha256 == hashlib.sha256(WHOLE.removesuffix(LAST)).hexdigest()


def test_what_was_written_is_read_again() -> None:
    plan = plan_of(states={1: State.COMPLETED, 2: State.FAILED}, policy=BuyingPolicy(retry_failed=True))
    rows, found = rows_of(plan), file_of(bytes_of(plan)).rows
    for name in ("row", "take", "digest", "do", "price"):
        assert getattr(found, name).tolist() == getattr(rows, name).tolist(), name
    assert found.shot_id.to_pylist() == ["one", "two", "two", "three"]
    assert [DOES[each] for each in found.do] == [Do.BUY, Do.CACHED, Do.BUY_AGAIN, Do.BUY]
    assert found.attempt.tolist() == [0, 0, 3, 0]
    assert json.loads(found.asked[0].as_py())["prompt"] == "push in"


def test_a_plan_of_many_rows_is_read_in_parts() -> None:
    many = [(f"s{row}", f"push in {row}", "5s", 1) for row in range(2 * ROWS_AT_ONCE + 1)]
    found = file_of(bytes_of(plan_of(manifest_of(many)))).rows
    assert (len(found), found.row[-1], found.shot_id[-1].as_py()) == (len(many), len(many), many[-1][0])


def test_a_plan_with_nothing_chosen_is_read_again() -> None:
    assert len(file_of(bytes_of(plan_of(manifest_of([("one", "push in", "9s", 1)])))).rows) == 1
    assert file_of(bytes_of(plan_of(manifest_of([("one", "push in", "9s", 1)])))).rows.take.tolist() == [0]


def test_the_most_counts_every_attempt() -> None:
    assert file_of(bytes_of(plan_of(), attempts=3)).head.cost.most_usd == "33.000000"


def test_a_price_that_is_not_known_is_null() -> None:
    head = file_of(bytes_of(plan_of(), {"6s": None}, {"6s": 3.5})).head
    assert (head.cost.usd, head.cost.known_usd, head.cost.unpriced_takes) == (None, "5.000000", 2)
    assert head.cost.estimated_usd == "12.000000"


def test_rows_that_ask_for_the_same_take_buy_it_once() -> None:
    same = [("one", "push in", "5s", 1), ("two", "push in", "5s", 1)]
    assert [DOES[each] for each in file_of(bytes_of(plan_of(manifest_of(same)))).rows.do] == [Do.BUY, Do.SHARED]


def test_rows_that_are_not_chosen_are_no_part_of_a_plan() -> None:
    found = file_of(bytes_of(plan_of(manifest_of(THREE, limit=1)))).rows
    assert found.row.tolist() == [1]


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_file_with_one_byte_changed_is_refused(at: int, by: int) -> None:
    changed = bytearray(WHOLE)
    changed[at] = (changed[at] + by) % 256
    with pytest.raises(SettingsError, match=r"nothing was bought|allowed: (version|a file)"):
        file_of(bytes(changed))


@given(st.integers(0, len(WHOLE) - 1))
def test_a_file_that_was_cut_is_refused(length: int) -> None:
    with pytest.raises(SettingsError):
        file_of(WHOLE[:length])


@pytest.mark.parametrize(
    "other",
    [
        b"",
        b"{}",
        b"shot_id,image\n",
        json.dumps(json.loads(WHOLE)).encode(),
        json.dumps(json.loads(WHOLE), indent=1).encode(),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused(other: bytes) -> None:
    with pytest.raises(SettingsError):
        file_of(other)


def test_a_plan_of_another_version_is_named() -> None:
    with pytest.raises(SettingsError, match="found a plan of version 2; allowed: version 1"):
        file_of(resealed(WHOLE.replace(b'{"animatic_plan": 1,', b'{"animatic_plan": 2,')))


def test_a_line_without_an_end_is_refused_before_it_is_read() -> None:
    with pytest.raises(SettingsError, match="more than"):
        file_of(WHOLE.splitlines(keepends=True)[0] + b'"a": "' + b"x" * (1 << 20))


FORGED = {
    "a take that is not among its prices": (b'"price":0', b'"price":7'),
    "another price in the take": (b'"price":0,"usd":"2.500000"', b'"price":0,"usd":"0.500000"'),
    "another price for all": (b"2.500000", b"0.000001"),
    "a take twice": (b'"two","take":2', b'"two","take":2'),
    "a take more than its prices say": (b'"takes": 2, "usd": "2.500000"', b'"takes": 1, "usd": "2.500000"'),
    "an unknown field": (b'"row":1,', b'"row":1,"more":1,'),
    "a row below 1": (b'"row":1,', b'"row":0,'),
    "a number as text": (b'"row":1,', b'"row":"1",'),
    "an unknown thing to do": (b'"do":"buy"', b'"do":"steal"'),
    "a fingerprint that is none": (b'"fingerprint":"', b'"fingerprint":"x'),
    "a model that its price is not for": (VEO2.encode() + b'","fingerprint"', b'other","fingerprint"'),
    "two takes in one line": (b'"row":1,', b'"row":1},{"row":1,'),
    "a price that is no amount": (b'"usd": "3.000000"', b'"usd": "-3.000000"'),
    "a cost of its own": (b'"usd": "11.000000", "most', b'"usd": "12.000000", "most'),
    "eleven attempts": (b'"attempts": 1', b'"attempts": 11'),
    "a moment without a zone": (b"+00:00", b""),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_plan_whose_hash_fits_is_refused(name: str) -> None:
    before, after = FORGED[name]
    forged = WHOLE.replace(before, after, 1)
    if name == "another price for all":
        forged = WHOLE.replace(before, after)
    if name == "a take twice":
        lines = WHOLE.splitlines(keepends=True)
        at = next(number for number, line in enumerate(lines) if before in line)
        forged = b"".join([*lines[: at + 1], lines[at], *lines[at + 1 :]])
    if name == "a moment without a zone":
        forged = WHOLE.replace(b'Z"', b'"')
    assert forged != WHOLE
    with pytest.raises(SettingsError, match="not as animatic wrote it"):
        file_of(resealed(forged))
