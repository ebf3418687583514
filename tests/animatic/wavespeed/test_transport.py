"""Broken connections: either nothing was sent, or the outcome is unknown. On real sockets."""

import asyncio
import inspect
import re
import socket
import struct
from collections.abc import Iterator
from typing import Any

import aiohttp
import httpx
import pytest

from animatic.errors import ApiUnavailableError, ApiUnreachableError
from animatic.wavespeed.outcomes import Unknown, Unsent
from animatic.wavespeed.replies import LONGEST_RETRY_AFTER_S, Reply
from animatic.wavespeed.transport import _never_left

NEVER_LEFT = {
    "ClientConnectorCertificateError",
    "ClientConnectorDNSError",
    "ClientConnectorError",
    "ClientConnectorSSLError",
    "ClientProxyConnectionError",
    "ClientSSLError",
    "ConnectionTimeoutError",
    "InvalidURL",
    "InvalidUrlClientError",
    "InvalidUrlRedirectClientError",  # redirects are off, so that this one can't come after a request
    "UnixClientConnectorError",
}


def classes_of(module: Any, root: type) -> list[type]:
    return sorted(
        {kind for _, kind in inspect.getmembers(module, inspect.isclass) if issubclass(kind, root)},
        key=lambda kind: kind.__name__,
    )


class Quiet:
    """An instance of an exception class whose constructor we don't care for."""

    def __new__(cls, kind: type[BaseException]) -> BaseException:
        made = type(kind.__name__, (kind,), {"__init__": lambda self: None, "__str__": lambda self: "x"})
        return made()


@pytest.mark.parametrize("kind", classes_of(aiohttp.client_exceptions, aiohttp.ClientError), ids=lambda k: k.__name__)
def test_only_these_of_aiohttps_errors_prove_that_nothing_was_sent(kind: type[BaseException]) -> None:
    assert _never_left(Quiet(kind)) == (kind.__name__ in NEVER_LEFT)


@pytest.mark.parametrize("kind", classes_of(httpx, httpx.HTTPError), ids=lambda k: k.__name__)
def test_of_httpxs_own_errors_only_two_prove_it(kind: type[httpx.HTTPError]) -> None:
    assert _never_left(Quiet(kind)) == (kind.__name__ in {"UnsupportedProtocol", "PoolTimeout"})


@pytest.mark.parametrize(
    "kind", [OSError, ConnectionError, ConnectionResetError, ConnectionRefusedError, BrokenPipeError, TimeoutError]
)
def test_a_bare_error_of_the_system_proves_nothing(kind: type[OSError]) -> None:
    assert not _never_left(kind())


@pytest.fixture
def refused_url() -> Iterator[str]:
    """A port that is bound, so that no other process gets it, but does not listen."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


async def test_a_refused_connection_was_never_sent(wire: Any, refused_url: str) -> None:
    client = await wire.client(refused_url)
    outcome = await wire.submit(client)
    assert type(outcome) is Unsent
    assert re.search(r"cannot connect to 127\.0\.0\.1", outcome.message)
    with pytest.raises(ApiUnreachableError):
        await client.result("p1")


async def test_a_host_without_an_address_was_never_sent(wire: Any) -> None:
    client = await wire.client("http://nonexistent.invalid")
    outcome = await wire.submit(client)
    assert type(outcome) is Unsent
    assert re.search(r"cannot connect to nonexistent\.invalid", outcome.message)


async def test_a_server_that_speaks_no_tls_was_never_sent_anything(wire: Any) -> None:
    async def play(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    listener = await wire.listen(play, reads=False)
    client = await wire.client(listener.url.replace("http:", "https:"))
    assert type(await wire.submit(client)) is Unsent


def reset(writer: asyncio.StreamWriter) -> None:
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n"
PIECES = {
    "nothing": b"",
    "half a status line": b"HTTP/1.1 20",
    "half the headers": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "only the headers": HEAD,
    "half the body": HEAD + b'{"code":200,"data":{"id":"p1"',
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",
    "no last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "only a 100 continue": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("ends", ["closes", "resets"])
@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
async def test_once_sent_a_broken_answer_leaves_it_unknown(wire: Any, piece: bytes, ends: str) -> None:
    async def play(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(piece)
        await writer.drain()
        if ends == "resets":
            await asyncio.sleep(0.01)
            reset(writer)
        else:
            writer.close()

    listener = await wire.listen(play)
    client = await wire.client(listener.url, submit_deadline_s=5)
    assert type(await wire.submit(client)) is Unknown
    assert len(listener.requests) == 1
    with pytest.raises(ApiUnavailableError):
        await client.result("p1")


@pytest.mark.parametrize("ends", ["closes", "resets"])
async def test_a_server_gone_after_accepting_leaves_it_unknown(wire: Any, ends: str) -> None:
    async def play(_: bytes, writer: asyncio.StreamWriter) -> None:
        reset(writer) if ends == "resets" else writer.close()

    client = await wire.client((await wire.listen(play, reads=False)).url)
    assert type(await wire.submit(client)) is Unknown


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\nfoo",
        b"\x16\x03\x01\x00\x01",
    ],
)
async def test_an_answer_that_is_no_http_leaves_it_unknown(wire: Any, answer: bytes) -> None:
    async def play(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    client = await wire.client((await wire.listen(play)).url, submit_deadline_s=1)
    assert type(await wire.submit(client)) is Unknown


async def test_the_wait_for_an_answer_ends_at_the_deadline(wire: Any) -> None:
    async def play(_: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()  # an answer never comes

    client = await wire.client((await wire.listen(play)).url, submit_deadline_s=0.3, read_deadline_s=0.2)
    outcome = await wire.submit(client)
    assert type(outcome) is Unknown
    assert re.search(r"no whole answer within 0\.3 s", outcome.message)
    with pytest.raises(ApiUnavailableError, match=r"no whole answer within 0\.2 s"):
        await client.result("p1")


async def test_an_answer_that_drips_is_bounded_by_the_deadline_as_a_whole(wire: Any) -> None:
    dripped = 0

    async def play(_: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal dripped
        writer.write(HEAD)
        while True:
            writer.write(b" ")
            await writer.drain()
            dripped += 1
            await asyncio.sleep(0.02)

    client = await wire.client((await wire.listen(play)).url, submit_deadline_s=0.4)
    outcome = await wire.submit(client)
    assert type(outcome) is Unknown
    assert re.search("no whole answer", outcome.message)
    assert dripped > 1, "it waits on while something comes"


@pytest.mark.parametrize("head", [b"Content-Length: 10000000", b"Transfer-Encoding: chunked"])
async def test_ten_megabytes_are_not_read_to_their_end(wire: Any, head: bytes) -> None:
    sent = 0

    async def play(_: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
        for _ in range(100):
            writer.write((b"186a0\r\n" if b"chunked" in head else b"") + b" " * 100_000)
            writer.write(b"\r\n" if b"chunked" in head else b"")
            await writer.drain()
            sent += 100_000

    client = await wire.client((await wire.listen(play)).url)
    outcome = await wire.submit(client)
    assert type(outcome) is Unknown
    assert re.search("longer than 1,048,576 bytes", outcome.message)
    assert sent < 10_000_000


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("7", 7.0),
        ("0", 1.0),
        ("2.5", 2.5),
        ("-5", 1.0),
        ("1e9", LONGEST_RETRY_AFTER_S),
        ("inf", LONGEST_RETRY_AFTER_S),
        ("-inf", 1.0),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 1.0),
        ("Sun, 01 Mar 2099 12:00:00 GMT", LONGEST_RETRY_AFTER_S),
        ("Sun, 01 Mar 2026 12:00:30", None),
        ("Sun, 01 Mar 2026 12:00:30 +99999999999999", None),
        ("Sun, 01 Mar 99999 12:00:30 GMT", None),
        ("9" * 5_000, LONGEST_RETRY_AFTER_S),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date_and_clamped(text: str, expected_s: float | None) -> None:
    headers = httpx.Headers({"Retry-After": text, "Date": "Sun, 01 Mar 2026 12:00:00 GMT"})
    assert Reply(429, headers, b"").retry_after_s == expected_s


def test_a_retry_after_date_without_a_date_is_ignored() -> None:
    assert Reply(429, httpx.Headers({"Retry-After": "Sun, 01 Mar 2026 12:00:30 GMT"}), b"").retry_after_s is None
    assert Reply(429, httpx.Headers(), b"").retry_after_s is None
