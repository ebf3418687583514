"""Recordings of the API's replies to one take, without secrets, for emulators of the API.

A recording holds no header of a request, no key in any spelling, no query of a URL, no balance, and nothing of other
predictions than the one that it is about. It is plain JSON, and safe to hand on.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import httpx

from animatic.wavespeed.json_values import object_in
from animatic.wavespeed.transport import raw_headers_of
from animatic.wavespeed.wire import read_body

MOST_RECORDINGS = 200
MOST_BODY_BYTES = 1 << 20
MASKED = "***"

_SECRET_NAME = re.compile(
    r"(.*_)?(key|token|secret|password|signature|email|phone|username|user_id|user|account_id|organization(_id)?|"
    r"access_key(_\w+)?|name|avatar|balance)",
    re.IGNORECASE,
)
"""Names of fields whose values say who pays, or let others pay with their money."""

_SHOWN_HEADERS = re.compile(r"(date|content-type|content-length|retry-after|age|server|(x-)?rate-?limit.*)")
"""Headers of replies that are kept with their values; of the others, the names alone."""

Blackout = Callable[[bytes], bytes]
Seen = Callable[[str, int, Any], None]
"""Gets the call, the status and the JSON of each reply, whole; None where it is no JSON."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One exchange.

    Attributes:
        call: such as `submit`, `result`, `list`.
        request: method, path, and body where it is JSON.
        reply: status, headers, and body: JSON where it is that, else text.
    """

    call: str
    request: Mapping[str, Any]
    reply: Mapping[str, Any]

    @property
    def status(self) -> int:
        """The HTTP status of the reply."""
        return int(self.reply["status"])

    def as_json(self) -> str:
        """Return the recording as a file holds it."""
        return json.dumps({"call": self.call, "request": self.request, "reply": self.reply}, indent=2) + "\n"


class Recorder:
    """Records exchanges in the order of their replies, MOST_RECORDINGS at most; polls that say the same once.

    Args:
        blackout: removes the key from a body.
        seen: gets each reply as it comes.
    """

    def __init__(self, blackout: Blackout, seen: Seen = lambda *_: None) -> None:
        self._blackout, self._seen = blackout, seen
        self._recordings: list[Recording] = []
        self._known = set[tuple[str, str, str]]()

    def wrap(self, transport: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
        """Return a transport that sends through the given one and records."""
        return _RecordingTransport(transport, self)

    def note(self, request: httpx.Request, response: httpx.Response, body: bytes) -> None:
        """Record an exchange whose reply was read to its end."""
        call = call_of(request.method, request.url.path)
        sent = request.content if _is_json(request) else b""
        recording = Recording(
            call,
            {
                "method": request.method,
                "path": request.url.path,
                "body": readable(self._blackout(sent)) if sent else None,
            },
            {
                "status": response.status_code,
                "headers": headers_without_secrets(raw_headers_of(response)),
                "body": readable(self._blackout(body)),
            },
        )
        self._seen(call, recording.status, read_body(body))
        shape = (call, request.url.path, _gist(recording))
        if shape not in self._known and len(self._recordings) < MOST_RECORDINGS:
            self._known.add(shape)
            self._recordings.append(recording)

    def about(self, prediction_id: str) -> Sequence[Recording]:
        """Return the recordings without secrets, and without other predictions than this one."""
        return [_without_others(each, prediction_id) for each in self._recordings]


class _RecordingTransport(httpx.AsyncBaseTransport):
    def __init__(self, inner: httpx.AsyncBaseTransport, recorder: Recorder) -> None:
        self._inner, self._recorder = inner, recorder

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        stream = cast("httpx.AsyncByteStream", response.stream)
        response.stream = _Tee(stream, lambda body: self._recorder.note(request, response, body))
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Tee(httpx.AsyncByteStream):
    """A body that is handed on as it comes, and given to `ended` once it was read whole."""

    def __init__(self, inner: httpx.AsyncByteStream, ended: Callable[[bytes], None]) -> None:
        self._inner, self._ended = inner, ended

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body = bytearray()
        async for chunk in self._inner:
            if len(body) <= MOST_BODY_BYTES:
                body += chunk
            yield chunk
        self._ended(bytes(body[:MOST_BODY_BYTES]))

    async def aclose(self) -> None:
        await self._inner.aclose()


def call_of(method: str, path: str) -> str:
    """Return the name of a call, for people and for file names: `submit`, `result`, `list`, `balance`."""
    known = {
        ("POST", "/api/v3/predictions"): "list",
        ("POST", "/api/v3/billings/search"): "bill",
        ("POST", "/api/v3/model/price"): "price",
        ("POST", "/api/v3/model/pricing"): "pricing",
        ("POST", "/api/v3/media/upload/binary"): "upload",
        ("GET", "/api/v3/balance"): "balance",
        ("GET", "/api/v3/models"): "models",
    }
    if path.startswith("/api/v3/predictions/") and path.endswith("/result"):
        return "result"
    return known.get((method, path), "submit" if method == "POST" else "other")


def readable(body: bytes) -> Any:
    """Return a body without secrets: JSON where it is that, else its text."""
    try:
        return without_secrets(json.loads(body))
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")[:2_000]


def without_secrets(value: Any, name: str = "") -> Any:
    """Return a JSON value with the fields masked that say who pays, and with URLs without their queries."""
    if name and _SECRET_NAME.fullmatch(name) and not isinstance(value, dict | list | bool | None):
        return MASKED if isinstance(value, str) else 0
    if isinstance(value, dict):
        return {key: without_secrets(each, key) for key, each in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [without_secrets(each, name) for each in cast("list[Any]", value)]
    return _without_query(value) if isinstance(value, str) else value


def headers_without_secrets(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers of a reply by lower-case name; the values of those that are not known are masked."""
    named = ((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers)
    return {name: value if _SHOWN_HEADERS.fullmatch(name) else MASKED for name, value in named}


def _without_query(text: str) -> str:
    if not re.match("https?://", text, re.IGNORECASE):
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return MASKED
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, MASKED if parts.query else "", ""))


def _is_json(request: httpx.Request) -> bool:
    return request.headers.get("content-type", "").startswith("application/json")


def _gist(recording: Recording) -> str:
    """Return the part of a reply that makes it worth a recording: status, and of a prediction its status."""
    data = object_in(object_in(recording.reply["body"]).get("data"))
    fields = ",".join(sorted(data))
    items: Any = data.get("items")
    return f"{recording.status} {data.get('status')} {fields} {len(items) if isinstance(items, list) else ''}"


def _without_others(recording: Recording, prediction_id: str) -> Recording:
    """Drop the items of lists and bills that are about other predictions, and say how many they were."""
    body = recording.reply["body"]
    data = object_in(object_in(body).get("data"))
    items: Any = data.get("items")
    if not isinstance(items, list):
        return recording
    ours = [each for each in cast("list[Any]", items) if prediction_id and prediction_id in json.dumps(each)]
    left_out = len(cast("list[Any]", items)) - len(ours)
    reply = {**recording.reply, "body": {**body, "data": {**data, "items": ours}}, "items_left_out": left_out}
    return Recording(recording.call, recording.request, reply)
