"""The endpoint answers GET on loopback, within bounds, and never outlives its block."""

import contextlib
import socket
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from flows.server.metrics.endpoint import MOST_CONNECTIONS, Page, answer, listening_on, served


def respond(path: str) -> Page | None:
    if path == "/broken":
        raise RuntimeError("https://secret.example/?key=1")
    return Page(b"takes 1\n") if path == "/metrics" else None


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served(respond, "127.0.0.1", [0]) as port:
        yield port


def ask(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(65_536):
            received += part
        return received


def test_a_scrape_is_answered_and_the_connection_closed(port: int) -> None:
    head, _, body = ask(port, b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert body == b"takes 1\n"


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /other HTTP/1.1", HTTPStatus.NOT_FOUND),
        (b"POST /metrics HTTP/1.1", HTTPStatus.METHOD_NOT_ALLOWED),
        (b"GET /broken HTTP/1.1", HTTPStatus.INTERNAL_SERVER_ERROR),
        (b"HEAD /metrics HTTP/1.1", HTTPStatus.OK),
        (b"nonsense", HTTPStatus.METHOD_NOT_ALLOWED),
    ],
)
def test_anything_else_is_refused_in_plain_words(request_line: bytes, status: HTTPStatus) -> None:
    said = answer(request_line + b"\r\n\r\n", respond)
    assert said.startswith(f"HTTP/1.1 {status.value} ".encode())
    assert b"secret" not in said


def test_a_head_that_is_too_long_is_cut_off(port: int) -> None:
    try:
        received = ask(port, b"GET /metrics HTTP/1.1\r\n" + b"a" * 100_000 + b"\r\n\r\n")
    except (ConnectionResetError, BrokenPipeError):
        received = b""
    assert received == b""


def test_idle_connections_are_bounded(port: int) -> None:
    idle = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(MOST_CONNECTIONS)]
    try:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            assert ask(port, b"GET /metrics HTTP/1.1\r\n\r\n") == b""
    finally:
        for each in idle:
            each.close()


def test_a_taken_port_is_an_error_unless_its_range_has_another() -> None:
    with listening_on("127.0.0.1", [0]) as first:
        taken = first.getsockname()[1]
        with pytest.raises(OSError, match="in use"), served(respond, "127.0.0.1", [taken]):
            pass
        with served(respond, "127.0.0.1", [taken, 0]) as port:
            assert port not in {0, taken}


def test_the_port_is_free_again_after_the_block() -> None:
    with served(respond, "127.0.0.1", [0]) as port:
        assert b"200 OK" in ask(port, b"GET /metrics HTTP/1.1\r\n\r\n")
    with served(respond, "127.0.0.1", [port]) as again:
        assert again == port
