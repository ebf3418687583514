"""Thousands of mutated replies: whatever the API says, the client gives one of its own answers or errors, and no other.

Mutations are of structure (values replaced, dropped, doubled, nested) and of bytes (cut, flipped, doubled, spliced).
"""

import asyncio
import copy
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable  # noqa: TC003 - for a reader at run time
from datetime import UTC, datetime
from typing import Any

import httpx
from asked import GOES_AGAIN

from animatic.buying.polling.poll_history import finish_of
from animatic.errors import AnimaticError
from animatic.takes.money.amounts import MAX_PRICE_USD, MICROUSD_PER_USD
from animatic.takes.states import Accepted
from animatic.wavespeed.client import Price, WaveSpeedClient
from animatic.wavespeed.outcomes import Outcome, classify
from torture.canary import KEY
from torture.part import Part

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PREDICTION = {
    "id": "p1", "model": "m/m", "outputs": ["https://cdn.example/a.mp4"], "urls": {"get": "https://x/y"},
    "has_nsfw_contents": [False], "status": "completed", "created_at": "2026-03-01T12:00:00.000Z", "error": "",
    "timings": {"inference": 4_000},
}  # fmt: skip
ENVELOPE = {"code": 200, "message": "success", "data": PREDICTION}
LIST = {
    "code": 200,
    "message": "success",
    "data": {"page": 1, "items": [PREDICTION, PREDICTION | {"inputs": {"prompt": "x"}}]},
}
BILL = {
    "code": 200,
    "message": "success",
    "data": {
        "page": 1,
        "total": 1,
        "items": [
            {
                "uuid": "c1", "billing_type": "deduct", "price": 2.5, "created_at": "2026-03-01T12:00:00.000Z",
                "order": {"state": "done"}, "prediction": {"uuid": "p1", "model_uuid": "m/m", "status": "completed"},
            }
        ],
    },
}  # fmt: skip
QUOTE = {"code": 200, "message": "success", "data": {"price": 2.5, "unit_price": 2.5, "discounted_price": 2.25}}
HOSTILE: list[Any] = [
    None, True, 0, -1, 200, 10**400, 1.5, "", "x" * 100_000, "\x00\x1b[31m\u202e", "../../x", "a b", "é" * 300, [], {}, [[]],
    [None] * 100, {"id": "p2"}, KEY, "NaN", "9999-99-99", "2026-03-01T12:00:00", "0001-01-01T00:00:00+14:00", "\ud800",
]  # fmt: skip
STATUSES = [100, 200, 201, 204, 301, 302, 400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503, 504, 599]


def mutate(whole: dict[str, Any], chance: random.Random) -> bytes:
    """A reply that was right, and is now wrong in some way."""
    value: Any = copy.deepcopy(whole)
    for _ in range(chance.randint(0, 3)):
        holder, key = _somewhere(value, chance)
        match chance.randrange(4):
            case 0:
                holder[key] = copy.deepcopy(chance.choice(HOSTILE))
            case 1 if isinstance(holder, dict):
                del holder[key]
            case 2:
                holder[key] = {"data": holder[key]}
            case _:
                holder[key] = [holder[key]] * chance.randint(0, 70)
    body = json.dumps(value, allow_nan=True).encode()
    for _ in range(chance.choice([0, 0, 1, 1, 3])):
        at = chance.randrange(len(body) or 1)
        match chance.randrange(5):
            case 0:
                body = body[:at]
            case 1:
                body = body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
            case 2:
                body += body[at:]
            case 3:
                body = (
                    body[:at]
                    + chance.choice([b"NaN", b"1e999", b"[" * 2_000, b"\xef\xbb\xbf", b'"', b"\x00"])
                    + body[at:]
                )
            case _:
                body = b""
    return body


def _somewhere(value: Any, chance: random.Random) -> tuple[Any, Any]:
    places: list[tuple[Any, Any]] = []

    def walk(each: Any) -> None:
        items = (
            list(each.items()) if isinstance(each, dict) else list(enumerate(each)) if isinstance(each, list) else []
        )
        for key, inner in items:
            places.append((each, key))
            walk(inner)

    walk(value)
    return chance.choice(places) if places else ({"": None}, "")


async def _one(chance: random.Random, part: Part, outcomes: Counter[str], seed: int) -> None:
    body, status = mutate(chance.choice([ENVELOPE, ENVELOPE, LIST, BILL, QUOTE]), chance), chance.choice(STATUSES)
    transport = httpx.MockTransport(lambda _: httpx.Response(status, stream=httpx.ByteStream(body)))
    client = WaveSpeedClient("https://api.example", KEY, transport=transport)
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("submit", lambda: _outcome(client)),
        ("result", lambda: client.result("p1")),
        ("list", lambda: client.list_predictions(page=1, model="m/m", created_after=NOON, created_before=NOON)),
        ("bill", lambda: client.list_charges(page=1, start_time=NOON, end_time=NOON)),
        ("price", lambda: client.quote("m/m", {"prompt": "x"})),
    ]
    for name, call in calls:
        try:
            answer = await call()
        except AnimaticError as error:
            if name == "submit":
                part.problems.append(f"seed {seed}: submit raised {type(error).__name__}")
            reported = str(error)
        except Exception as error:  # noqa: BLE001 - anything else is what is looked for
            part.problems.append(f"seed {seed}: {name} let {type(error).__name__} out")
            continue
        else:
            reported = repr(answer)
            if isinstance(answer, Outcome):
                outcomes[type(answer).__name__] += 1
                _judge(answer, status, part, seed)
                reported = repr(answer) if isinstance(answer, Accepted) else answer.message
            elif name == "result" and answer.is_final:
                finish_of(answer)
            elif isinstance(answer, Price) and not 0 < answer.microusd <= MAX_PRICE_USD * MICROUSD_PER_USD:
                part.problems.append(f"seed {seed}: a price of {answer.microusd} micro-dollars is believed")
        if KEY in reported:
            part.problems.append(f"seed {seed}: {name} shows the key")
        if name == "submit" and not reported.isprintable():
            part.problems.append(f"seed {seed}: {name} says what does not print")
    await client.__aexit__()


async def _outcome(client: WaveSpeedClient) -> Outcome:
    return classify(await client.submit("m/m", {"prompt": "x"}))


def _judge(outcome: Outcome, status: int, part: Part, seed: int) -> None:
    if type(outcome) in GOES_AGAIN and status != 429:
        part.problems.append(f"seed {seed}: HTTP {status} may go again")


def run(count: int = 5_000, seed: int = 1) -> Part:
    """So many replies, each to five calls."""
    began = time.monotonic()
    part = Part("mutated replies")
    outcomes: Counter[str] = Counter()

    async def all_of_them() -> None:
        for number in range(count):
            await _one(random.Random(seed * 1_000_003 + number), part, outcomes, number)

    asyncio.run(all_of_them())
    part.points = part.faults_fired = count
    part.details = {"outcomes": dict(outcomes), "seed": seed}
    if len(outcomes) < 4:
        part.problems.append(f"only {sorted(outcomes)} ever came out")
    part.seconds = time.monotonic() - began
    return part


if __name__ == "__main__":
    print(run(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000))
