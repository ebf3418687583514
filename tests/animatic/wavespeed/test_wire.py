"""What the API says, as types: more fields than we know are fine, anything else is distrusted."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from animatic.errors import ApiUnavailableError
from animatic.wavespeed.wire import (
    Balance,
    Envelope,
    ListedPrediction,
    Prediction,
    PredictionPage,
    Quote,
    Upload,
    read_data,
    read_envelope,
)

# A machine may be busy.
unhurried = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

KINDS = [Prediction, ListedPrediction, PredictionPage, Quote, Balance, Upload]
FIELDS = ["id", "model", "status", "outputs", "has_nsfw_contents", "created_at", "error", "code", "timings", "items"]
FIELDS += ["price", "discounted_price", "balance", "download_url", "inputs", "inference"]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("p1"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=20,
)


def prediction(**fields: Any) -> Prediction:
    return read_data(Prediction, {"id": "p1", "status": "completed"} | fields, what="result")


def test_an_envelope_is_read_whatever_else_is_in_it() -> None:
    envelope = read_envelope(b'{"code":200,"message":"success","data":{"a":1},"request_id":"x"}')
    assert envelope == Envelope(code=200, message="success", data={"a": 1})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"200",
        b'"x"',
        b"<html><h1>Bad gateway</h1></html>",
        b'{"code":200,"data":',
        b'{"code":"200","data":{}}',
        b'{"code":200.0,"data":{}}',
        b'{"code":true,"data":{}}',
        b'{"code":null}',
        b'{"data":{}}',
        b'{"code":200,"message":5}',
        b'{"code":200,"data":NaN}',
        b'{"code":200,"data":Infinity}',
        b'{"code":200,"message":"\\ud800"}',
        b'{"code":200,"message":"\xff"}',
        b"[" * 100_000,
        b'{"code":200,"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"code":200,"data":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        b'{"code":' + b"9" * 5_000 + b"}",
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_no_envelope_is_none(body: bytes) -> None:
    assert read_envelope(body) is None


@unhurried
@given(st.binary(max_size=200))
def test_no_bytes_are_a_surprise(body: bytes) -> None:
    assert isinstance(read_envelope(body), Envelope | None)


@unhurried
@given(st.sampled_from(KINDS), values)
def test_whatever_data_is_it_is_read_or_refused_with_our_error(kind: type[Any], data: Any) -> None:
    try:
        said = read_data(kind, data, what="it")
    except ApiUnavailableError as error:
        said = str(error)
    assert isinstance(said, kind) or said.startswith("it: WaveSpeed answered something unexpected in: ")


@unhurried
@given(values)
def test_a_prediction_that_was_read_can_be_written_down(fields: Any) -> None:
    try:
        read = prediction(created_at=fields, code=fields, timings={"inference": fields}, error=fields)
    except ApiUnavailableError:
        return
    assert -(2**63) <= (read.code or 0) < 2**63
    assert 0 <= (read.timings.inference or 0) <= 10**12
    assert read.created_at is None or read.created_at.utcoffset() is not None


def test_nulls_stand_for_nothing() -> None:
    read = prediction(outputs=None, has_nsfw_contents=None, error=None, timings=None, created_at=None, code=None)
    assert (read.outputs, read.has_nsfw_contents, read.error, read.created_at, read.code) == ((), (), "", None, None)
    assert read.timings.inference is None


def test_fewer_flags_than_outputs_are_taken_as_they_are() -> None:
    assert prediction(outputs=["https://a/1.mp4", "https://a/2.mp4"], has_nsfw_contents=[True]).has_nsfw_contents == (
        True,
    )


def test_unknown_fields_are_tolerated_everywhere() -> None:
    assert prediction(extra={"a": [1]}, timings={"inference": 5, "queue": 1}).timings.inference == 5


@pytest.mark.parametrize(
    "prediction_id",
    ["", "../x", "..", "a/b", "a?b", "a#b", "a%2e", "a b", "a\n", "a\0", "ä", "x" * 201, 5, None, ["p1"], True],
)
def test_what_is_not_one_safe_path_segment_is_no_id(prediction_id: object) -> None:
    with pytest.raises(ApiUnavailableError, match=r"unexpected in: id$"):
        prediction(id=prediction_id)


@pytest.mark.parametrize("prediction_id", ["a", "0123456789abcdef" * 2, "A-b_9", "x" * 200])
def test_an_ordinary_id_is_one(prediction_id: str) -> None:
    assert prediction(id=prediction_id).id == prediction_id


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", None),
        ("status", 5),
        ("status", "x" * 65),
        ("outputs", "https://a/1.mp4"),
        ("outputs", [1]),
        ("outputs", [None]),
        ("outputs", ["x" * 8_193]),
        ("outputs", ["x"] * 65),
        ("has_nsfw_contents", "no"),
        ("has_nsfw_contents", ["true"]),
        ("has_nsfw_contents", [0]),
        ("error", 17),
        ("code", "5000"),
        ("code", 2**63),
        ("code", 10**400),
        ("timings", {"inference": "soon"}),
        ("timings", {"inference": 1.5}),
        ("timings", {"inference": -1}),
        ("timings", {"inference": float("nan")}),
        ("timings", {"inference": 10**13}),
        ("timings", [1]),
        ("created_at", "yesterday"),
    ],
)
def test_a_wrong_type_is_named_by_field_and_never_by_value(field: str, value: object) -> None:
    with pytest.raises(ApiUnavailableError) as caught:
        prediction(**{field: value})
    assert str(caught.value).startswith(f"result: WaveSpeed answered something unexpected in: {field}")
    assert "yesterday" not in str(caught.value)


@pytest.mark.parametrize("data", [None, [], "x", 5, True])
def test_data_that_is_no_object_is_refused(data: object) -> None:
    with pytest.raises(ApiUnavailableError, match=r"unexpected in: data$"):
        read_data(Prediction, data, what="result")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T13:00:00+01:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-14:00", None),
    ],
)
def test_moments_are_utc_and_one_that_utc_cannot_say_is_none(text: str, moment: datetime | None) -> None:
    found = prediction(created_at=text).created_at
    assert found == moment
    assert found is None or found.utcoffset() == UTC.utcoffset(None)


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "timeout", "deleted"])
def test_these_statuses_are_final(status: str) -> None:
    assert prediction(status=status).is_final


@pytest.mark.parametrize("status", ["created", "processing", "hibernating", "COMPLETED", ""])
def test_any_other_status_is_not_final(status: str) -> None:
    assert not prediction(status=status).is_final


def test_a_discount_is_what_would_be_charged() -> None:
    assert read_data(Quote, {"price": 4, "discounted_price": 2.5}, what="price").price_usd == 2.5
    assert read_data(Quote, {"price": 4}, what="price").price_usd == 4.0
    assert read_data(Quote, {"price": 4, "discounted_price": 0}, what="price").price_usd == 0.0


@pytest.mark.parametrize("price", [-1, 1e6, None, "a", float("nan"), float("inf")])
def test_a_price_that_cannot_be_is_refused(price: object) -> None:
    with pytest.raises(ApiUnavailableError, match="price"):
        read_data(Quote, {"price": price}, what="price")


def test_a_page_tolerates_no_bad_item_in_silence() -> None:
    good = {"id": "p1", "status": "created", "inputs": {"prompt": "x"}}
    assert read_data(PredictionPage, {"items": [good], "page": 1}, what="list").items[0].inputs == {"prompt": "x"}
    with pytest.raises(ApiUnavailableError, match=r"items\.1\.id"):
        read_data(PredictionPage, {"items": [good, {"id": "../x", "status": "created"}]}, what="list")


def test_the_card_itself_is_read() -> None:
    card = """{"id":"d5d7e1a0","model":"wavespeed-ai/veo2-i2v","outputs":["https://cdn.example/a.mp4"],
      "urls":{"get":"https://api.wavespeed.ai/api/v3/predictions/d5d7e1a0/result"},"has_nsfw_contents":[false],
      "status":"completed","created_at":"2025-06-16T08:11:21.119Z","error":"","timings":{"inference":61234}}"""
    read = read_data(Prediction, json.loads(card), what="result")
    assert (read.id, read.outputs, read.timings.inference) == ("d5d7e1a0", ("https://cdn.example/a.mp4",), 61_234)
