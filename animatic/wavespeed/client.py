"""The WaveSpeed client: submit, result, list, price, balance, upload. The only user of httpx.

It sends each request once. It never follows a redirect, never builds a URL from an answer, and sends the key to the
configured origin only. Every failure is one of `animatic.errors`, raised without the exception behind it, which could
carry the key.
"""

import contextlib
import functools
import html
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from typing import Any, BinaryIO, Self
from urllib.parse import quote, urlsplit

import httpx
from multidict import CIMultiDict

from animatic.errors import (
    AccountRefusedError,
    ApiBusyError,
    ApiRefusedError,
    ApiUnavailableError,
    ApiUnreachableError,
    NeverAgainError,
    ProxyRefusedError,
    SubmissionUnknownError,
    TryLaterError,
)
from animatic.takes.canonical import is_loopback
from animatic.takes.money.amounts import believed, quoted_price
from animatic.wavespeed.outcomes import (
    ACCOUNT_ADVICE,
    ACCOUNT_REFUSALS,
    BUSY,
    LOST,
    UNSENT,
    NoReply,
    class_of,
    is_refusal,
    words_of,
)
from animatic.wavespeed.replies import Reply
from animatic.wavespeed.server_clock import ServerClock
from animatic.wavespeed.transport import AiohttpTransport, Request, fetch, identity_headers
from animatic.wavespeed.wire import (
    Balance,
    ChargePage,
    Envelope,
    Prediction,
    PredictionPage,
    Upload,
    Usage,
    is_prediction,
    read_body,
    read_data,
    read_envelope,
)
from animatic.web.network import DIRECT, PROXY_ADVICE, PROXY_REFUSAL, Network

SUBMIT_DEADLINE_S = 60.0
READ_DEADLINE_S = 30.0
UPLOAD_DEADLINE_S = 300.0
MAX_BODY_BYTES = 1 << 20
MAX_LIST_BYTES = 8 << 20
MOST_UNDATED_ANSWERS = 3
MOST_CONNECTIONS = 256

Poll = Callable[[], Awaitable[Prediction]]
"""Asks how one prediction stands; raises as `WaveSpeedClient.result` does."""

Sent = Request | httpx.Request
"""httpx's own form is for bodies that are files."""

Wrap = Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport]
"""Puts something around a transport."""


class WaveSpeedClient:
    """One account at one origin. Use as `async with`.

    Args:
        base_url: scheme, host and port; https, or http for loopback (checked in the settings).
        key: the API key.
        transport: for tests: anything that httpx accepts in place of a socket.
        submit_deadline_s: from the first byte to the last of a submission's answer.
        read_deadline_s: the same for a reading call.
        clock: what keeps the API's time between its answers.
        network: proxies and authorities.
        most_connections: at once, for submissions and for reading calls each.
        wrap: puts something around each transport, such as a recorder.
        on_answer: called with why no answer came, or with None when one came that is no failure of the server.
        counts: gets each request: its call, such as `submit`, its outcome, and how many seconds it took.
    """

    def __init__(  # noqa: PLR0913 - all but the first two have a default
        self,
        base_url: str,
        key: str,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        submit_deadline_s: float = SUBMIT_DEADLINE_S,
        read_deadline_s: float = READ_DEADLINE_S,
        clock: ServerClock | None = None,
        network: Network = DIRECT,
        most_connections: int = MOST_CONNECTIONS,
        wrap: Wrap | None = None,
        on_answer: Callable[[str | None], None] = lambda _: None,
        counts: Callable[[str, str, float], None] = lambda _call, _outcome, _seconds: None,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._on_answer, self._counts = on_answer, counts
        self._key = key
        self.clock = clock or ServerClock()
        self.submit_deadline_s = submit_deadline_s
        self._read_deadline_s = read_deadline_s
        self._undated_answers = 0
        identity = identity_headers(f"animatic/{version('animatic')}")
        self._headers = CIMultiDict({**identity, "Authorization": f"Bearer {key}"})
        self._json_headers = CIMultiDict({**self._headers, "Content-Type": "application/json"})
        self._url_of = functools.lru_cache(maxsize=64)(lambda path: str(httpx.URL(self._base + path)))
        opened = functools.partial(AiohttpTransport, most_connections=most_connections, network=network)
        wrap = wrap or (lambda inner: inner)
        self._submitting = wrap(transport or opened(fresh_connections=True))
        self._reading = wrap(transport or opened(fresh_connections=False))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._submitting.aclose()
        await self._reading.aclose()

    async def rest(self) -> None:
        """Close every connection; the next request opens a new one."""
        await self._submitting.aclose()
        await self._reading.aclose()

    async def submit(self, model: str, inputs: Mapping[str, Any]) -> Reply | NoReply:
        """Send one submission, exactly once, and return the reply unread: `outcomes.classify` reads it.

        Never raises for what the API or the network does. Source: the veo2-i2v page.
        """
        request = self._request("POST", f"/api/v3/{model}", dict(inputs))
        try:
            return await self._fetch("submit", self._submitting, request, self.submit_deadline_s, MAX_BODY_BYTES)
        except ProxyRefusedError as error:
            return NoReply(str(error), has_left=False, is_by_proxy=True)
        except ApiUnreachableError as error:
            return NoReply(str(error), has_left=False)
        except SubmissionUnknownError as error:
            return NoReply(str(error))

    async def result(self, prediction_id: str) -> Prediction:
        """Get a prediction. Source: the veo2-i2v page.

        Raises:
            TryLaterError, NeverAgainError: as for every reading call; an unknown id is ApiRefusedError 404.
        """
        return await self.poll_of(prediction_id)()

    def poll_of(self, prediction_id: str) -> Poll:
        """Return a function that gets this prediction. The request is built once, for many polls."""
        url = f"{self._url_of('/api/v3/predictions')}/{quote(prediction_id, safe='')}/result"
        request = Request("GET", url, self._headers)
        return functools.partial(self._poll_once, prediction_id, request)

    async def _poll_once(self, prediction_id: str, request: Request) -> Prediction:
        data = await self._answer(request, what="result")
        prediction = read_data(Prediction, data, what="result")
        if prediction.id != prediction_id:
            raise ApiUnavailableError(f"result: asked for prediction {prediction_id}, got the answer for another")
        return prediction

    async def list_predictions(
        self, *, page: int, page_size: int = 100, model: str, created_after: datetime, created_before: datetime
    ) -> PredictionPage:
        """Return one page of the account's predictions, newest first, of the last 7 days only.

        Source: WaveSpeed's page on listing predictions; `include_inputs` is in an older client only. Not tried live.
        """
        body = {
            "page": page,
            "page_size": page_size,
            "model": model,
            "created_after": created_after.isoformat(),
            "created_before": created_before.isoformat(),
            "include_inputs": True,
        }
        data = await self._read("POST", "/api/v3/predictions", body=body, what="list", max_bytes=MAX_LIST_BYTES)
        return read_data(PredictionPage, data, what="list")

    async def list_charges(
        self, *, page: int, page_size: int = 100, start_time: datetime, end_time: datetime
    ) -> ChargePage:
        """Return one page of the account's bill, newest first.

        Source: WaveSpeed's page on searching billings; not tried live.
        """
        body = {
            "page": page,
            "page_size": page_size,
            "start_time": start_time.isoformat(),
            "end_time": end_time.isoformat(),
            "sort": "created_at DESC",
        }
        data = await self._read("POST", "/api/v3/billings/search", body=body, what="bill", max_bytes=MAX_LIST_BYTES)
        return read_data(ChargePage, data, what="bill")

    async def usage_usd(self, *, start_time: datetime, end_time: datetime) -> float:
        """Return what the account has used in a span of 31 days at most, in USD, by the usage statistics.

        Source: WaveSpeed's page on usage statistics; not tried live.
        """
        body = {"start_time": start_time.isoformat(), "end_time": end_time.isoformat()}
        data = await self._read("POST", "/api/v3/user/usage_stats", body=body, what="usage")
        return read_data(Usage, data, what="usage").total_usd

    async def quote(self, model: str, inputs: Mapping[str, Any]) -> "Price":
        """Return what one take with these inputs costs; asking is free.

        `/model/price` is asked first (WaveSpeed's newer clients), then `/model/pricing` (its documentation), then the
        model's base price in `/models`, which is a floor only. Not tried live.

        Raises:
            TryLaterError: the API is away.
            NeverAgainError: none of them names a price that can be believed.
        """
        body = {"model_id": model, "inputs": dict(inputs)}
        for path in ("/api/v3/model/price", "/api/v3/model/pricing"):
            try:
                data = await self._read("POST", path, body=body, what="price")
            except ApiRefusedError as error:
                if error.code not in _NO_SUCH_ENDPOINT:
                    raise
                continue
            price = quoted_price(data) if isinstance(data, dict) else None
            if price is not None:
                return Price(price)
        floor = await self._base_price(model)
        if floor is None:
            raise ApiRefusedError(f"price: WaveSpeed names no price of {model} that can be believed", 404)
        return Price(floor, is_floor=True)

    async def _base_price(self, model: str) -> int | None:
        """Return the model's `base_price` in the catalogue, in millionths of a dollar, or None."""
        try:
            entries = await self.list_models()
        except ApiRefusedError as error:
            if error.code not in _NO_SUCH_ENDPOINT:
                raise
            return None
        return next((believed(each.get("base_price")) for each in entries if each.get("model_id") == model), None)

    async def list_models(self) -> list[dict[str, Any]]:
        """Return the entries of the list of models, as they are.

        Source: WaveSpeed's documentation and its own clients; not tried live.
        """
        data = await self._read("GET", "/api/v3/models", what="models", max_bytes=MAX_LIST_BYTES)
        entries: Any = data.get("items", data.get("models")) if isinstance(data, dict) else data
        return [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []

    async def balance_usd(self) -> float:
        """Return the balance of the account, in USD. Source: WaveSpeed's API documentation. Not tried live."""
        return read_data(Balance, await self._read("GET", "/api/v3/balance", what="balance"), what="balance").balance

    async def learn_time(self) -> None:
        """Ask something that is free, only for the `Date` of the answer, unless the API's time is known already.

        An API whose answers have no date is not asked for ever; then our own clock has to do.
        """
        if not self.clock.is_told and self._undated_answers < MOST_UNDATED_ANSWERS:
            with contextlib.suppress(TryLaterError, NeverAgainError):
                await self.balance_usd()

    async def latest_time(self) -> datetime:
        """Return the latest time that it can be for the API now."""
        await self.learn_time()
        return self.clock.latest()

    async def upload(self, name: str, still: BinaryIO | bytes, media_type: str) -> str:
        """Upload a still; return its URL, which lives for 7 days. Source: WaveSpeed's page on uploads.

        A file is sent a piece at a time from where it stands, which is on disk: it is never in memory as a whole.

        Raises:
            ApiUnavailableError: also when the URL in the answer is neither https nor on loopback.
        """
        endpoint, body = self._url_of("/api/v3/media/upload/binary"), {"file": (name, still, media_type)}
        request = httpx.Request("POST", endpoint, headers=dict(self._headers), files=body)
        data = await self._answer(request, what="upload", deadline_s=UPLOAD_DEADLINE_S)
        url = read_data(Upload, data, what="upload").download_url
        if not _is_https_or_loopback(url):
            raise ApiUnavailableError("upload: WaveSpeed answered with a URL that is not https")
        return url

    def _request(self, method: str, path: str, body: Any = None) -> Request:
        """Build a request with our key; a body is sent as JSON."""
        if body is None:
            return Request(method, self._url_of(path), self._headers)
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return Request(method, self._url_of(path), self._json_headers, text.encode())

    async def _fetch(
        self, what: str, transport: httpx.AsyncBaseTransport, request: Sent, deadline_s: float, max_bytes: int
    ) -> Reply:
        """Fetch an answer, count it, and black out our key should it be echoed: parts of answers end up in errors."""
        began_s = self.clock.seconds()
        try:
            reply = await fetch(transport, request, deadline_s=deadline_s, max_bytes=max_bytes)
        except (ApiUnreachableError, SubmissionUnknownError) as error:
            self._on_answer(str(error))
            has_left = isinstance(error, SubmissionUnknownError)
            self._counts(what, LOST if has_left else UNSENT, self.clock.seconds() - began_s)
            raise
        took_s = self.clock.seconds() - began_s
        self._counts(what, class_of(reply.status), took_s)
        is_of_api = reply.status < 500  # else perhaps of a gateway in front of it, with a clock of its own
        if is_of_api:
            self._on_answer(None)
        if is_of_api and "age" not in reply.headers:  # a cache speaks of the past
            self.clock.observe(reply.headers.get("date", ""), took_s)
        self._undated_answers += is_of_api and not self.clock.is_told
        clean = without_key(reply.body, self._key)
        return reply if clean is reply.body else replace(reply, body=clean)

    async def _read(
        self, method: str, path: str, *, what: str, max_bytes: int = MAX_BODY_BYTES, body: Any = None
    ) -> Any:
        """Return the `data` of a call that costs nothing and may be repeated; raises as `_answer` does."""
        return await self._answer(self._request(method, path, body), what=what, max_bytes=max_bytes)

    async def _answer(
        self, request: Sent, *, what: str, max_bytes: int = MAX_BODY_BYTES, deadline_s: float | None = None
    ) -> Any:
        """Return the `data` of the answer to a request that may be repeated.

        Raises:
            ApiUnreachableError, ApiBusyError, ApiUnavailableError: may pass.
            ApiRefusedError, AccountRefusedError: will not pass.
        """
        try:
            reply = await self._fetch(what, self._reading, request, deadline_s or self._read_deadline_s, max_bytes)
        except SubmissionUnknownError as error:
            raise ApiUnavailableError(str(error)) from None
        envelope = read_envelope(reply.body)
        if reply.status == 200 and envelope is not None and envelope.data is None:
            bare = read_body(reply.body)
            if is_prediction(bare):  # without its envelope: a code in it is the prediction's own
                return bare
        if reply.status == 200 and envelope is not None and envelope.is_success:
            return envelope.data
        code = envelope.code if reply.status == 200 and envelope is not None else reply.status
        _raise_refusal(what, reply, envelope, code or reply.status)
        found = f" with code {envelope.code}" if envelope is not None and envelope.code is not None else ""
        words = words_of(reply.body, envelope) or ("" if envelope else " with something that is not its JSON")
        raise ApiUnavailableError(f"{what}: WaveSpeed answered HTTP {reply.status}{found}{words}")


@dataclass(frozen=True, slots=True)
class Price:
    """A quote in millionths of a dollar; a floor is what a take costs at least."""

    microusd: int
    is_floor: bool = False


_NO_SUCH_ENDPOINT = frozenset({404, 405})


def _raise_refusal(what: str, reply: Reply, envelope: Envelope | None, code: int) -> None:
    """Raise if `code` is a definite no."""
    said = f"{code}{words_of(reply.body, envelope)}"
    if code == BUSY:
        raise ApiBusyError(f"{what}: WaveSpeed answered {said}", reply.retry_after_s)
    if code == PROXY_REFUSAL:
        raise ProxyRefusedError(f"{what}: a proxy answered {said}. {PROXY_ADVICE}")
    if code in ACCOUNT_REFUSALS:
        raise AccountRefusedError(f"{what}: WaveSpeed answered {said}. {ACCOUNT_ADVICE}", code)
    if is_refusal(code):
        raise ApiRefusedError(f"{what}: WaveSpeed answered {said}", code)


def _is_https_or_loopback(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    host = parts.hostname or ""
    return (parts.scheme == "https" and bool(host)) or (parts.scheme == "http" and is_loopback(host))


def without_key(body: bytes, key: str) -> bytes:
    """Black out the key in a body, also as JSON's escapes, a URL or HTML spell it.

    Escapes first: a key that looks like the end of one must not be cut out of it.
    """
    if b"\\" in body:
        chars = (rb"(?:\\?%s|\\u00%02x)" % (re.escape(char.encode()), ord(char)) for char in key)
        body = re.sub(b"".join(chars), b"***", body, flags=re.IGNORECASE)
    for spelled in _spellings(key):
        body = body.replace(spelled, b"***")
    return body


@functools.lru_cache(maxsize=16)
def _spellings(key: str) -> tuple[bytes, ...]:
    """Return the key as it is, in a URL, and in HTML; each different one once."""
    return tuple(dict.fromkeys(text.encode() for text in (key, quote(key, safe=""), html.escape(key))))
