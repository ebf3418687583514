"""The handlers: the API of WaveSpeed under /api/v3, files that need no key, and the sandbox's own /sandbox pages."""

import asyncio
import hmac
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import islice

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from animatic.sandbox.book import Book, Prediction
from animatic.sandbox.catalogue import MODELS, InvalidInputError, Model, find_model
from animatic.sandbox.clips import Clips
from animatic.sandbox.config import SandboxConfig
from animatic.sandbox.life import COMPLETED
from animatic.sandbox.replies import answer, play, refuse
from animatic.sandbox.scenarios import Asked, Data, Reply, ScenarioError, asked_in, read_scenario
from animatic.sandbox.sights import Sights
from animatic.sandbox.uploads import MAX_UPLOAD_BYTES, Uploads, uploaded_name
from animatic.sandbox.wire import (
    charge_data,
    envelope,
    json_object,
    listed_data,
    output_url,
    page_from,
    result_data,
    submission_data,
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Clock = Callable[[], float]


class Api:
    """One account's API over its book, its uploads and its clips."""

    def __init__(  # noqa: PLR0913, PLR0917 - all that it serves
        self,
        config: SandboxConfig,
        book: Book,
        uploads: Uploads,
        clips: Clips,
        clock: Clock,
        sights: Sights | None = None,
    ) -> None:
        self._config, self._book, self._uploads, self._clips, self._clock = config, book, uploads, clips, clock
        self._sights = sights
        self._key = f"Bearer {config.key}".encode()
        self._counts: Counter[str] = Counter()
        self._submitted = len(book)
        self._submitted_of: Counter[str] = Counter()
        self._looks_of: Counter[str] = Counter()

    def routes(self) -> list[web.RouteDef]:
        """All routes; the path of a submission is a model's id, so it comes last."""
        return [
            web.get("/sandbox/health", self.show_health),
            web.get("/sandbox/stats", self.show_stats),
            web.get("/uploads/{name}", self.send_upload, allow_head=True),
            web.get("/outputs/{id}/{number}.mp4", self.send_clip, allow_head=True),
            web.get("/api/v3/predictions/{id}/result", self.look),
            web.get("/api/v3/predictions/{id}", self.look),
            web.post("/api/v3/predictions", self.list_predictions),
            web.post("/api/v3/model/price", self.quote),
            web.get("/api/v3/models", self.list_models),
            web.get("/api/v3/balance", self.show_balance),
            web.post("/api/v3/billings/search", self.list_charges),
            web.post("/api/v3/media/upload/binary", self.upload),
            web.post("/api/v3/{model:.+}", self.submit),
        ]

    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Ask for the key where one is needed; put every error into an envelope."""
        if request.path.startswith("/api/") and not self._has_key(request):
            return self._refuse("key", 401, "invalid authentication: send `Authorization: Bearer KEY`")
        try:
            return await handler(request)
        except InvalidInputError as error:
            return self._refuse("invalid", 400, str(error))
        except web.HTTPException as error:
            return self._refuse(str(error.status), error.status, error.reason)

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """Accept a submission, unless its scenario or the account has something against it."""
        if "webhook" in request.query:
            raise InvalidInputError("webhook: the sandbox sends none; look at the result instead")
        model = find_model(request.match_info["model"])
        inputs = model.read_inputs(json_object(await request.read()))
        asked = self._asked_for(inputs["prompt"], inputs["image"])
        scenario = asked.scenario
        self._counts[f"fired_{asked.name}"] += asked.name != "ok"
        if asked.is_refused and scenario.before and not self._has_been_busy_enough(asked, inputs["prompt"]):
            self._counts[f"refused_{asked.name}"] += 1
            if asked.name == "late-accept":
                asyncio.get_running_loop().call_later(asked.number, self._accept_late, model, inputs, asked)
            return await play(scenario.before, request, None, asked.value or scenario.default)
        refusal = self._refusal_of(model, inputs)
        if refusal is not None:
            return refusal
        return await self._accept(request, model, inputs, asked)

    async def look(self, request: web.Request) -> web.StreamResponse:
        """A prediction as it is now, or the fault that its scenario puts in the way."""
        now = self._clock()
        found = self._book.find(request.match_info["id"], now)
        self._counts["polls"] += 1
        if found is None:
            return self._refuse("no_prediction", 404, "prediction not found")
        if self._sights is not None:
            self._sights.note(found.accepted.id, found.life.finishes_at, now, is_final=found.is_final_at(now))
        data = self._as_scripted(found, result_data(found, now, _origin(request)), _origin(request))
        trouble = self._trouble_of(found, now)
        if trouble is not None:
            return await play(trouble, request, data, found.asked.value)
        if found.asked.name == "key-echo":
            return self._answer_with_key(data, is_escaped=bool(found.asked.value))
        return answer(data)

    async def list_predictions(self, request: web.Request) -> web.StreamResponse:
        """Newest first, a page at a time, without a total."""
        self._counts["lists"] += 1
        page, now = page_from(json_object(await request.read()), "created_after", "created_before"), self._clock()
        if page.number in self._config.list_fails_on:
            return self._refuse("list", 500, "sandbox: this page fails")
        found, origin = islice(self._book.listed(page.window, now), *page.span), _origin(request)
        echoes = page.includes_inputs and self._config.list_inputs
        items = [listed_data(each, now, origin, includes_inputs=echoes) for each in found]
        return answer({"page": page.number, "page_size": page.size, "items": items})

    async def list_charges(self, request: web.Request) -> web.StreamResponse:
        """The bill, newest first: what each prediction cost."""
        page, now = page_from(json_object(await request.read()), "start_time", "end_time"), self._clock()
        found = islice(self._book.listed(page.window, now), *page.span)
        return answer(
            {"page": page.number, "page_size": page.size, "items": [charge_data(each, now) for each in found]}
        )

    async def quote(self, request: web.Request) -> web.StreamResponse:
        """What a submission would cost."""
        body = json_object(await request.read())
        price_usd = find_model(body.get("model_id")).quote_usd(body.get("inputs"))
        return answer({"price": price_usd, "discounted_price": price_usd, "discount_rate": 0, "currency": "USD"})

    async def list_models(self, _: web.Request) -> web.StreamResponse:
        """What is on sale."""
        return answer([model.described() for model in MODELS.values()])

    async def show_balance(self, _: web.Request) -> web.StreamResponse:
        """What is left, in USD."""
        return answer({"balance": self._book.balance_usd})

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Keep the multipart field `file`; its URL on this server."""
        still = await _file_in(request)
        name = await asyncio.to_thread(self._uploads.store, still)
        self._counts["uploads"] += 1
        url = f"{_origin(request)}/uploads/{name}"
        return answer({"type": "image", "download_url": url, "filename": name, "size": len(still)})

    async def send_upload(self, request: web.Request) -> web.StreamResponse:
        """An uploaded still."""
        path = self._uploads.find(request.match_info["name"])
        return web.FileResponse(path) if path else self._refuse("no_file", 404, "no such upload")

    async def send_clip(self, request: web.Request) -> web.StreamResponse:
        """A clip of a completed prediction, whole or the range asked for."""
        now, number = self._clock(), request.match_info["number"]
        found = self._book.find(request.match_info["id"], now)
        numbers = {str(each) for each in range(1, (found.outputs if found else 0) + 1)}
        if found is None or number not in numbers or found.status_at(now) != COMPLETED:
            return self._refuse("no_file", 404, "no such output")
        if not self._config.renders:
            return self._refuse("no_file", 404, "this sandbox renders no clips")
        try:
            path = await self._clips.load(found, int(number))
        except Exception as error:  # noqa: BLE001 - whatever a renderer or its process can raise is one reply
            return self._refuse("render", 500, f"the clip could not be rendered: {type(error).__name__}: {error}")
        return web.FileResponse(path, headers={"Content-Type": "video/mp4"})

    async def show_health(self, _: web.Request) -> web.StreamResponse:
        """That it serves."""
        return web.json_response({"is_serving": True})

    async def show_stats(self, _: web.Request) -> web.StreamResponse:
        """Counts since the start of this process, but `accepted`, which counts the whole witness."""
        if self._sights is not None:
            self._sights.flush()
        state = {
            "accepted": len(self._book),
            "in_flight": self._book.unfinished_at(self._clock()),
            "balance_usd": self._book.balance_usd,
            "rendered": self._clips.rendered,
        }
        return web.json_response(state | {"polls": 0, "lists": 0, "uploads": 0} | dict(self._counts))

    def _has_key(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        return hmac.compare_digest(given, self._key)

    def _refuse(self, kind: str, http: int, message: str, retry_after_s: int | None = None) -> web.Response:
        self._counts[f"refused_{kind}"] += 1
        return refuse(http, message, retry_after_s)

    def _asked_for(self, prompt: str, image: str) -> Asked:
        self._submitted += 1
        text = asked_in(prompt) or self._config.scenario_of.get(self._submitted, self._config.scenario)
        try:
            asked = read_scenario(text)
        except ScenarioError as error:
            raise InvalidInputError(f"prompt: no such sandbox scenario: {error}") from None
        name = uploaded_name(image)
        if asked.name == "ok" and name and self._uploads.find(name) is None:
            return read_scenario("unreachable")
        return asked

    def _has_been_busy_enough(self, asked: Asked, prompt: str) -> bool:
        if asked.name not in {"busy", "retry-after"}:
            return False
        self._submitted_of[prompt] += 1
        return self._submitted_of[prompt] > (asked.number if asked.name == "busy" else 1)

    def _refusal_of(self, model: Model, inputs: dict[str, str]) -> web.Response | None:
        if model.quote_usd(inputs) > self._book.balance_usd:
            return self._refuse("balance", 403, "insufficient balance")
        wait_s = self._book.wait_s(self._clock())
        if wait_s > 0:
            return self._refuse("rate", 429, "too many requests: starts per minute", max(1, math.ceil(wait_s)))
        return None

    async def _accept(
        self, request: web.Request, model: Model, inputs: dict[str, str], asked: Asked
    ) -> web.StreamResponse:
        before = self._book.newest_id
        try:
            prediction = self._book.accept(model, inputs, asked, self._clock())
        except OSError as error:
            return self._refuse("witness", 500, f"not accepted: the witness cannot be written: {error.strerror}")
        self._counts["submissions"] += 1
        if self._config.renders:
            self._clips.begin(prediction)
        data, scenario = submission_data(prediction, _origin(request)), asked.scenario
        if asked.name == "same-id":
            data["id"] = before or data["id"]
        after = scenario.before if asked.value == "billed" else scenario.after
        reply = scenario.look if asked.is_for_the_submission else after
        return answer(data) if reply is None else await play(reply, request, data, asked.value)

    def _accept_late(self, model: Model, inputs: dict[str, str], asked: Asked) -> None:
        self._book.accept(model, inputs, asked, self._clock())
        self._counts["submissions"] += 1

    def _as_scripted(self, prediction: Prediction, data: Data, origin: str) -> Data:
        """The data with the status that the scenario wants this look to show."""
        asked = prediction.asked
        if asked.name != "flaps":
            return data
        self._looks_of[prediction.accepted.id] += 1
        status = asked.status_at_look(self._looks_of[prediction.accepted.id], data["status"])
        outputs = [output_url(prediction, 1, origin)] if status == COMPLETED else []
        return data | {"status": status, "outputs": outputs, "has_nsfw_contents": [False] * len(outputs)}

    def _answer_with_key(self, data: Data, *, is_escaped: bool) -> web.Response:
        spelled = "".join(f"\\u{ord(char):04x}" for char in self._config.key) if is_escaped else self._config.key
        return web.Response(body=envelope(data).replace(b"{key}", spelled.encode()), content_type="application/json")

    def _trouble_of(self, prediction: Prediction, now: float) -> Reply | None:
        asked, trouble = prediction.asked, prediction.asked.scenario.look
        if trouble is None or asked.is_for_the_submission:
            return None
        if asked.name == "not-found":
            return trouble if now < prediction.life.accepted_at + asked.number else None
        self._looks_of[prediction.accepted.id] += 1
        return trouble if self._looks_of[prediction.accepted.id] <= asked.number else None


async def _file_in(request: web.Request) -> bytes:
    if not request.content_type.startswith("multipart/"):
        raise InvalidInputError("send multipart/form-data with the field `file`")
    try:
        async for part in await request.multipart():
            if isinstance(part, BodyPartReader) and part.name == "file":
                return await _capped(part)
    except InvalidInputError:
        raise
    except (ValueError, AssertionError, HttpProcessingError):
        raise InvalidInputError("the multipart body cannot be read") from None
    raise InvalidInputError("file: the field is missing")


async def _capped(part: BodyPartReader) -> bytes:
    received = bytearray()
    while chunk := await part.read_chunk(1 << 16):
        received += chunk
        if len(received) > MAX_UPLOAD_BYTES:
            raise InvalidInputError(f"file: more than {MAX_UPLOAD_BYTES:,} bytes")
    return bytes(received)


def _origin(request: web.Request) -> str:
    """Where we are, from the socket: what the client says in `Host` is the client's."""
    host, port = request.get_extra_info("sockname")[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
