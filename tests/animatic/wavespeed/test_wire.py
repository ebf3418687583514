"""Replies of the API as types: what a take needs is required, anything odd beside it is read as absent."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from animatic.errors import ApiUnavailableError
from animatic.wavespeed.wire import (
    Balance,
    ChargePage,
    Envelope,
    ListedPrediction,
    Prediction,
    PredictionPage,
    Upload,
    is_prediction,
    read_data,
    read_envelope,
)

unhurried = examples(60)

KINDS = [Prediction, ListedPrediction, PredictionPage, ChargePage, Balance, Upload]
FIELDS = ["id", "model", "status", "outputs", "has_nsfw_contents", "created_at", "error", "code", "timings", "items"]
FIELDS += ["price", "billing_type", "prediction", "order", "uuid", "total", "balance", "download_url", "inputs"]
FIELDS += ["inference", "message", "detail", "url"]
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


@pytest.mark.parametrize(
    ("body", "code", "message", "is_success"),
    [
        (b'{"code":"200","data":{}}', 200, "", True),
        (b'{"code":200.0,"data":{}}', 200, "", True),
        (b'{"code":0,"data":{}}', 0, "", True),
        (b'{"code":true,"data":{}}', None, "", True),
        (b'{"code":null}', None, "", False),
        (b'{"data":{}}', None, "", True),
        (b'{"data":null}', None, "", False),
        (b"{}", None, "", False),
        (b'{"code":200,"message":5}', 200, "5", True),
        (b'{"code":200,"message":true}', 200, "", True),
        (b'{"code":"soon","data":{}}', None, "", True),
        (b'{"code":400,"data":{}}', 400, "", False),
        (b'{"code":"400","error":"no","data":{}}', 400, "no", False),
        (b'{"code":400,"message":"","error":{"message":"no"}}', 400, "no", False),
        (b'{"code":400,"message":null,"detail":[{"msg":"one"},{"msg":"two"}]}', 400, "one; two", False),
        (b'{"code":400.5}', None, "", False),
        (b'{"code":200,"data":[NaN]}', 200, "", True),
        (b'{"code":NaN,"data":Infinity}', None, "", True),
    ],
    ids=repr,
)
def test_an_envelope_is_read_as_far_as_it_can_be(body: bytes, code: int | None, message: str, is_success: bool) -> None:
    envelope = read_envelope(body)
    assert envelope is not None
    assert (envelope.code, envelope.message, envelope.is_success) == (code, message, is_success)


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
@given(values, values, values, st.sampled_from(["created", "processing", "failed", "completed"]))
def test_nothing_beside_id_status_and_url_can_lose_a_prediction(one: Any, two: Any, three: Any, status: str) -> None:
    read = prediction(
        status=status,
        outputs=["https://a/1.mp4"],
        created_at=one,
        code=two,
        timings={"inference": three},
        error=one,
        model=two,
        has_nsfw_contents=three,
        inputs=one,
        input=two,
        urls=three,
    )
    assert read.outputs == ("https://a/1.mp4",)
    assert -(2**63) <= (read.code or 0) < 2**63
    assert 0 <= (read.timings.inference or 0) <= 10**12
    assert read.created_at is None or read.created_at.utcoffset() == timedelta(0)
    assert all(flag in {True, False, None} for flag in read.has_nsfw_contents or ())
    assert isinstance(read.error, str)
    assert isinstance(read.model, str)


def test_nulls_stand_for_nothing() -> None:
    read = prediction(
        outputs=None, has_nsfw_contents=None, error=None, timings=None, created_at=None, code=None, model=None
    )
    assert (read.outputs, read.has_nsfw_contents, read.error, read.created_at, read.code) == ((), None, "", None, None)
    assert (read.timings.inference, read.model, read.inputs) == (None, "", None)
    assert prediction() == read


@pytest.mark.parametrize(
    ("found", "read"),
    [
        (61_234, 61_234),
        (61_234.4, 61_234),
        (61_234.6, 61_235),
        ("61234.6", 61_235),
        (0, 0),
        (10**12, 10**12),
        (10**13, None),
        (-1, None),
        (True, None),
        ("soon", None),
        (None, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        ([1], None),
    ],
    ids=repr,
)
def test_an_odd_time_is_rounded_or_absent(found: object, read: int | None) -> None:
    assert prediction(timings={"inference": found}).timings.inference == read


@pytest.mark.parametrize("timings", [None, {}, [1], "61", 61, {"total": 5}])
def test_without_timings_there_is_no_time(timings: object) -> None:
    assert prediction(timings=timings).timings.inference is None
    assert read_data(Prediction, {"id": "p1", "status": "created"}, what="result").timings.inference is None


@pytest.mark.parametrize(
    ("found", "read"),
    [
        (None, None),
        ([], ()),
        ([True, False], (True, False)),
        ([None], (None,)),
        ([0], (None,)),
        ([1, True], (None, True)),
        (["true", False, "FALSE", "no"], (True, False, False, None)),
        ([[True]], (None,)),
        ("no", None),
        (True, (True,)),
        ({"0": True}, None),
        ([False] * 65, (False,) * 64),
    ],
    ids=repr,
)
def test_a_flag_that_is_none_is_not_judged_and_never_clean(found: object, read: tuple[bool | None, ...] | None) -> None:
    assert prediction(has_nsfw_contents=found).has_nsfw_contents == read


URL = "https://a/1.mp4"


@pytest.mark.parametrize(
    ("found", "read"),
    [
        ([URL], (URL,)),
        (URL, (URL,)),
        ([{"url": URL, "type": "video"}], (URL,)),
        ({"url": URL}, (URL,)),
        ([None, URL, ""], (URL,)),
        ([URL, {"text": "a transcript"}, 5], (URL,)),
        (["HTTPS://A/1.mp4", "http://127.0.0.1:1/1.mp4"], ("HTTPS://A/1.mp4", "http://127.0.0.1:1/1.mp4")),
        ([], ()),
        (None, ()),
        ([None], ()),
        ("", ()),
    ],
    ids=repr,
)
def test_outputs_are_urls_in_whichever_form_they_come(found: object, read: tuple[str, ...]) -> None:
    assert prediction(outputs=found).outputs == read


@pytest.mark.parametrize(
    "found",
    [
        "a text",
        5,
        True,
        [1],
        [{"href": URL}],
        [{"url": 5}],
        ["x" * 8_193],
        [f"https://a/{'x' * 8_193}"],
        ["file:///etc/passwd"],
        ["javascript:alert(1)"],
        {"video": URL},
        [URL] * 65,
    ],
    ids=lambda found: repr(found)[:30],
)
def test_outputs_that_hold_no_url_are_an_error_only_once_completed(found: object) -> None:
    with pytest.raises(ApiUnavailableError, match=r"unexpected in: outputs$"):
        prediction(outputs=found)
    assert len(prediction(status="processing", outputs=found).outputs) <= 64


@pytest.mark.parametrize(
    ("found", "read"),
    [
        ("the model failed", "the model failed"),
        (17, "17"),
        ({"message": "the model failed", "code": 5}, "the model failed"),
        ({"error": {"msg": "the model failed"}}, "the model failed"),
        ({"code": 5}, "5"),
        ([{"message": "one"}, "two"], "one; two"),
        ({"other": "x"}, ""),
        (None, ""),
        (False, ""),
        ("x" * 9_000, "x" * 4_000),
    ],
    ids=lambda found: repr(found)[:40],
)
def test_an_error_of_any_form_becomes_text(found: object, read: str) -> None:
    assert prediction(status="failed", error=found).error == read


@pytest.mark.parametrize(
    ("found", "read"),
    [
        (5004, 5004),
        ("5004", 5004),
        (5004.0, 5004),
        (-1, -1),
        (5004.5, None),
        ("E5004", None),
        (True, None),
        (2**63, None),
        (10**400, None),
        (float("nan"), None),
        ([5004], None),
    ],
    ids=lambda found: repr(found)[:20],
)
def test_a_code_is_a_whole_number_or_absent(found: object, read: int | None) -> None:
    assert prediction(status="failed", code=found).code == read


@pytest.mark.parametrize(("found", "read"), [(None, ""), (5, ""), (["x"], ""), ("m" * 300, "m" * 200), ("a/b", "a/b")])
def test_a_model_is_text_or_absent(found: object, read: str) -> None:
    assert prediction(model=found).model == read


@pytest.mark.parametrize("text", ["yesterday", "", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", 5, [], "9" * 99])
def test_a_moment_that_cannot_be_is_absent(text: object) -> None:
    assert prediction(created_at=text).created_at is None


def test_inputs_are_read_under_either_name() -> None:
    assert prediction(input={"prompt": "x"}).inputs == {"prompt": "x"}
    assert prediction(inputs=None, input={"prompt": "x"}).inputs == {"prompt": "x"}
    assert prediction(inputs="x", input=None).inputs is None


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
        ("status", ""),
        ("status", "x" * 65),
        ("outputs", ["canary"]),
        ("id", "../canary"),
    ],
)
def test_what_a_take_needs_is_named_by_field_and_never_by_value(field: str, value: object) -> None:
    with pytest.raises(ApiUnavailableError) as caught:
        prediction(**{field: value})
    assert str(caught.value).startswith(f"result: WaveSpeed answered something unexpected in: {field}")
    assert "canary" not in str(caught.value)


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


@pytest.mark.parametrize("status", ["created", "processing", "hibernating", "COMPLETED", " completed"])
def test_any_other_status_is_not_final(status: str) -> None:
    assert not prediction(status=status).is_final


@pytest.mark.parametrize("status", ["created", "processing"])
def test_a_code_beside_a_status_that_goes_on_ends_nothing(status: str) -> None:
    read = prediction(status=status, code=5004, error="timed out")
    assert not read.is_final
    assert read.code == 5004


GOOD = {"id": "p1", "status": "created", "inputs": {"prompt": "x"}}


def test_a_page_counts_what_it_cannot_read_and_reads_the_rest() -> None:
    odd = [{"id": "../x", "status": "created"}, {"status": "created"}, None, 5, "p3", [], {"id": None}]
    page = read_data(PredictionPage, {"items": [GOOD, *odd, GOOD | {"id": "p2"}], "total": 9}, what="list")
    assert ([item.id for item in page.items], page.unreadable, page.total) == (["p1", "p2"], 7, 9)
    assert page.items[0].inputs == {"prompt": "x"}


@pytest.mark.parametrize(
    "fields",
    [
        {"status": None},
        {"status": 5},
        {"status": "x" * 99},
        {"outputs": 5},
        {"outputs": ["no url"], "status": "completed"},
        {"created_at": "yesterday"},
        {"inputs": "text"},
        {"model": None},
        {"error": {"message": "x"}},
        {"code": "E1"},
    ],
    ids=repr,
)
def test_what_is_listed_exists_whatever_state_it_is_in(fields: dict[str, object]) -> None:
    page = read_data(PredictionPage, {"items": [GOOD | fields]}, what="list")
    assert ([item.id for item in page.items], page.unreadable) == (["p1"], 0)


@pytest.mark.parametrize("kind", [PredictionPage, ChargePage])
def test_items_that_are_null_are_no_proof_that_there_are_none(kind: type[Any]) -> None:
    page = read_data(kind, {"items": None, "total": 0}, what="list")
    assert (page.items, page.unreadable) == ((), 1)
    assert read_data(kind, {"items": []}, what="list").unreadable == 0


@pytest.mark.parametrize("kind", [PredictionPage, ChargePage])
@pytest.mark.parametrize("data", [{}, {"total": 0}, {"items": "x"}, {"items": {}}, {"items": 5}, [], None])
def test_without_items_it_is_no_page(kind: type[Any], data: object) -> None:
    with pytest.raises(ApiUnavailableError, match=r"^list: WaveSpeed answered something unexpected in: "):
        read_data(kind, data, what="list")


@pytest.mark.parametrize(("found", "read"), [(7, 7), ("7", 7), (0, 0), (-1, None), ("many", None), (None, None)])
def test_a_total_is_a_number_or_absent(found: object, read: int | None) -> None:
    assert read_data(PredictionPage, {"items": [], "total": found}, what="list").total == read
    assert read_data(ChargePage, {"items": [], "total": found}, what="bill").total == read


def test_a_charge_is_read_flat_without_what_is_odd() -> None:
    good = {
        "uuid": "c1",
        "billing_type": "refund",
        "price": "2.5",
        "created_at": "2026-03-01T12:00:00Z",
        "order": {"state": "done"},
        "prediction": {"uuid": "p1", "model_uuid": "wavespeed-ai/veo2-i2v"},
    }
    odd = {"price": "dear", "prediction": {"uuid": "../x", "model_uuid": 5}, "order": None, "created_at": 5}
    page = read_data(ChargePage, {"items": [good, odd, None, "x"]}, what="bill")
    one, other = page.items
    assert (one.billing_type, one.price_usd, one.order_state, one.prediction_id, one.model) == (
        *("refund", 2.5, "done", "p1", "wavespeed-ai/veo2-i2v"),
    )
    assert one.created_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert (other.billing_type, other.price_usd, other.prediction_id, other.created_at) == ("deduct", None, None, None)
    assert page.unreadable == 2


def test_a_bare_prediction_is_not_taken_for_an_envelope() -> None:
    assert is_prediction({"id": "p1", "status": "created"})
    assert not is_prediction({"id": "p1"})
    assert not is_prediction({"id": 5, "status": "created"})
    assert not is_prediction({"code": 200, "data": {"id": "p1", "status": "created"}})
    assert not is_prediction([])


def test_the_card_itself_is_read() -> None:
    card = """{"id":"d5d7e1a0","model":"wavespeed-ai/veo2-i2v","outputs":["https://cdn.example/a.mp4"],
      "urls":{"get":"https://api.wavespeed.ai/api/v3/predictions/d5d7e1a0/result"},"has_nsfw_contents":[false],
      "status":"completed","created_at":"2025-06-16T08:11:21.119Z","error":"","timings":{"inference":61234}}"""
    read = read_data(Prediction, json.loads(card), what="result")
    assert (read.id, read.outputs, read.timings.inference) == ("d5d7e1a0", ("https://cdn.example/a.mp4",), 61_234)
