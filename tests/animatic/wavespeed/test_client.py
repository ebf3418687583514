"""The client: its requests, its sorting of replies, and that the key goes to one place and shows in none."""

import json
import logging
import pickle
import traceback
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from animatic.errors import (
    AccountRefusedError,
    AnimaticError,
    ApiBusyError,
    ApiRefusedError,
    ApiUnavailableError,
    ApiUnreachableError,
    ProxyRefusedError,
)
from animatic.takes.states import Accepted
from animatic.wavespeed.client import Price, without_key
from animatic.wavespeed.outcomes import AccountRefused, Busy, NoReply, ProxyRefused, Refused, Unknown

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def raised_by(coroutine: Any) -> AnimaticError:
    with pytest.raises(AnimaticError) as caught:
        await coroutine
    return caught.value


async def test_a_submission_is_one_post_with_the_key_and_the_inputs(wire: Any) -> None:
    listener = await wire.listen_and_answer(wire.prediction())
    client = await wire.client(listener.url)
    outcome = await wire.submit(client)
    assert isinstance(outcome, Accepted)
    assert (outcome.prediction_id, outcome.status) == ("p1", "created")
    (request,) = listener.requests
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    assert lines[0] == f"POST /api/v3/{wire.model} HTTP/1.1"
    assert headers["authorization"] == f"Bearer {wire.canary}"
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"].startswith("animatic/")
    assert json.loads(body) == wire.inputs


async def test_each_submission_has_its_own_connection_and_polls_share_one(wire: Any) -> None:
    listener = await wire.listen_and_answer(wire.prediction())
    client = await wire.client(listener.url)
    for _ in range(4):
        await wire.submit(client)
    assert listener.connections == 4
    for _ in range(4):
        await client.result("p1")
    assert listener.connections == 5


@pytest.mark.parametrize("body", [b"", b'{"code":302,"message":"moved","data":null}'])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_and_the_key_stays_here(wire: Any, status: int, body: bytes) -> None:
    elsewhere = await wire.listen_and_answer(wire.prediction())

    async def play(_: bytes, writer: Any) -> None:
        writer.write(wire.reply(body, status, {"Location": f"{elsewhere.url}/api/v3/{wire.model}"}))
        await writer.drain()

    here = await wire.listen(play)
    client = await wire.client(here.url)
    assert type(await wire.submit(client)) is Unknown
    assert type(await raised_by(client.result("p1"))) is ApiUnavailableError
    assert (len(here.requests), elsewhere.connections) == (2, 0)


async def test_polls_go_to_the_base_url_whatever_the_reply_says(wire: Any) -> None:
    elsewhere = await wire.listen_and_answer(wire.prediction())
    here = await wire.listen_and_answer(wire.prediction(urls={"get": f"{elsewhere.url}/result"}))
    client = await wire.client(here.url + "/")
    outcome = await wire.submit(client)
    await client.result(outcome.prediction_id)
    assert elsewhere.connections == 0
    assert here.requests[1].startswith(b"GET /api/v3/predictions/p1/result HTTP/1.1\r\n")


async def test_cookies_are_not_kept(wire: Any) -> None:
    listener = await wire.listen_and_answer(wire.prediction(), Set_Cookie="session=1; Path=/")
    client = await wire.client(listener.url)
    for _ in range(2):
        await client.result("p1")
    assert not any(b"cookie" in request.lower() for request in listener.requests)


async def test_a_proxy_in_the_environment_is_not_used(wire: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = await wire.listen_and_answer(wire.prediction())
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    here = await wire.listen_and_answer(wire.prediction())
    client = await wire.client(here.url)
    await wire.submit(client)
    assert (len(here.requests), proxy.connections) == (1, 0)


OUTCOMES = {ApiRefusedError: Refused, AccountRefusedError: AccountRefused, ApiBusyError: Busy}
REFUSALS = {
    400: ApiRefusedError,
    401: AccountRefusedError,
    402: AccountRefusedError,
    403: AccountRefusedError,
    404: ApiRefusedError,
    405: ApiRefusedError,
    413: ApiRefusedError,
    415: ApiRefusedError,
    418: ApiRefusedError,
    422: ApiRefusedError,
    451: ApiRefusedError,
    429: ApiBusyError,
}


@pytest.mark.parametrize(("status", "kind"), REFUSALS.items())
async def test_a_plain_refusal_is_one_for_submissions_and_polls(wire: Any, status: int, kind: type) -> None:
    client = await wire.answering(status, {"code": status, "message": "no", "data": None})
    error = await raised_by(client.result("p1"))
    assert type(error) is kind
    assert getattr(error, "code", status) == status
    outcome = await wire.submit(client)
    assert (type(outcome), outcome.code) == (OUTCOMES[kind], status)
    for said in (str(error), outcome.message):
        assert f'WaveSpeed answered {status}: "no"' in said


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>a gateway</html>", ""),
        (b"no such thing", ': "no such thing"'),
        ({"error": "no such thing"}, ': "no such thing"'),
        ({"detail": [{"msg": "no such thing"}]}, ': "no such thing"'),
        ({"code": "400", "message": "no such thing"}, ': "no such thing"'),
        (b"", ""),
    ],
    ids=repr,
)
@pytest.mark.parametrize("status", [s for s in REFUSALS if s != 429])
async def test_a_definite_no_is_a_no_in_whichever_form_it_comes(wire: Any, status: int, body: Any, words: str) -> None:
    client = await wire.answering(status, body)
    error = await raised_by(client.result("p1"))
    assert type(error) is REFUSALS[status]
    outcome = await wire.submit(client)
    assert (type(outcome), outcome.code) == (OUTCOMES[REFUSALS[status]], status)
    assert str(error).startswith(f"result: WaveSpeed answered {status}{words}")
    assert outcome.message.startswith(f"submit: WaveSpeed answered {status}{words}")


@pytest.mark.parametrize(
    "body", [b"", b"<html>who are you?</html>", {"code": 407, "message": "who are you?"}], ids=repr
)
async def test_a_407_is_a_proxys_and_bars_the_way(wire: Any, body: Any) -> None:
    client = await wire.answering(407, body)
    outcome = await wire.submit(client)
    assert (type(outcome), outcome.code) == (ProxyRefused, 407)
    error = await raised_by(client.result("p1"))
    assert type(error) is ProxyRefusedError
    for said in (str(error), outcome.message):
        assert "a proxy answered 407" in said


class ThroughProxy(httpx.AsyncBaseTransport):
    """Sends every request through a proxy."""

    def __init__(self, proxy: str) -> None:
        self._proxy = proxy

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async with aiohttp.ClientSession() as session:
            await session.request(request.method, str(request.url), proxy=self._proxy)
        raise AssertionError("the proxy let it through")


@pytest.mark.parametrize("status", [403, 407, 502])
async def test_a_proxy_that_does_not_connect_bars_the_way(wire: Any, status: int) -> None:
    async def play(_: bytes, writer: Any) -> None:
        writer.write(wire.reply(b"<html>no</html>", status))
        await writer.drain()

    proxy = await wire.listen(play)
    client = await wire.client("https://api.example", transport=ThroughProxy(proxy.url))
    outcome = await wire.submit(client)
    assert (type(outcome), outcome.code) == (ProxyRefused, None)
    assert f"a proxy refused to connect to api.example (HTTP {status})" in outcome.message
    assert type(await raised_by(client.result("p1"))) is ProxyRefusedError
    assert all(request.startswith(b"CONNECT api.example:443 ") for request in proxy.requests)
    assert not any(wire.canary.encode() in request for request in proxy.requests)


async def test_a_429_is_a_429_from_a_proxy_too(wire: Any) -> None:
    client = await wire.answering(429, b"slow down", {"Retry-After": "7"})
    outcome = await wire.submit(client)
    assert (type(outcome), outcome.retry_after_s) == (Busy, 7.0)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"code": 500, "message": "boom", "data": None}),
        (200, {"code": 400, "message": "a code in a 200 proves nothing", "data": None}),
        (200, {"code": 200, "message": "success", "data": None}),
        (200, {"code": 200, "message": "success", "data": {}}),
        (200, {"code": 200, "message": "success", "data": {"id": "../x", "status": "created"}}),
        (200, b"<html>welcome</html>"),
        (200, b""),
        (200, b"[" * 100_000),
        (200, b'{"code":' + b"9" * 5_000 + b"}"),
        (204, b""),
        (408, {"code": 408, "message": "time-out", "data": None}),
        (409, {"code": 409, "message": "conflict", "data": None}),
        (409, b"<html>conflict</html>"),
        (425, {"code": 425, "message": "too early", "data": None}),
        (499, b"client closed request"),
        (200, {"code": 407, "message": "who are you?", "data": None}),
        (200, {"id": "p1", "error": "an id without a status, outside its envelope"}),
        (500, {"code": 500, "message": "server", "data": None}),
        (500, b"oops"),
        (502, b"<html>Bad gateway</html>"),
        (503, {"code": 503, "message": "unavailable", "data": None}),
        (504, b""),
        (599, b""),
    ],
    ids=repr,
)
async def test_whatever_is_neither_yes_nor_no_leaves_a_submission_unknown(wire: Any, status: int, body: Any) -> None:
    client = await wire.answering(status, body)
    assert type(await wire.submit(client)) is Unknown


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"code": 200, "message": "success", "data": {"id": "p1", "status": 5}}),
        (200, {"code": 500, "message": "boom", "data": {"id": "p1", "status": "created"}}),
        (200, {"data": {"id": "p1", "status": "created"}}),
        (200, b'{"code":200,"data":{"id":"p1","status":"created","timings":{"inference":NaN}}}'),
        (201, {"code": 200, "message": "success", "data": {"id": "p1", "status": "created"}}),
        (302, {"code": 200, "data": {"id": "p1"}}),
        (400, {"code": 400, "message": "no", "data": {"id": "p1"}}),
        (403, {"code": 403, "message": "no", "data": {"id": "p1"}}),
        (429, {"code": 429, "message": "slow down", "data": {"id": "p1"}}),
        (500, {"code": 200, "message": "success", "data": {"id": "p1", "outputs": 5, "timings": None}}),
        (504, b'{"data":{"id":"p1"}}'),
        (407, {"data": {"id": "p1"}}),
        (409, {"error": "conflict", "data": {"id": "p1"}}),
        (422, {"detail": [{"msg": "no"}], "data": {"id": "p1"}}),
        (200, {"id": "p1", "status": "created"}),
        (200, {"id": "p1", "status": "created", "model": None, "error": {"message": "x"}}),
        (200, b'{"id":"p1","status":"created","timings":{"inference":NaN}}'),
    ],
    ids=repr,
)
async def test_an_id_is_captured_wherever_it_appears(wire: Any, status: int, body: Any) -> None:
    client = await wire.answering(status, body)
    outcome = await wire.submit(client)
    assert (type(outcome), outcome.prediction_id) == (Accepted, "p1")


async def test_a_submission_returns_the_raw_reply_with_the_key_blacked_out(wire: Any) -> None:
    client = await wire.answering(500, b"oops " + wire.canary.encode())
    reply = await client.submit(wire.model, wire.inputs)
    assert (reply.status, reply.body) == (500, b"oops ***")


async def test_a_submission_without_a_reply_says_so(wire: Any) -> None:
    client = await wire.client("http://127.0.0.1:9")
    failure = await client.submit(wire.model, wire.inputs)
    assert (type(failure), failure.has_left, failure.is_by_proxy) == (NoReply, False, False)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"code": 500, "message": "boom", "data": None}),
        (200, {"code": 200, "message": "success", "data": None}),
        (200, {"code": 200, "message": "success", "data": {"id": "p2", "status": "completed"}}),
        (200, b"<html>welcome</html>"),
        (500, {"code": 500, "message": "server", "data": None}),
        (503, b""),
    ],
    ids=repr,
)
async def test_a_poll_that_fails_on_the_server_may_be_repeated(wire: Any, status: int, body: Any) -> None:
    client = await wire.answering(status, body)
    assert type(await raised_by(client.result("p1"))) is ApiUnavailableError


async def test_a_code_in_a_200_counts_for_a_reading_call(wire: Any) -> None:
    client = await wire.answering(200, {"code": 401, "message": "key", "data": None})
    assert type(await raised_by(client.balance_usd())) is AccountRefusedError


async def test_unknown_fields_do_not_lose_a_take(wire: Any) -> None:
    data = wire.prediction(stream=False, urls={"get": 5, "cancel": None}, input={"a": 1}, executionTime=5)
    client = await wire.answering(200, {"code": 200, "message": "success", "data": data, "trace": "x"})
    assert (await wire.submit(client)).prediction_id == "p1"


async def test_the_servers_words_are_quoted_on_one_short_line(wire: Any) -> None:
    client = await wire.answering(400, {"code": 400, "message": "a\nb\x1b[31m" + "x" * 5_000, "data": None})
    said = (await wire.submit(client)).message
    assert said.isprintable()
    assert len(said) < 500


async def test_an_odd_field_beside_a_clip_does_not_lose_it(wire: Any) -> None:
    odd = {"timings": {"inference": 61.5}, "has_nsfw_contents": [None], "error": {"message": ""}, "code": "x"}
    data = wire.prediction(status="completed", outputs=[{"url": "https://cdn.example/a.mp4"}], model=None, **odd)
    client = await wire.answering(200, {"code": "200", "message": None, "data": data})
    read = await client.result("p1")
    assert (read.outputs, read.has_nsfw_contents, read.timings.inference) == (
        *(("https://cdn.example/a.mp4",), (None,), 62),
    )


@pytest.mark.parametrize(
    "envelope", [{"code": 0}, {"code": 200}, {"code": "200"}, {}, {"message": "success"}], ids=repr
)
async def test_an_answer_is_read_in_whichever_envelope_it_comes(wire: Any, envelope: dict[str, object]) -> None:
    client = await wire.answering(
        200, {**envelope, "data": wire.prediction(status="completed", outputs=["https://a/1"])}
    )
    assert (await client.result("p1")).outputs == ("https://a/1",)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "processing"},
        {"status": "completed", "outputs": ["https://a/1.mp4"]},
        {"status": "failed", "error": "the model failed"},
        {"status": "failed", "error": {"message": "the model failed"}, "code": 5000},
        {"status": "processing", "code": 5004},
    ],
    ids=repr,
)
async def test_a_prediction_without_an_envelope_is_read(wire: Any, fields: dict[str, object]) -> None:
    client = await wire.answering(200, wire.prediction(**fields))
    read = await client.result("p1")
    assert (read.status, read.code) == (fields["status"], fields.get("code"))


async def test_a_bare_prediction_must_be_the_one_asked_for(wire: Any) -> None:
    client = await wire.answering(200, wire.prediction(id="p2", status="completed"))
    assert type(await raised_by(client.result("p1"))) is ApiUnavailableError


class Prices:
    """An API with three endpoints that name prices; what it was asked is kept."""

    def __init__(self, wire: Any, *answers: Any) -> None:
        self._wire = wire
        self._answers = dict(zip(("/api/v3/model/price", "/api/v3/model/pricing", "/api/v3/models"), answers))  # noqa: B905
        self.asked: list[tuple[str, str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        self.asked.append((request.method, request.url.path, body))
        answer = self._answers.get(request.url.path, 404)
        if isinstance(answer, int):
            return self._wire.respond(self._wire.envelope(None, answer, "no"), answer)
        return self._wire.respond(self._wire.envelope(answer))

    @property
    def paths(self) -> list[str]:
        return [path.rpartition("/")[2] for _, path, _ in self.asked]


async def test_a_price_is_asked_with_all_inputs(wire: Any) -> None:
    prices = Prices(wire, {"price": 3.0, "discounted_price": 2.5})
    client = await wire.handled_by(prices)
    assert await client.quote(wire.model, wire.inputs) == Price(2_500_000, is_floor=False)
    assert prices.asked == [("POST", "/api/v3/model/price", {"model_id": wire.model, "inputs": wire.inputs})]


@pytest.mark.parametrize(
    "first", [404, 405, {"price": 0}, {"price": "soon"}, {"price": 2, "discounted_price": 3}, [], None]
)
async def test_where_the_first_names_no_price_the_second_is_asked(wire: Any, first: Any) -> None:
    prices = Prices(wire, first, {"unit_price": 2.5})
    client = await wire.handled_by(prices)
    assert await client.quote(wire.model, wire.inputs) == Price(2_500_000, is_floor=False)
    assert [(method, body) for method, _, body in prices.asked] == [
        ("POST", {"model_id": wire.model, "inputs": wire.inputs})
    ] * 2
    assert prices.paths == ["price", "pricing"]


@pytest.mark.parametrize("form", ["list", "items", "models"])
async def test_the_base_price_of_the_model_is_a_floor_only(wire: Any, form: str) -> None:
    entries = [{"model_id": "other/model", "base_price": 9}, None, {"model_id": wire.model, "base_price": 1.5}]
    prices = Prices(wire, 404, {"unit_price": 0}, entries if form == "list" else {form: entries})
    client = await wire.handled_by(prices)
    assert await client.quote(wire.model, wire.inputs) == Price(1_500_000, is_floor=True)
    assert (prices.paths, prices.asked[-1][0]) == (["price", "pricing", "models"], "GET")


@pytest.mark.parametrize(
    "catalogue",
    [
        404,
        405,
        [],
        None,
        {"items": None},
        {"items": [{"model_id": "other/model", "base_price": 9}]},
        {"items": [{"model_id": "wavespeed-ai/veo2-i2v", "base_price": 0}]},
        {"items": [{"model_id": "wavespeed-ai/veo2-i2v", "base_price": -1}]},
        {"items": [{"model_id": "wavespeed-ai/veo2-i2v"}]},
    ],
    ids=repr,
)
async def test_where_no_price_can_be_believed_there_is_none(wire: Any, catalogue: Any) -> None:
    client = await wire.handled_by(Prices(wire, {"price": 0}, 404, catalogue))
    error = await raised_by(client.quote(wire.model, wire.inputs))
    assert type(error) is ApiRefusedError
    assert "names no price" in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ApiRefusedError),
        (401, AccountRefusedError),
        (407, ProxyRefusedError),
        (429, ApiBusyError),
        (500, ApiUnavailableError),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_another_failure_of_a_quote_is_raised_without_a_second_request(
    wire: Any, status: int, kind: type, place: int
) -> None:
    prices = Prices(wire, *[404] * place, status, {"unit_price": 2.5})
    client = await wire.handled_by(prices)
    assert type(await raised_by(client.quote(wire.model, wire.inputs))) is kind
    assert len(prices.asked) == place + 1


@pytest.mark.parametrize("balance", [0, -3.5, 12.25])
async def test_the_balance_is_what_is_left(wire: Any, balance: float) -> None:
    client = await wire.answering(200, {"code": 200, "message": "", "data": {"balance": balance}})
    assert await client.balance_usd() == balance


async def test_a_list_is_asked_by_window_and_read_page_by_page(wire: Any) -> None:
    asked: list[Any] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path, json.loads(request.content)))
        items = [wire.prediction(inputs=wire.inputs), wire.prediction(id="p0")]
        return wire.respond(wire.envelope({"items": items, "page": 2}))

    client = await wire.handled_by(handler)
    page = await client.list_predictions(page=2, model=wire.model, created_after=NOON, created_before=NOON)
    assert [(item.id, item.inputs) for item in page.items] == [("p1", wire.inputs), ("p0", None)]
    assert asked[0] == (
        "POST",
        "/api/v3/predictions",
        {
            "page": 2,
            "page_size": 100,
            "model": wire.model,
            "created_after": "2026-03-01T12:00:00+00:00",
            "created_before": "2026-03-01T12:00:00+00:00",
            "include_inputs": True,
        },
    )


async def test_a_list_page_with_odd_items_is_read_item_by_item(wire: Any) -> None:
    items = [wire.prediction(), None, {"id": "../x"}, wire.prediction(id="p0", status=5)]
    client = await wire.answering(200, {"code": 200, "data": {"items": items, "total": 4}})
    page = await client.list_predictions(page=1, model=wire.model, created_after=NOON, created_before=NOON)
    assert ([item.id for item in page.items], page.unreadable, page.total) == (["p1", "p0"], 2, 4)


async def test_the_bill_is_asked_by_window_and_read_page_by_page(wire: Any) -> None:
    asked: list[Any] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path, json.loads(request.content)))
        return wire.respond(wire.envelope({"items": [{"price": 2.5, "prediction": {"uuid": "p1"}}, 5], "total": 2}))

    client = await wire.handled_by(handler)
    page = await client.list_charges(page=2, start_time=NOON, end_time=NOON)
    assert [(item.prediction_id, item.price_usd) for item in page.items] == [("p1", 2.5)]
    assert (page.unreadable, page.total) == (1, 2)
    assert asked == [
        (
            "POST",
            "/api/v3/billings/search",
            {
                "page": 2,
                "page_size": 100,
                "start_time": "2026-03-01T12:00:00+00:00",
                "end_time": "2026-03-01T12:00:00+00:00",
                "sort": "created_at DESC",
            },
        )
    ]


async def test_an_upload_sends_the_file_and_gives_its_url(wire: Any) -> None:
    still = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
    listener = await wire.listen_and_answer({"download_url": "https://cdn.example/a.png", "size": 1})
    client = await wire.client(listener.url)
    assert await client.upload("a.png", still, "image/png") == "https://cdn.example/a.png"
    (request,) = listener.requests
    assert request.startswith(b"POST /api/v3/media/upload/binary HTTP/1.1\r\n")
    assert b'name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n' + still in request


@pytest.mark.parametrize("url", ["https://cdn.example/a.png", "http://127.0.0.1:1/a.png", "http://[::1]:1/a.png"])
async def test_an_upload_may_be_fetched_over_https_or_on_loopback(wire: Any, url: str) -> None:
    client = await wire.answering(200, {"code": 200, "message": "", "data": {"download_url": url}})
    assert await client.upload("a.png", b"x", "image/png") == url


@pytest.mark.parametrize(
    "url",
    [
        "http://cdn.example/a.png",
        "http://127.0.0.1.evil.example/a.png",
        "file:///etc/passwd",
        "//cdn.example/a.png",
        "https://",
        "https://[cdn",
        "",
        None,
        5,
        "https://cdn.example/" + "a" * 2_100,
    ],
)
async def test_an_upload_that_could_not_be_fetched_safely_is_refused(wire: Any, url: object) -> None:
    client = await wire.answering(200, {"code": 200, "message": "", "data": {"download_url": url}})
    assert type(await raised_by(client.upload("a.png", b"x", "image/png"))) is ApiUnavailableError


async def broken(wire: Any, how: str) -> Any:
    """A client at a server that is broken in this way."""

    async def play(_: bytes, writer: Any) -> None:
        match how:
            case "closes":
                writer.close()
            case "half":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")
                writer.close()
            case "garbage":
                writer.write(b"garbage\r\n\r\n")
                writer.close()
            case "redirect":
                writer.write(wire.reply(b"", 302, {"Location": "http://127.0.0.1:9/"}))
            case "echo":
                writer.write(wire.reply(wire.envelope(None, 401, f"bad key Bearer {wire.canary}"), 401))
            case "silence":
                pass
            case _:
                status = int(how)
                writer.write(wire.reply(wire.envelope(None, status), status, {"Retry-After": "1"}))
        await writer.drain()

    return await wire.client((await wire.listen(play)).url, submit_deadline_s=0.3, read_deadline_s=0.3)


HOWS = ["closes", "half", "garbage", "redirect", "echo", "silence", "200", "400", "401", "407", "429", "500"]


@pytest.mark.parametrize("how", [*HOWS, "refused", "no host"])
async def test_the_key_shows_in_no_failure_and_no_log(wire: Any, how: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    match how:
        case "refused":
            client = await wire.client("http://127.0.0.1:9")
        case "no host":
            client = await wire.client("http://nonexistent.invalid")
        case _:
            client = await broken(wire, how)
    outcome = await wire.submit(client)
    assert wire.canary not in repr(outcome)
    calls = [client.result("p1"), client.balance_usd(), client.quote(wire.model, wire.inputs)]
    if how != "silence":  # an upload has five minutes
        calls.append(client.upload("a.png", b"x", "image/png"))
    for call in calls:
        error = await raised_by(call)
        assert error.__cause__ is None
        assert error.__suppress_context__ or error.__context__ is None
        shown = "".join(traceback.format_exception(error)) + repr(error) + str(error.args) + repr(vars(error))
        assert wire.canary not in shown
        assert wire.canary.encode() not in pickle.dumps(error)
    assert wire.canary not in caplog.text
    assert wire.canary not in repr(client)


async def test_the_key_goes_to_the_configured_origin_only(wire: Any) -> None:
    seen: list[tuple[str, str | None]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append((str(request.url), request.headers.get("authorization")))
        return wire.respond(wire.envelope(wire.prediction()))

    client = await wire.handled_by(handler)
    await wire.submit(client)
    await client.result("p1")
    assert {urlsplit(url).netloc for url, _ in seen} == {"api.example"}
    assert {key for _, key in seen} == {f"Bearer {wire.canary}"}


async def test_a_hundred_submissions_at_once_are_a_hundred_posts(wire: Any) -> None:
    import asyncio  # noqa: PLC0415 - only here

    listener = await wire.listen_and_answer(wire.prediction())
    client = await wire.client(listener.url)
    await asyncio.gather(*(client.submit(wire.model, wire.inputs) for _ in range(100)))
    assert (len(listener.requests), listener.connections) == (100, 100)


async def test_an_unreachable_api_is_named_with_host_and_reason(wire: Any) -> None:
    client = await wire.client("http://127.0.0.1:9")
    said = (await wire.submit(client)).message
    assert type(await raised_by(client.result("p1"))) is ApiUnreachableError
    assert "POST /api/v3/wavespeed-ai/veo2-i2v: cannot connect to 127.0.0.1 (connection refused)" in said


def spellings(key: str) -> list[str]:
    """Return the spellings that JSON has for the same text."""
    return [
        key,
        "".join(f"\\u{ord(char):04x}" for char in key),
        "".join(f"\\u{ord(char):04X}" if number % 2 else char for number, char in enumerate(key)),
        key.replace("/", "\\/"),
        json.dumps(key)[1:-1],
    ]


@pytest.mark.parametrize("key", ["ws-canary-7f3a91", "a/b+c=", 'q"uo\\te', "[.*](x)"])
def test_the_key_is_blacked_out_however_json_spells_it(key: str) -> None:
    for spelled in spellings(key):
        body = without_key(f'{{"error": "bad key {spelled}, sorry"}}'.encode(), key)
        assert body == b'{"error": "bad key ***, sorry"}'


@given(st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=8, max_size=30), st.data())
def test_no_spelling_of_a_key_survives(key: str, data: st.DataObject) -> None:
    spelled = "".join(data.draw(st.sampled_from([f"\\u{ord(char):04x}", json.dumps(char)[1:-1]])) for char in key)
    assert key not in json.loads(without_key(f'{{"error": "{spelled}"}}'.encode(), key))["error"]


async def test_an_id_is_no_id_where_the_key_was_part_of_it(wire: Any) -> None:
    client = await wire.answering(200, {"code": 200, "message": "", "data": {"id": wire.canary, "status": "created"}})
    assert type(await wire.submit(client)) is Unknown


async def test_the_time_is_asked_once_and_only_where_no_reply_gave_it(wire: Any) -> None:
    listener = await wire.listen_and_answer({"balance": 1}, Date="Sun, 01 Mar 2026 12:00:00 GMT")
    client = await wire.client(listener.url)
    for _ in range(3):
        await client.learn_time()
    assert len(listener.requests) == 1
    assert abs((client.clock.now() - NOON).total_seconds()) < 5


async def test_an_api_without_a_time_does_not_stop_a_run(wire: Any) -> None:
    client = await wire.client("http://127.0.0.1:9")
    await client.learn_time()
    assert not client.clock.is_told
