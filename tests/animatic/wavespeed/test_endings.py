"""The one table of how a submission can end: each row, their order, and that there is always an answer."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from asked import GOES_AGAIN
from hypothesis import given
from hypothesis import strategies as st

from animatic.takes.states import PAID, State
from animatic.wavespeed import endings
from animatic.wavespeed.endings import STATE_AFTER, Answer, Ended, Ending, classify


def envelope(code: Any = 200, data: Any = None, message: str = "said") -> bytes:
    return json.dumps({"code": code, "message": message, "data": data}).encode()


ROWS: list[tuple[Answer, Ending]] = [
    (Answer(left=False, why="cannot connect"), Ending.UNSENT),
    (Answer(left=False, is_barred=True, why="a proxy refused to connect"), Ending.BARRED),
    (Answer(why="no whole answer"), Ending.UNKNOWN),
    (Answer(200, envelope(data={"id": "p1", "status": "created"})), Ending.ACCEPTED),
    (Answer(500, envelope(500, {"id": "p1"})), Ending.ACCEPTED),
    (Answer(429, b"slow down"), Ending.BUSY),
    *((Answer(http, envelope(http)), Ending.STOP) for http in (401, 402, 403)),
    *((Answer(http, b"<html>"), Ending.STOP) for http in (401, 402, 403)),
    *((Answer(http, b"<html>"), Ending.REFUSED) for http in (400, 404, 418)),
    *((Answer(http, envelope(http)), Ending.REFUSED) for http in (400, 404, 405, 406, 410, 413, 415, 418, 422, 451)),
    *((Answer(407, body), Ending.BARRED) for body in (b"", b"<html>", envelope(407))),
    *((Answer(http, envelope(http)), Ending.UNKNOWN) for http in (408, 409, 425, 499)),
    *((Answer(http, b"<html>"), Ending.UNKNOWN) for http in (408, 409, 425, 499)),
    *((Answer(http, envelope(http)), Ending.UNKNOWN) for http in (200, 201, 204, 302, 307, 500, 502, 503, 504, 599)),
    (Answer(200, envelope(401)), Ending.UNKNOWN),
    (Answer(200, envelope(407)), Ending.UNKNOWN),
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
    is_no = answer.http is not None and ending in {Ending.BUSY, Ending.BARRED, Ending.STOP, Ending.REFUSED}
    assert ended.code == (answer.http if is_no else None)
    assert ended.retry_after_s == (7.0 if ending is Ending.BUSY else None)


NO_BODIES: list[tuple[bytes, str]] = [
    (b'{"error": "image too small"}', "image too small"),
    (b'{"message": "image too small"}', "image too small"),
    (b'{"detail": "image too small"}', "image too small"),
    (b'{"detail": [{"loc": ["body", "image"], "msg": "image too small"}]}', "image too small"),
    (b'{"detail": [{"msg": "one"}, {"msg": "another"}]}', "one; another"),
    (b'{"error": {"message": "image too small", "code": 7}}', "image too small"),
    (b'{"code": "400", "message": "image too small", "data": null}', "image too small"),
    (b'{"code": 400.0, "message": "image too small", "data": {}}', "image too small"),
    (b'{"code": 400, "message": "", "error": "image too small"}', "image too small"),
    (b'{"code": 400, "message": null, "data": [1]}', ""),
    (b'{"message": "image too small", "data": {"timings": NaN}}', "image too small"),
    (b'{"code": 200, "message": "success", "data": {"id": "../x"}}', "success"),
    (b"image too small", "image too small"),
    (b"<html><h1>Bad request</h1></html>", ""),
    (b'{"error": "cut', '{\\"error\\": \\"cut'),
    (b"\xff\xfe", ""),
    (b"", ""),
    (b"[]", ""),
    (b"null", ""),
]
NO_ENDINGS = {
    400: Ending.REFUSED,
    401: Ending.STOP,
    402: Ending.STOP,
    403: Ending.STOP,
    404: Ending.REFUSED,
    422: Ending.REFUSED,
}


@pytest.mark.parametrize("http", NO_ENDINGS)
@pytest.mark.parametrize(("body", "words"), NO_BODIES, ids=repr)
def test_a_definite_no_is_a_no_whatever_its_body(http: int, body: bytes, words: str) -> None:
    ended = classify(Answer(http, body))
    assert (ended.ending, ended.code) == (NO_ENDINGS[http], http)
    assert ended.said.startswith(f"submit: WaveSpeed answered {http}")
    assert words in ended.said
    assert "<h1>" not in ended.said
    assert ended.said.isprintable()
    assert STATE_AFTER[ended.ending] not in PAID


@pytest.mark.parametrize("http", [400, 401, 402, 403, 404, 407, 408, 409, 422, 425, 429, 499])
@pytest.mark.parametrize(
    "body",
    [
        envelope(400, {"id": "p1"}),
        b'{"error": "no", "data": {"id": "p1", "status": "created"}}',
        b'{"id": "p1", "status": "created", "error": "late"}',
    ],
    ids=repr,
)
def test_a_no_that_holds_a_usable_id_has_made_a_prediction(http: int, body: bytes) -> None:
    ended = classify(Answer(http, body))
    assert (ended.ending, ended.prediction_id) == (Ending.ACCEPTED, "p1")


def test_what_a_proxy_refused_says_where_to_look() -> None:
    for answer in (Answer(left=False, is_barred=True, why="a proxy refused to connect"), Answer(407, b"")):
        assert "HTTPS_PROXY" in classify(answer).said


def test_an_acceptance_says_what_the_api_said_of_it() -> None:
    data = {"id": "p1", "status": "created", "model": "wavespeed-ai/veo2-i2v", "created_at": "2026-03-01T12:00:00.5Z"}
    ended = classify(Answer(200, envelope(data=data)))
    assert (ended.prediction_status, ended.prediction_model) == ("created", "wavespeed-ai/veo2-i2v")
    assert ended.created_at == datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
    assert classify(Answer(200, json.dumps(data).encode())) == ended


@pytest.mark.parametrize("odd", [None, 5, "", ["x"], {"a": 1}])
def test_an_odd_model_or_time_does_not_lose_the_id(odd: Any) -> None:
    ended = classify(Answer(200, envelope(data={"id": "p1", "model": odd, "created_at": odd})))
    assert (ended.prediction_id, ended.prediction_model, ended.created_at) == ("p1", None, None)


@given(st.integers(400, 499), st.binary(max_size=60) | st.sampled_from([body for body, _ in NO_BODIES]))
def test_only_four_of_the_4xx_leave_it_open_whether_something_was_bought(http: int, body: bytes) -> None:
    ended = classify(Answer(http, body))
    assert (ended.ending is Ending.UNKNOWN) == (http in {408, 409, 425, 499})


@given(st.integers(100, 399) | st.integers(500, 599), st.binary(max_size=60))
def test_without_an_id_every_other_status_leaves_it_open(http: int, body: bytes) -> None:
    assert classify(Answer(http, body)).ending is Ending.UNKNOWN


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
