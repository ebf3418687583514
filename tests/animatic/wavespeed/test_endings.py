"""The one table of how a submission can end: each row, their order, and that there is always an answer."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from animatic.takes import PAID, State
from animatic.wavespeed import endings
from animatic.wavespeed.endings import GOES_AGAIN, STATE_AFTER, Answer, Ended, Ending, classify


def envelope(code: Any = 200, data: Any = None, message: str = "said") -> bytes:
    return json.dumps({"code": code, "message": message, "data": data}).encode()


ROWS: list[tuple[Answer, Ending]] = [
    (Answer(left=False, why="cannot connect"), Ending.UNSENT),
    (Answer(why="no whole answer"), Ending.UNKNOWN),
    (Answer(200, envelope(data={"id": "p1", "status": "created"})), Ending.ACCEPTED),
    (Answer(500, envelope(500, {"id": "p1"})), Ending.ACCEPTED),
    (Answer(429, b"slow down"), Ending.BUSY),
    *((Answer(http, envelope(http)), Ending.STOP) for http in (401, 402, 403)),
    *((Answer(http, b"<html>"), Ending.UNKNOWN) for http in (401, 402, 403, 400, 404)),
    *((Answer(http, envelope(http)), Ending.REFUSED) for http in (400, 404, 405, 413, 415, 422)),
    *((Answer(http, envelope(http)), Ending.UNKNOWN) for http in (200, 201, 302, 408, 409, 418, 500, 502, 503, 504)),
    (Answer(200, envelope(401)), Ending.UNKNOWN),
    (Answer(200, envelope(429)), Ending.UNKNOWN),
    (Answer(200, b""), Ending.UNKNOWN),
]


@pytest.mark.parametrize(("answer", "ending"), ROWS, ids=repr)
def test_each_row_of_the_table(answer: Answer, ending: Ending) -> None:
    ended = classify(answer, 7.0)
    assert ended.ending is ending
    assert ended.said
    assert ended.said.isprintable()
    assert (ended.prediction_id is not None) == (ending is Ending.ACCEPTED)
    assert (ended.code is not None) == (ending in {Ending.BUSY, Ending.STOP, Ending.REFUSED})
    assert ended.retry_after_s == (7.0 if ending is Ending.BUSY else None)


def test_the_docstrings_table_names_every_ending() -> None:
    rows = [line.split("|")[2].strip() for line in str(endings.__doc__).splitlines() if line.startswith("    |")][2:]
    assert set(rows) == {ending.value for ending in Ending}


def test_only_what_provably_bought_nothing_goes_again() -> None:
    assert {Ending.UNSENT, Ending.BUSY} == GOES_AGAIN
    assert {ending for ending in Ending if STATE_AFTER[ending] in PAID} == {Ending.ACCEPTED, Ending.UNKNOWN}
    assert {STATE_AFTER[ending] for ending in GOES_AGAIN} == {State.UNSENT}
    assert set(STATE_AFTER) == set(Ending)


@pytest.mark.parametrize("found", ["", "../x", "a b", "é", "x" * 201, "p1\n", 5, None, ["p1"], {"id": "p1"}])
def test_what_is_no_id_is_no_acceptance(found: Any) -> None:
    assert classify(Answer(200, envelope(data={"id": found}))).ending is Ending.UNKNOWN


@pytest.mark.parametrize("status", [5, None, "x" * 65, ["created"]])
def test_a_status_that_is_none_does_not_lose_the_id(status: Any) -> None:
    ended = classify(Answer(200, envelope(data={"id": "p1", "status": status})))
    assert (ended.prediction_id, ended.prediction_status) == ("p1", None)


@pytest.mark.parametrize(
    "body", [b"[1]", b'"p1"', b'{"data": [{"id": "p1"}]}', b'{"id": "p1"}', b"[" * 50_000, b"\xff"]
)
def test_an_id_counts_only_where_the_api_puts_one(body: bytes) -> None:
    assert classify(Answer(200, body)).ending is Ending.UNKNOWN


@given(st.none() | st.integers(100, 599), st.binary(max_size=200), st.booleans())
def test_there_is_always_an_answer(http: int | None, body: bytes, left: bool) -> None:
    ended = classify(Answer(http, body, left=left, why="why"))
    assert isinstance(ended, Ended)
    if ended.ending is Ending.UNSENT:
        assert not left
    if ended.ending in GOES_AGAIN:
        assert not left or http == 429


@given(
    st.integers(100, 599),
    st.sampled_from(["p1", "a-b_C9"]),
    st.recursive(st.none() | st.booleans() | st.text(), st.lists),
)
def test_a_usable_id_is_always_captured(http: int, name: str, other: Any) -> None:
    body = json.dumps(
        {"code": other, "message": other, "data": {"outputs": other, "id": name, "timings": other}}
    ).encode()
    ended = classify(Answer(http, body))
    assert (ended.ending, ended.prediction_id) == (Ending.ACCEPTED, name)
