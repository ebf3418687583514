"""The one table of the outcomes of a submission: each row, their order, and that there is always one."""

import json
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from asked import GOES_AGAIN
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from animatic.takes.states import PAID, Accepted, State
from animatic.wavespeed import outcomes
from animatic.wavespeed.outcomes import (
    AccountRefused,
    Busy,
    NoReply,
    Outcome,
    ProxyRefused,
    Refused,
    Unknown,
    Unsent,
    classify,
)
from animatic.wavespeed.replies import Reply

WITHOUT_ID = [each for each in get_args(Outcome) if each is not Accepted]


def envelope(code: Any = 200, data: Any = None, message: str = "said") -> bytes:
    return json.dumps({"code": code, "message": message, "data": data}).encode()


def reply(http: int, body: bytes) -> Reply:
    return Reply(http, {"retry-after": "7"}, body)


ROWS: list[tuple[Reply | NoReply, type]] = [
    (NoReply("cannot connect", has_left=False), Unsent),
    (NoReply("a proxy refused to connect", has_left=False, is_by_proxy=True), ProxyRefused),
    (NoReply("no whole answer"), Unknown),
    (reply(200, envelope(data={"id": "p1", "status": "created"})), Accepted),
    (reply(500, envelope(500, {"id": "p1"})), Accepted),
    (reply(429, b"slow down"), Busy),
    *((reply(http, envelope(http)), AccountRefused) for http in (401, 402, 403)),
    *((reply(http, b"<html>"), AccountRefused) for http in (401, 402, 403)),
    *((reply(http, b"<html>"), Refused) for http in (400, 404, 418)),
    *((reply(http, envelope(http)), Refused) for http in (400, 404, 405, 406, 410, 413, 415, 418, 422, 451)),
    *((reply(407, body), ProxyRefused) for body in (b"", b"<html>", envelope(407))),
    *((reply(http, envelope(http)), Unknown) for http in (408, 409, 425, 499)),
    *((reply(http, b"<html>"), Unknown) for http in (408, 409, 425, 499)),
    *((reply(http, envelope(http)), Unknown) for http in (200, 201, 204, 302, 307, 500, 502, 503, 504, 599)),
    (reply(200, envelope(401)), Unknown),
    (reply(200, envelope(407)), Unknown),
    (reply(200, envelope(429)), Unknown),
    (reply(200, b""), Unknown),
]


@pytest.mark.parametrize(("came_back", "kind"), ROWS, ids=repr)
def test_each_row_of_the_table(came_back: Reply | NoReply, kind: type) -> None:
    outcome = classify(came_back)
    assert type(outcome) is kind
    if isinstance(outcome, Accepted):
        assert outcome.prediction_id == "p1"
        return
    assert outcome.message
    assert outcome.message.isprintable()
    is_no = isinstance(outcome, Busy | ProxyRefused | AccountRefused | Refused)
    assert outcome.code == (came_back.status if is_no and isinstance(came_back, Reply) else None)
    assert not isinstance(outcome, Busy) or outcome.retry_after_s == 7.0


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
REFUSALS = {
    400: Refused,
    401: AccountRefused,
    402: AccountRefused,
    403: AccountRefused,
    404: Refused,
    422: Refused,
}


@pytest.mark.parametrize("http", REFUSALS)
@pytest.mark.parametrize(("body", "words"), NO_BODIES, ids=repr)
def test_a_definite_no_is_a_no_whatever_its_body(http: int, body: bytes, words: str) -> None:
    outcome = classify(reply(http, body))
    assert not isinstance(outcome, Accepted)
    assert (type(outcome), outcome.code) == (REFUSALS[http], http)
    assert outcome.message.startswith(f"submit: WaveSpeed answered {http}")
    assert words in outcome.message
    assert "<h1>" not in outcome.message
    assert outcome.message.isprintable()
    assert outcome.state not in PAID


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
    outcome = classify(reply(http, body))
    assert isinstance(outcome, Accepted)
    assert outcome.prediction_id == "p1"


def test_what_a_proxy_refused_says_where_to_look() -> None:
    for came_back in (NoReply("a proxy refused to connect", has_left=False, is_by_proxy=True), reply(407, b"")):
        outcome = classify(came_back)
        assert isinstance(outcome, ProxyRefused)
        assert "HTTPS_PROXY" in outcome.message


def test_an_acceptance_says_what_the_api_said_of_it() -> None:
    data = {"id": "p1", "status": "created", "model": "wavespeed-ai/veo2-i2v", "created_at": "2026-03-01T12:00:00.5Z"}
    created_at = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
    accepted = Accepted("p1", "created", "wavespeed-ai/veo2-i2v", created_at)
    assert classify(reply(200, envelope(data=data))) == accepted
    assert classify(reply(200, json.dumps(data).encode())) == accepted


@pytest.mark.parametrize("odd", [None, 5, "", ["x"], {"a": 1}])
def test_an_odd_model_or_time_does_not_lose_the_id(odd: Any) -> None:
    assert classify(reply(200, envelope(data={"id": "p1", "model": odd, "created_at": odd}))) == Accepted("p1")


@given(st.integers(400, 499), st.binary(max_size=60) | st.sampled_from([body for body, _ in NO_BODIES]))
def test_only_four_of_the_4xx_leave_it_open_whether_something_was_bought(http: int, body: bytes) -> None:
    assert (type(classify(reply(http, body))) is Unknown) == (http in {408, 409, 425, 499})


@given(st.integers(100, 399) | st.integers(500, 599), st.binary(max_size=60))
def test_without_an_id_every_other_status_leaves_it_open(http: int, body: bytes) -> None:
    assert type(classify(reply(http, body))) is Unknown


def test_the_docstrings_table_names_every_outcome() -> None:
    rows = [line.split("|")[2].strip() for line in str(outcomes.__doc__).splitlines() if line.startswith("    |")][2:]
    assert set(rows) == {each.__name__ for each in get_args(Outcome)}


def test_only_what_provably_bought_nothing_goes_again() -> None:
    assert {Unsent, Busy} == GOES_AGAIN
    assert {each for each in WITHOUT_ID if each.state in PAID} == {Unknown}
    assert {each.state for each in GOES_AGAIN} == {State.UNSENT}


@pytest.mark.parametrize("found", ["", "../x", "a b", "é", "x" * 201, "p1\n", 5, None, ["p1"], {"id": "p1"}])
def test_what_is_no_id_is_no_acceptance(found: Any) -> None:
    assert type(classify(reply(200, envelope(data={"id": found})))) is Unknown


@pytest.mark.parametrize("status", [5, None, "x" * 65, ["created"]])
def test_a_status_that_is_none_does_not_lose_the_id(status: Any) -> None:
    assert classify(reply(200, envelope(data={"id": "p1", "status": status}))) == Accepted("p1")


@pytest.mark.parametrize(
    "body", [b"[1]", b'"p1"', b'{"data": [{"id": "p1"}]}', b'{"id": "p1"}', b"[" * 50_000, b"\xff"]
)
def test_an_id_counts_only_where_the_api_puts_one(body: bytes) -> None:
    assert type(classify(reply(200, body))) is Unknown


@given(
    st.builds(reply, st.integers(100, 599), st.binary(max_size=200))
    | st.builds(NoReply, st.just("why"), st.booleans(), st.booleans())
)
def test_there_is_always_an_outcome(came_back: Reply | NoReply) -> None:
    outcome = classify(came_back)
    assert isinstance(outcome, Outcome)
    if type(outcome) in GOES_AGAIN:
        assert not came_back.has_left if isinstance(came_back, NoReply) else came_back.status == 429


@given(
    st.integers(100, 599),
    st.sampled_from(["p1", "a-b_C9"]),
    st.recursive(st.none() | st.booleans() | st.text(), st.lists),
)
@examples()
def test_a_usable_id_is_always_captured(http: int, name: str, other: Any) -> None:
    body = json.dumps(
        {"code": other, "message": other, "data": {"outputs": other, "id": name, "timings": other}}
    ).encode()
    outcome = classify(reply(http, body))
    assert isinstance(outcome, Accepted)
    assert outcome.prediction_id == name
