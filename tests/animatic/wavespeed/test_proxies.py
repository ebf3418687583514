"""The API through proxies: the key goes into the tunnel only, and what breaks before it is known not to be sent."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from proxies import over_tls, proxying

from animatic.errors import ApiUnreachableError, ProxyRefusedError
from animatic.takes.states import Accepted
from animatic.wavespeed.client import SUBMIT_DEADLINE_S
from animatic.wavespeed.outcomes import ProxyRefused, Unsent
from animatic.wavespeed.transport import CONNECTED_WITHIN_S, AiohttpTransport
from animatic.web.network import Network, read_proxy
from tools.authority import Authority

PREDICTION = {"id": "p-1", "status": "created", "model": "wavespeed-ai/veo2-i2v"}
API = "https://api.example:8443"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


async def test_the_key_goes_into_the_tunnel_and_the_proxy_never_hears_it(
    wire: Any, authority: Authority, stack: contextlib.ExitStack
) -> None:
    origin = await wire.listen_and_answer(PREDICTION)
    front = stack.enter_context(over_tls(origin.url, authority.server_context("api.example")))
    proxy = stack.enter_context(proxying({"api.example:8443": front.address}, login="us@er:se:cret"))
    network = Network(https=read_proxy(proxy.url_for("us%40er:se%3Acret")), ca_file=str(authority.file))
    client = await wire.client(API, network=network)
    assert type(await wire.submit(client)) is Accepted
    assert (await client.result("p-1")).id == "p-1"
    assert {*proxy.asked} == {"CONNECT api.example:8443"}
    assert wire.canary.encode() not in b"".join(proxy.heard)
    assert all(wire.canary.encode() in request for request in origin.requests)
    assert not any(b"proxy-authorization" in request.lower() for request in origin.requests)


async def test_a_proxy_over_tls_is_checked_by_the_same_authority(
    wire: Any, authority: Authority, tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    origin = await wire.listen_and_answer(PREDICTION)
    front = stack.enter_context(over_tls(origin.url, authority.server_context("api.example")))
    routes, its_own = {"api.example": front.address}, authority.server_context("127.0.0.1")
    proxy = stack.enter_context(proxying(routes, context=its_own, login="user:secret"))
    network = Network(https=read_proxy(proxy.url_for("user:secret")), ca_file=str(authority.file))
    client = await wire.client(API, network=network)
    assert type(await wire.submit(client)) is Accepted
    assert proxy.asked == ["CONNECT api.example:8443"]

    strangers = Authority(tmp_path / "strangers").server_context("127.0.0.1")
    stranger = stack.enter_context(proxying(routes, context=strangers))
    network = Network(https=read_proxy(stranger.url_for("user:secret")), ca_file=str(authority.file))
    outcome = await wire.submit(await wire.client(API, network=network))
    assert (type(outcome), "127.0.0.1 is not trusted" in outcome.message) == (Unsent, True)
    assert stranger.asked == []


async def test_a_server_that_the_named_authority_has_not_signed_is_not_trusted(
    wire: Any, authority: Authority, tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    origin = await wire.listen_and_answer(PREDICTION)
    front = stack.enter_context(over_tls(origin.url, authority.server_context("localhost", "127.0.0.1")))
    url = f"https://localhost:{front.address[1]}"
    trusting = await wire.client(url, network=Network(ca_file=str(authority.file)))
    assert type(await wire.submit(trusting)) is Accepted
    for network in (Network(), Network(ca_file=str(Authority(tmp_path / "other").file))):
        outcome = await wire.submit(await wire.client(url, network=network))
        assert (type(outcome), "SSL_CERT_FILE" in outcome.message) == (Unsent, True)
    assert len(origin.requests) == 1


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_loopback_is_reached_directly_whatever_proxy_there_is(
    wire: Any, authority: Authority, stack: contextlib.ExitStack, host: str
) -> None:
    origin = await wire.listen_and_answer(PREDICTION)
    front = stack.enter_context(over_tls(origin.url, authority.server_context(host)))
    proxy = stack.enter_context(proxying({}))
    network = Network(https=read_proxy(proxy.url), http=read_proxy(proxy.url), ca_file=str(authority.file))
    for url in (f"https://{host}:{front.address[1]}", origin.url):
        assert (await wire.submit(await wire.client(url, network=network))).prediction_id == "p-1"
    assert proxy.connections == 0


async def test_a_request_with_the_key_goes_to_no_proxy_in_clear(wire: Any, stack: contextlib.ExitStack) -> None:
    proxy = stack.enter_context(proxying({}))
    network = Network(https=read_proxy(proxy.url), http=read_proxy(proxy.url))
    client = await wire.client("http://api.invalid", network=network)
    assert type(await wire.submit(client)) is Unsent
    assert proxy.connections == 0


@pytest.mark.parametrize("status", [403, 407, 502])
async def test_a_refused_connection_stops_the_run_and_shows_no_password(
    wire: Any, stack: contextlib.ExitStack, status: int
) -> None:
    refusal = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()
    proxy = stack.enter_context(proxying({}, answer=refusal))
    client = await wire.client(API, network=Network(https=read_proxy(proxy.url_for("user:secret"))))
    outcome = await wire.submit(client)
    assert type(outcome) is ProxyRefused
    with pytest.raises(ProxyRefusedError) as caught:
        await client.result("p-1")
    for text in (outcome.message, str(caught.value), repr(caught.value)):
        assert f"{status}" in text
        assert "secret" not in text


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"])
async def test_a_proxy_that_hangs_up_or_speaks_nonsense_was_sent_nothing(
    wire: Any, stack: contextlib.ExitStack, answer: bytes
) -> None:
    proxy = stack.enter_context(proxying({}, answer=answer))
    client = await wire.client(API, network=Network(https=read_proxy(proxy.url)))
    assert type(await wire.submit(client)) is Unsent
    assert wire.canary.encode() not in b"".join(proxy.heard)
    with pytest.raises(ApiUnreachableError):
        await client.result("p-1")


async def test_a_proxy_that_is_not_there_is_named(wire: Any, stack: contextlib.ExitStack) -> None:
    with proxying({}) as gone:
        url = gone.url_for("user:secret")
    client = await wire.client(API, network=Network(https=read_proxy(url)))
    outcome = await wire.submit(client)
    assert type(outcome) is Unsent
    assert "cannot connect to the proxy" in outcome.message
    assert "HTTPS_PROXY" in outcome.message
    assert "secret" not in outcome.message


async def test_a_proxy_that_never_answers_is_given_up_as_not_sent(wire: Any) -> None:
    async def hang(_: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    silent = await wire.listen(hang)
    network = Network(https=read_proxy(silent.url))
    transport = AiohttpTransport(fresh_connections=True, most_connections=1, connected_within_s=0.2, network=network)
    client = await wire.client(API, transport=transport)
    assert type(await wire.submit(client)) is Unsent
    assert CONNECTED_WITHIN_S < SUBMIT_DEADLINE_S, "else the take would be unknown"


async def test_a_machine_that_sleeps_while_it_connects_sends_nothing(wire: Any) -> None:
    origin, hours_s = await wire.listen_and_answer(PREDICTION), iter([0.0, 7_200.0])
    transport = AiohttpTransport(fresh_connections=True, most_connections=1, clock=lambda: next(hours_s))
    outcome = await wire.submit(await wire.client(origin.url, transport=transport))
    assert type(outcome) is Unsent
    assert "this machine slept while it connected" in outcome.message
    assert origin.requests == []
