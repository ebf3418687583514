"""The handlers of predictions, the guard before all handlers, and the sandbox's own /sandbox pages."""

import asyncio
import base64
import hmac
import math
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from aiohttp import web

from animatic.sandbox.account import Account, Handler, body_in, json_in, origin_of
from animatic.sandbox.account_pages import AccountPages
from animatic.sandbox.asked_clip import files_in
from animatic.sandbox.catalogue import InvalidInputError, Model
from animatic.sandbox.data_uris import MAX_URI_CHARS, image_in, is_data_uri
from animatic.sandbox.file_pages import FilePages
from animatic.sandbox.first_seen import FirstSeenFile
from animatic.sandbox.lifecycle import COMPLETED
from animatic.sandbox.listed import ListedModel
from animatic.sandbox.predictions import Prediction
from animatic.sandbox.replies import answer, odd_refusal, play
from animatic.sandbox.reply_options import ReplyOptions, read_reply_options
from animatic.sandbox.scenarios import Data, Reply, ScenarioError, ScenarioRequest, Trick, asked_in, read_scenario
from animatic.sandbox.uploads import uploaded_name
from animatic.sandbox.webhooks import Webhooks, load_secret
from animatic.sandbox.wire import (
    envelope,
    ids_from,
    json_object,
    listed_data,
    output_url,
    page_from,
    result_data,
    submission_data,
    sync_timeout_data,
    webhook_data,
)

MAX_JSON_BYTES = 1 << 20
_MAX_BODY_BYTES = MAX_JSON_BYTES + MAX_URI_CHARS  # of a submission with its image inside
_LARGE_AT_ONCE = 4
_MAX_BASE64_BYTES = 64_000_000
_SYNC_LOOKS_S = (0.05, 0.5)  # how often a reply in sync mode reads the clock: the oftener, the nearer the end
_MOST_SYNC = 1_000
_NO_MODELS = frozenset({"balance", "billings", "media", "model", "models", "predictions", "user", "webhook"})
"""First parts of paths that are the API's own: what is below them is no model's id."""


class Api:
    """One account's API."""

    def __init__(self, account: Account, first_seen: FirstSeenFile | None = None) -> None:
        self._account, self._first_seen = account, first_seen
        self._config, self._predictions, self._clips, self._clock = (
            account.config,
            account.predictions,
            account.clips,
            account.clock,
        )
        self._files, self._money = FilePages(account), AccountPages(account)
        self._webhooks = Webhooks(self._config.folder, self._clock, self._told_by_webhook, account.counts)
        self._key = f"Bearer {self._config.key}".encode()
        self._submitted = len(self._predictions)
        self._submitted_of: Counter[str] = Counter()
        self._looks_of: Counter[str] = Counter()
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)
        self._origin, self._in_sync = "", 0
        self._takes_post = frozenset(each.path for each in self.routes() if each.method == "POST") | {
            f"/api/v3/{model_id}" for model_id in account.models
        }

    def routes(self) -> list[web.RouteDef]:
        """All routes; the path of a submission is a model's id, so it comes last."""
        return [
            web.get("/sandbox/health", self.show_health),
            web.get("/sandbox/stats", self.show_stats),
            *self._files.routes(),
            web.get("/api/v3/predictions/{id}/result", self.look),
            web.get("/api/v3/predictions/{id}", self.look),
            web.post("/api/v3/predictions", self.list_predictions),
            web.post("/api/v3/predictions/delete", self.delete),
            web.get("/api/v3/webhook/secret", self.show_secret),
            *self._money.routes(),
            web.post("/api/v3/{model:.+}", self.submit),
        ]

    def begin(self, origin: str) -> None:
        """Take up the webhooks of predictions that an earlier sandbox on the folder left unfinished."""
        self._origin = origin
        for each in self._predictions.working(self._clock()):
            self._webhooks.expect(each)

    async def close(self) -> None:
        """Give up the webhooks under way."""
        await self._webhooks.close()

    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Ask for the key where one is needed; put every error into an envelope."""
        refuse = self._account.refuse
        if request.path.startswith("/api/") and not self._has_key(request):
            return refuse("key", 401, "invalid authentication: send `Authorization: Bearer KEY`")
        try:
            return await handler(request)
        except InvalidInputError as error:
            return refuse("invalid", 400, str(error))
        except web.HTTPException as error:
            http, words = self._in_words(request, error)
            return refuse(str(http), http, words)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except OSError as error:
            return refuse("disk", 500, f"sandbox: its folder cannot be used: {error.strerror}")
        except Exception as error:  # noqa: BLE001 - whatever a hostile request makes a library raise
            return refuse("broken", 400, f"the request cannot be read ({type(error).__name__})")

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """Accept a submission, unless its scenario or the account has something against it."""
        model = self._model_at(request.match_info["model"])
        body = await self._submission_in(request)
        reply_options = read_reply_options(body, request.query)
        refusal = self._unfit(reply_options)
        if refusal is not None:
            return refusal
        if is_data_uri(body.get("image")):
            body["image"] = await self._keep(body["image"], origin_of(request))
        inputs = model.read_inputs(body, is_strict=self._config.is_strict)
        prompt = str(inputs.get("prompt", ""))
        asked = self._asked_for(prompt, files_in(inputs))
        scenario, counts = asked.scenario, self._account.counts
        counts[f"fired_{asked.name}"] += asked.name != "ok"
        if asked.is_refused and scenario.before and not self._has_been_busy_enough(asked, prompt):
            counts[f"refused_{asked.name}"] += 1
            if asked.name == "late-accept":
                asyncio.get_running_loop().call_later(
                    asked.number, self._accept_late, model, inputs, asked, reply_options
                )
            return await play(scenario.before, request, None, asked.value or scenario.default)
        refusal = self._refusal_of(model, inputs)
        if refusal is not None:
            return refusal
        return await self._accept(request, model, inputs, asked, reply_options)

    def _model_at(self, path: str) -> Model | ListedModel:
        """Return the model whose id is the rest of a submission's path; a path that can be none is not found."""
        first, slash, _ = path.partition("/")
        if not slash or first in _NO_MODELS:
            raise web.HTTPNotFound
        return self._account.find_model(path)

    async def look(self, request: web.Request) -> web.StreamResponse:
        """Show a prediction as it is now, or the fault that its scenario puts in the way."""
        now = self._clock()
        found = self._predictions.find(request.match_info["id"], now)
        self._account.counts["polls"] += 1
        if found is None or (self._config.forgets_deleted and now >= found.deleted_at):
            return self._account.refuse("no_prediction", 404, "prediction not found")
        if self._first_seen is not None:
            self._first_seen.note(found.accepted.id, found.life.finishes_at, now, is_final=found.is_final_at(now))
        origin = origin_of(request)
        data = self._as_scripted(found, result_data(found, now, origin, self._config.shape), origin)
        if found.accepted.wants_base64 and found.status_at(now) == COMPLETED:
            data |= {"outputs": await self._outputs_as_text(found)}
        trouble = self._trouble_of(found, now)
        if trouble is not None:
            return await play(trouble, request, data, found.asked.value)
        if found.asked.name == "key-echo":
            return self._answer_with_key(data, is_escaped=bool(found.asked.value))
        return answer(data)

    async def list_predictions(self, request: web.Request) -> web.StreamResponse:
        """Newest first, a page at a time, without a total."""
        self._account.counts["lists"] += 1
        page, now = page_from(await json_in(request), "created_after", "created_before"), self._clock()
        if page.number in self._config.list_fails_on:
            return self._account.refuse("list", 500, "sandbox: this page fails")
        found, origin = islice(self._predictions.listed(page.window, now), *page.span), origin_of(request)
        echoes, shape = page.includes_inputs and self._config.list_inputs, self._config.shape
        items = [listed_data(each, now, origin, includes_inputs=echoes, shape=shape) for each in found]
        shown = None if self._config.list_null_items and not items else items
        return answer({"page": page.number, "page_size": page.size, "items": shown})

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """Delete predictions; how many were there. Their charges stay."""
        ids = ids_from(await json_in(request), "ids")
        try:
            deleted = self._predictions.delete(ids, self._clock())
        except OSError as error:
            return self._account.refuse("witness", 500, f"not deleted: it cannot be written down: {error.strerror}")
        for each in deleted:
            self._clips.remove(each)
        self._account.counts["deleted"] += len(deleted)
        return answer({"deleted_count": len(deleted)})

    async def show_secret(self, _: web.Request) -> web.StreamResponse:
        """Show the secret that signs webhooks."""
        return answer({"secret": load_secret(self._config.folder)})

    async def show_health(self, _: web.Request) -> web.StreamResponse:
        """Answer that it serves."""
        return web.json_response({"is_serving": True})

    async def show_stats(self, _: web.Request) -> web.StreamResponse:
        """Show counts since the start of this process; `accepted` counts the whole witness."""
        if self._first_seen is not None:
            self._first_seen.flush()
        now = self._clock()
        state = {
            "accepted": len(self._predictions),
            "in_flight": self._predictions.unfinished_at(now),
            "balance_usd": self._predictions.balance_at(now),
            "rendered": self._clips.rendered,
        }
        return web.json_response(state | {"polls": 0, "lists": 0, "uploads": 0} | dict(self._account.counts))

    def _in_words(self, request: web.Request, error: web.HTTPException) -> tuple[int, str]:
        """Status and message of an error of the server's own."""
        asked = f"{request.method} {request.path[:200]}"
        if isinstance(error, web.HTTPMethodNotAllowed):
            if error.allowed_methods != {"POST"} or request.path in self._takes_post:
                return 405, f"{asked}: the method must be {', '.join(sorted(error.allowed_methods))}"
            return 404, f"no such path: {asked}"
        return error.status, f"no such path: {asked}" if error.status == 404 else error.reason

    def _has_key(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        return hmac.compare_digest(given, self._key)

    async def _submission_in(self, request: web.Request) -> dict[str, Any]:
        """Return the body of a submission; a megabyte at most, unless its image is in it."""
        length = request.content_length
        if length is not None and length <= MAX_JSON_BYTES:
            return json_object(await body_in(request, MAX_JSON_BYTES))
        async with self._large:
            body = await body_in(request, _MAX_BODY_BYTES)
            if len(body) > MAX_JSON_BYTES and b'"data:' not in body:
                raise web.HTTPRequestEntityTooLarge(MAX_JSON_BYTES, len(body))
            return await asyncio.to_thread(json_object, body)

    async def _keep(self, uri: str, origin: str) -> str:
        """Keep an image that came in a data: URI; return the URL of the upload that it becomes."""
        still = await asyncio.to_thread(image_in, uri)
        return f"{origin}/uploads/{await asyncio.to_thread(self._account.uploads.store, still)}"

    def _unfit(self, reply_options: ReplyOptions) -> web.Response | None:
        if reply_options.wants_base64 and reply_options.webhook_url:
            words = "enable_base64_output cannot be used together with a webhook"
            return odd_refusal(400, Trick.ERROR_ONLY, words)
        if reply_options.wants_base64 and not self._config.renders:
            raise InvalidInputError("enable_base64_output: this sandbox renders no clips; start it without --no-render")
        if reply_options.waits and self._in_sync >= _MOST_SYNC:
            return self._account.refuse("sync", 429, f"{_MOST_SYNC:,} replies in sync mode wait already", 5)
        if reply_options.webhook_url and self._webhooks.is_full:
            return self._account.refuse("webhooks", 429, "too many webhooks wait already", 60)
        return None

    def _asked_for(self, prompt: str, files: Sequence[str]) -> ScenarioRequest:
        self._submitted += 1
        text = asked_in(prompt) or self._config.scenario_of.get(self._submitted, self._config.scenario)
        try:
            asked = read_scenario(text)
        except ScenarioError as error:
            raise InvalidInputError(f"prompt: no such sandbox scenario: {error}") from None
        names = [name for each in files if (name := uploaded_name(each))]
        if asked.name == "ok" and any(self._account.uploads.find(name) is None for name in names):
            return read_scenario("unreachable")
        return asked

    def _has_been_busy_enough(self, asked: ScenarioRequest, prompt: str) -> bool:
        if asked.name not in {"busy", "retry-after"}:
            return False
        self._submitted_of[prompt] += 1
        return self._submitted_of[prompt] > (asked.number if asked.name == "busy" else 1)

    def _refusal_of(self, model: Model | ListedModel, inputs: dict[str, Any]) -> web.Response | None:
        now = self._clock()
        if model.quote_usd(inputs) > self._predictions.balance_at(now):
            return self._account.refuse("balance", 403, "insufficient balance")
        wait_s = self._predictions.wait_s(now)
        if wait_s > 0:
            words = "too many requests: starts per minute"
            return self._account.refuse("rate", 429, words, max(1, math.ceil(wait_s)))
        return None

    async def _accept(
        self,
        request: web.Request,
        model: Model | ListedModel,
        inputs: dict[str, Any],
        asked: ScenarioRequest,
        reply_options: ReplyOptions,
    ) -> web.StreamResponse:
        before = self._predictions.newest_id
        try:
            prediction = self._enter(model, inputs, asked, reply_options)
        except OSError as error:
            words = f"not accepted: the witness cannot be written: {error.strerror}"
            return self._account.refuse("witness", 500, words)
        if self._config.renders and self._config.renders_ahead:
            self._clips.begin(prediction)
        data, scenario = submission_data(prediction, origin_of(request), self._config.shape), asked.scenario
        if asked.name == "same-id":
            data["id"] = before or data["id"]
        after = scenario.before if asked.value == "billed" else scenario.after
        reply = scenario.look if asked.is_for_the_submission else after
        if reply is not None:
            return await play(reply, request, data, asked.value or scenario.default)
        return answer(await self._awaited(prediction, origin_of(request)) if reply_options.waits else data)

    def _enter(
        self, model: Model | ListedModel, inputs: dict[str, Any], asked: ScenarioRequest, reply_options: ReplyOptions
    ) -> Prediction:
        prediction = self._predictions.accept(
            model,
            inputs,
            asked,
            self._clock(),
            wants_base64=reply_options.wants_base64,
            webhook_url=reply_options.webhook_url,
        )
        self._account.counts["submissions"] += 1
        self._webhooks.expect(prediction)
        return prediction

    def _accept_late(
        self, model: Model | ListedModel, inputs: dict[str, Any], asked: ScenarioRequest, reply_options: ReplyOptions
    ) -> None:
        self._enter(model, inputs, asked, reply_options)

    async def _awaited(self, prediction: Prediction, origin: str) -> Data:
        """Return the result once it is final, or a reply that says that it is not."""
        asked, now = prediction.asked, self._clock()
        gives_up_at = now + min(self._config.sync_timeout_s, asked.number if asked.name == "sync-timeout" else math.inf)
        self._in_sync += 1
        try:
            while not prediction.is_final_at(now) and now < gives_up_at:
                until = min(gives_up_at, prediction.life.finishes_at) - now
                await asyncio.sleep(min(max(until / 8, _SYNC_LOOKS_S[0]), _SYNC_LOOKS_S[1]))
                now = self._clock()
        finally:
            self._in_sync -= 1
        data = result_data(prediction, now, origin, self._config.shape)
        if not prediction.is_final_at(now):
            return sync_timeout_data(data)
        if prediction.accepted.wants_base64 and data["status"] == COMPLETED:
            data |= {"outputs": await self._outputs_as_text(prediction)}
        return data

    async def _outputs_as_text(self, prediction: Prediction) -> list[str]:
        """Return the outputs in base64, as the page on base64 output has them: without a prefix."""
        paths = [await self._clips.load(prediction, number) for number in range(1, prediction.outputs + 1)]
        return [await asyncio.to_thread(_text_of, path) for path in paths]

    def _told_by_webhook(self, prediction_id: str) -> Data | None:
        now = self._clock()
        found = self._predictions.find(prediction_id, now)
        if found is None or now >= found.deleted_at:
            return None
        return webhook_data(found, result_data(found, now, self._origin, self._config.shape))

    def _as_scripted(self, prediction: Prediction, data: Data, origin: str) -> Data:
        """Return the data with the status that the scenario shows at this poll."""
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


def _text_of(path: Path) -> str:
    if path.stat().st_size > _MAX_BASE64_BYTES:
        raise InvalidInputError(f"the output has more than {_MAX_BASE64_BYTES:,} bytes; fetch it by its URL")
    return base64.b64encode(path.read_bytes()).decode()
