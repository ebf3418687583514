"""One account as all handlers see it: its predictions, its files, its clock, its counts."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from animatic.sandbox.catalogue import InvalidInputError, Model
from animatic.sandbox.clips import Clips
from animatic.sandbox.config import SandboxConfig
from animatic.sandbox.listed import ListedModel
from animatic.sandbox.predictions import Predictions
from animatic.sandbox.replies import refuse
from animatic.sandbox.uploads import Uploads
from animatic.sandbox.wire import json_object

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Account:
    """State that the handlers share; `counts` is shown by the stats."""

    config: SandboxConfig
    predictions: Predictions
    uploads: Uploads
    clips: Clips
    clock: Clock
    models: Mapping[str, Model | ListedModel]
    counts: Counter[str] = field(default_factory=Counter[str])

    def find_model(self, model_id: object) -> Model | ListedModel:
        """Return the model of that id. Raises InvalidInputError."""
        model = self.models.get(model_id) if isinstance(model_id, str) else None
        if model is None:
            found = json.dumps(model_id)[:200]
            raise InvalidInputError(f"model not found: {found}; known: {', '.join(self.models)[:2_000]}")
        return model

    def refuse(self, counted: str, http: int, message: str, retry_after_s: int | None = None) -> web.Response:
        """Return an error in the API's envelope, and count it."""
        self.counts[f"refused_{counted}"] += 1
        return refuse(http, message, retry_after_s)


async def json_in(request: web.Request) -> dict[str, object]:
    """Return the JSON object in a request's body, a megabyte at most; raises InvalidInputError."""
    return json_object(await request.read())


def origin_of(request: web.Request) -> str:
    """Return our own address, from the socket: the `Host` that a client sends is the client's."""
    host, port = request.get_extra_info("sockname")[:2]
    return origin_at(request.scheme, host, port)


def origin_at(scheme: str, host: str, port: int) -> str:
    """Return scheme, host and port as a URL begins with them."""
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


async def body_in(request: web.Request, most_bytes: int) -> bytes:
    """Return the whole body. Raises HTTPRequestEntityTooLarge beyond the bound."""
    received = bytearray()
    while chunk := await request.content.readany():
        received += chunk
        if len(received) > most_bytes:
            raise web.HTTPRequestEntityTooLarge(most_bytes, len(received))
    return bytes(received)
