"""WaveSpeed for simulated runs: the sandbox's own predictions and shapes behind a transport that lies, by seed.

What it accepts is in the sandbox's witness. Every fault that fires is counted by name.
"""

import asyncio
import json
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import islice
from typing import Any

import aiohttp
import httpx

from animatic.sandbox.catalogue import MODELS
from animatic.sandbox.predictions import Prediction, Predictions, Window
from animatic.sandbox.scenarios import read_scenario
from animatic.sandbox.wire import charge_data, envelope, listed_data, page_from, result_data, submission_data

ORIGIN = "https://api.example"
EPOCH_S = 1_774_000_000.0


@dataclass
class Temper:
    """The faults of this world: probabilities and modes, drawn once by seed.

    Attributes:
        submit, look, list, price: how likely a fault is at each call; the bill has those of the list.
        echoes: whether the list echoes inputs.
        echoes_in_results: whether results do.
        list_delay_s: how late a prediction shows up in the list and on the bill; less than the settling time, or the
            promise is void.
        skew_s: how far the API's clock is from ours.
        has_date: whether replies carry a Date header.
        foreign: how likely another client submits on this account whenever we do.
    """

    submit: float = 0.0
    look: float = 0.0
    list: float = 0.0
    price: float = 0.0
    echoes: bool = True
    echoes_in_results: bool = False
    list_delay_s: float = 0.0
    skew_s: float = 0.0
    has_date: bool = True
    foreign: float = 0.0

    def calmed(self) -> "Temper":
        """The same world without faults."""
        return replace(self, submit=0.0, look=0.0, list=0.0, price=0.0, foreign=0.0)


@dataclass
class Api:
    """The account, as all processes of a world see it."""

    predictions: Predictions
    chance: random.Random
    temper: Temper
    fired: Counter[str] = field(default_factory=Counter[str])
    foreign_ids: set[str] = field(default_factory=set[str])

    def now(self) -> float:
        """The API's time, seconds since 1970."""
        return EPOCH_S + asyncio.get_running_loop().time() + self.temper.skew_s

    def accept(self, model: str, inputs: dict[str, str], scenario: str = "ok") -> Prediction:
        return self.predictions.accept(MODELS[model], inputs, read_scenario(scenario), self.now())

    def fault(self, likelihood: float, names: list[str]) -> str:
        """The name of a fault that fires now, or nothing."""
        if self.chance.random() >= likelihood:
            return ""
        name = self.chance.choice(names)
        self.fired[name] += 1
        return name


SUBMIT_FAULTS = [
    "never-left", "reset-before", "lost-reply", "late-reply", "late-accept", "server-error", "server-error-billed",
    "server-error-with-id", "garbage", "half", "busy", "busy-date", "refused", "conflict", "redirect", "same-id",
    "bad-id", "slow", "unpaid",
]  # fmt: skip
LOOK_FAULTS = ["look-reset", "look-404", "look-503", "look-429", "look-garbage", "look-hangs", "look-null", "look-back"]
LIST_FAULTS = ["500", "garbage", "429", "hangs", "null"]
PRICE_FAULTS = ["price-404", "price-500", "price-0", "price-hangs"]


class Transport(httpx.AsyncBaseTransport):
    """One process's line to the API; `is_dead` cuts it for good."""

    def __init__(self, api: Api, is_dead: Callable[[], bool], may_die: Callable[[str], Any]) -> None:
        self._api, self._is_dead, self._may_die = api, is_dead, may_die

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:  # noqa: PLR0911
        await self._may_die("before a request")
        path = request.url.path
        if path == "/api/v3/balance":
            return self._reply(200, envelope({"balance": 1_000.0}))
        if path in {"/api/v3/model/price", "/api/v3/model/pricing"}:
            return await self._price(json.loads(request.content), path)
        if path == "/api/v3/models":
            return self._reply(200, envelope([model.described() for model in MODELS.values()]))
        if path == "/api/v3/predictions":
            return await self._list(json.loads(request.content))
        if path == "/api/v3/billings/search":
            return await self._bill(json.loads(request.content))
        if path.endswith("/result"):
            return await self._poll_once(path.split("/")[-2])
        return await self._submit(path.removeprefix("/api/v3/"), json.loads(request.content))

    async def _submit(self, model: str, inputs: dict[str, str]) -> httpx.Response:  # noqa: PLR0911
        api = self._api
        if api.chance.random() < api.temper.foreign:
            api.foreign_ids.add(api.accept(model, inputs | {"prompt": "another's"}).accepted.id)
        fault = api.fault(api.temper.submit, SUBMIT_FAULTS)
        await asyncio.sleep(api.chance.uniform(0.01, 0.5))
        match fault:
            case "never-left":
                raise httpx.ConnectError("") from aiohttp.ConnectionTimeoutError()
            case "reset-before":
                raise httpx.ReadError("") from aiohttp.ServerDisconnectedError()
            case "server-error":
                return self._reply(500, envelope(None, 500, "boom"))
            case "conflict":
                return self._reply(409, envelope(None, 409, "conflict"))
            case "redirect":
                return self._reply(302, b"", {"Location": "https://elsewhere.invalid/"})
            case "busy" | "busy-date":
                soon = format_datetime(datetime.fromtimestamp(api.now() + 3, UTC), usegmt=True)
                return self._reply(429, envelope(None, 429), {"Retry-After": "2" if fault == "busy" else soon})
            case "refused":
                return self._reply(400, envelope(None, 400, "no"))
            case "unpaid":
                return self._reply(403, envelope(None, 403, "no money"))
            case "late-accept":
                asyncio.get_running_loop().call_later(api.chance.uniform(0.1, 50), api.accept, model, inputs)
                raise httpx.ReadError("") from aiohttp.ServerDisconnectedError()
            case _:
                pass
        prediction = api.accept(model, inputs)
        data = submission_data(prediction, ORIGIN)
        await self._may_die("accepted, reply on its way")
        match fault:
            case "lost-reply":
                raise httpx.ReadError("") from aiohttp.ServerDisconnectedError()
            case "late-reply":
                await asyncio.sleep(500)
            case "slow":
                await asyncio.sleep(api.chance.uniform(1, 55))
            case "server-error-billed":
                return self._reply(502, b"<html>Bad gateway</html>")
            case "server-error-with-id":
                return self._reply(500, envelope(data))
            case "garbage":
                return self._reply(200, b"<html>welcome</html>")
            case "half":
                whole = envelope(data)
                return self._reply(200, whole[: api.chance.randrange(len(whole))])
            case "bad-id":
                return self._reply(200, envelope(data | {"id": "../../x"}))
            case "same-id":
                earlier = [each.accepted.id for each in api.predictions.listed(page_window(), math.inf)][1:]
                return self._reply(200, envelope(data | {"id": earlier[0] if earlier else data["id"]}))
            case _:
                pass
        return self._reply(200, envelope(data))

    async def _poll_once(self, prediction_id: str) -> httpx.Response:
        api = self._api
        fault = api.fault(api.temper.look, LOOK_FAULTS)
        await asyncio.sleep(api.chance.uniform(0.01, 0.2))
        found = api.predictions.find(prediction_id, api.now())
        if found is None or fault == "look-404":
            return self._reply(404, envelope(None, 404, "no such prediction"))
        data = result_data(found, api.now(), ORIGIN)
        if api.temper.echoes_in_results:
            data["input"] = dict(found.accepted.inputs)
        match fault:
            case "look-reset":
                raise httpx.ReadError("") from aiohttp.ServerDisconnectedError()
            case "look-503":
                return self._reply(503, b"")
            case "look-429":
                return self._reply(429, envelope(None, 429))
            case "look-garbage":
                return self._reply(200, b"{")
            case "look-null":
                return self._reply(200, envelope(None))
            case "look-hangs":
                await asyncio.sleep(500)
            case "look-back":
                data = data | {"status": api.chance.choice(["created", "Processing", "hibernating"]), "outputs": []}
            case _:
                pass
        return self._reply(200, envelope(data))

    async def _price(self, body: dict[str, Any], path: str) -> httpx.Response:
        """The price that the account is charged; the documented endpoint names it `unit_price`."""
        api = self._api
        fault = api.fault(api.temper.price, PRICE_FAULTS)
        await asyncio.sleep(api.chance.uniform(0.01, 0.1))
        price_usd = MODELS[body["model_id"]].quote_usd(body["inputs"])
        match fault:
            case "price-404":
                return self._reply(404, envelope(None, 404, "no such endpoint"))
            case "price-500":
                return self._reply(500, b"")
            case "price-0":
                return self._reply(200, envelope({"price": 0, "unit_price": 0, "discounted_price": 0}))
            case "price-hangs":
                await asyncio.sleep(500)
            case _:
                pass
        name = "price" if path.endswith("/price") else "unit_price"
        return self._reply(200, envelope({name: price_usd, "discounted_price": price_usd}))

    async def _list(self, body: dict[str, Any]) -> httpx.Response:
        api = self._api
        trouble = await self._list_trouble("list")
        if trouble is not None:
            return trouble
        page = page_from(body, "created_after", "created_before")
        items = [
            listed_data(each, api.now(), ORIGIN, includes_inputs=api.temper.echoes)
            for each in islice(self._shown(page.window), *page.span)
        ]
        return self._reply(200, envelope({"items": items}))

    async def _bill(self, body: dict[str, Any]) -> httpx.Response:
        """The charges of the account, with the delay and the faults of the list."""
        trouble = await self._list_trouble("bill")
        if trouble is not None:
            return trouble
        page = page_from(body, "start_time", "end_time")
        found = islice(self._shown(page.window), *page.span)
        return self._reply(200, envelope({"items": [charge_data(each, self._api.now()) for each in found]}))

    async def _list_trouble(self, name: str) -> httpx.Response | None:
        """Wait as long as a list takes; the answer of a fault, if one fires."""
        api = self._api
        fault = api.fault(api.temper.list, [f"{name}-{each}" for each in LIST_FAULTS])
        await asyncio.sleep(api.chance.uniform(0.01, 0.5))
        match fault.removeprefix(f"{name}-"):
            case "500":
                return self._reply(500, b"")
            case "garbage":
                return self._reply(200, b"[]")
            case "429":
                return self._reply(429, b"")
            case "null":
                return self._reply(200, envelope(None))
            case "hangs":
                await asyncio.sleep(500)
            case _:
                pass
        return None

    def _shown(self, window: Window) -> list[Prediction]:
        """Return the predictions of a window that list and bill show by now."""
        now = self._api.now()
        delayed = now - self._api.temper.list_delay_s
        return [each for each in self._api.predictions.listed(window, now) if each.life.accepted_at <= delayed]

    def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        date = format_datetime(datetime.fromtimestamp(self._api.now(), UTC), usegmt=True)
        reported = {"Date": date} if self._api.temper.has_date else {}
        return httpx.Response(status, stream=httpx.ByteStream(body), headers=reported | (headers or {}))


def page_window() -> Any:
    """All there is."""
    return page_from({"page": 1, "page_size": 100}, "created_after", "created_before").window
