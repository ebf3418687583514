"""The order that keeps money safe: intent on disk, then POST, then the id on disk, then polls; whatever breaks."""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from ports import free_port

from animatic.buying import submissions
from animatic.errors import ApiBusyError, ApiUnreachableError
from animatic.ledger import operations
from animatic.ledger.receipts import read_receipts
from animatic.pace.limits import Limits
from animatic.takes.money.amounts import as_number
from animatic.wavespeed.outcomes import classify
from animatic.wavespeed.transport import AiohttpTransport


class WatchedTransport(httpx.AsyncBaseTransport):
    """The real transport, which reads the ledger through a connection of its own at each request."""

    def __init__(self, ledger: Path, reply_delay_s: float = 0.0) -> None:
        self._inner = AiohttpTransport(fresh_connections=True, most_connections=100)
        self._ledger, self._reply_delay_s = ledger, reply_delay_s
        self.seen: list[tuple[str, list[tuple[str, str | None]]]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with closing(sqlite3.connect(self._ledger)) as other:
            attempts = other.execute("SELECT state, prediction_id FROM attempt").fetchall()
        self.seen.append((request.method, attempts))
        response = await self._inner.handle_async_request(request)
        if request.method == "POST":
            await asyncio.sleep(self._reply_delay_s)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


async def test_the_intent_precedes_the_post_and_the_id_the_first_poll(studio: Any) -> None:
    await studio.open_sandbox()
    watched = WatchedTransport(studio.ledger)
    await studio.run(studio.takes("push in"), client={"transport": watched})
    (accepted,) = studio.accepted
    posts = [attempts for method, attempts in watched.seen if method == "POST"]
    looks = [attempts for method, attempts in watched.seen if method == "GET" and attempts]  # the first asks the time
    assert posts == [[("submitting", None)]]
    assert set(map(tuple, looks)) == {(("submitted", accepted.id),)}


async def test_a_reply_is_in_the_receipts_before_anything_looks_into_it(
    studio: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await studio.open_sandbox()
    run, kept = await studio.begin(), list[bytes]()

    def look_into(reply: Any) -> Any:
        kept.extend(
            each.body for each in read_receipts(run.shoot._submissions._receipts.path) if each.body == reply.body
        )
        return classify(reply)

    monkeypatch.setattr(submissions, "classify", look_into)
    await run.see_through(studio.takes("push in"))
    (accepted,) = studio.accepted
    assert [accepted.id.encode() in body for body in kept] == [True]


async def test_a_cancelled_shoot_still_writes_down_the_id_of_what_it_bought(studio: Any) -> None:
    await studio.open_sandbox(inference_s=10.0)
    takes = studio.takes("push in", "pan left")
    run = await studio.begin(client={"transport": WatchedTransport(studio.ledger, reply_delay_s=0.4)})
    task = asyncio.create_task(run.see_through(takes))
    await studio.until_accepted(2)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert sorted(studio.rows("SELECT state, prediction_id FROM attempt")) == sorted(
        ("submitted", accepted.id) for accepted in studio.accepted
    )


async def test_a_run_stopped_during_a_reply_still_keeps_the_id(studio: Any) -> None:
    await studio.open_sandbox(inference_s=10.0)
    takes = studio.takes(*(f"push in {number}" for number in range(4)))
    run = await studio.begin(
        limits=Limits(1_000, 2), client={"transport": WatchedTransport(studio.ledger, reply_delay_s=0.4)}
    )
    task = asyncio.create_task(run.see_through(takes))
    await studio.until_accepted(2)
    run.shoot.stop_signal.stop_all("interrupted")
    await asyncio.wait_for(task, 5)
    assert (await studio.states(takes), len(studio.accepted)) == ({"submitted": 2}, 2)


async def test_while_the_api_is_away_nothing_is_bought(studio: Any) -> None:
    port = free_port()
    takes = studio.takes(*(f"push in {number}" for number in range(5)))
    run = await studio.begin(url=f"http://127.0.0.1:{port}")
    await run.see_through(takes)
    assert isinstance(run.error, ApiUnreachableError)
    assert await studio.states(takes) == {"unsent": 5}
    assert studio.rows("SELECT committed_microusd FROM run") == [(0,)]

    await studio.open_sandbox(port=port)
    run.error = None
    await run.see_through(takes)
    assert run.error is None
    assert await studio.states(takes) == {"completed": 5}
    assert studio.rows("SELECT attempt_no FROM attempt") == [(1,)] * 5
    assert set(studio.bought.values()) == {1}


async def test_an_api_that_goes_away_while_we_watch_is_waited_for(studio: Any) -> None:
    port = free_port()
    takes = studio.takes("[sandbox:slow=0.6]")
    async with contextlib.AsyncExitStack() as power:
        shop, studio._stack = studio._stack, power
        await studio.open_sandbox(port=port)
        studio._stack = shop
        watched = WatchedTransport(studio.ledger)
        run = await studio.begin(client={"transport": watched})
        task = asyncio.create_task(run.see_through(takes))
        await studio.until(lambda: run.progress.in_flight)
    asked = len(watched.seen)
    await studio.until(lambda: task.done() or len(watched.seen) >= asked + 3)  # two polls at least were not answered
    assert not task.done()
    await studio.open_sandbox(port=port)
    await asyncio.wait_for(task, 10)
    assert run.error is None
    assert (await studio.states(takes), len(studio.accepted)) == ({"completed": 1}, 1)


async def test_what_cannot_be_sent_does_not_keep_the_others_from_their_end(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("push in", "pan left", "tilt up")
    inner = AiohttpTransport(fresh_connections=True, most_connections=10)

    class SometimesAway(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if b"pan left" in request.content:
                raise httpx.PoolTimeout("no connection to be had")
            return await inner.handle_async_request(request)

        async def aclose(self) -> None:
            await inner.aclose()

    run = await studio.run(takes, client={"transport": SometimesAway()})
    assert isinstance(run.error, ApiUnreachableError)
    assert await studio.states(takes) == {"completed": 2, "unsent": 1}
    assert run.progress.in_flight == 0


async def test_an_api_that_stays_busy_is_given_up(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("push in")
    body = b'{"code":429,"message":"busy","data":null}'

    refused = list[str]()

    def refuse(request: httpx.Request) -> httpx.Response:
        refused.append(request.method)
        return httpx.Response(429, headers={"Retry-After": "0"}, stream=httpx.ByteStream(body))

    run = await studio.begin(client={"transport": httpx.MockTransport(refuse)})
    task = asyncio.create_task(run.see_through(takes))
    await studio.until(lambda: task.done() or refused.count("POST") >= 2)
    assert not task.done()
    run.shoot._throttle.refusals = 50  # as after the first fifty, without waiting for them
    await asyncio.wait_for(task, 10)
    assert isinstance(run.error, ApiBusyError)
    assert await studio.states(takes) == {"unsent": 1}
    assert studio.rows("SELECT attempt_no, error_code FROM attempt") == [(1, 429)]


CHILD = """
import asyncio, sys
from asked import shot_of, takes_of
from animatic.ledger import open_ledger
from animatic.pace.limits import Limits
from animatic.buying.shoot import Shoot
from animatic.progress import Progress
from animatic.planning.config import RunConfig
from animatic.wavespeed.client import WaveSpeedClient

async def main(url, ledger, count):
    takes = [take for n in range(count) for take in takes_of(shot_of(n, prompt=f"push in {n}"), "sandbox")]
    with open_ledger(f"sqlite:///{ledger}") as opened:
        async with opened.run("doomed", "shots.csv") as run, WaveSpeedClient(url, "sandbox-key") as client:
            config = RunConfig("doomed", "sandbox", Limits(10_000, 20), 0.05, 30.0)
            await Shoot(config, client, run, Progress()).shoot(takes)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


@pytest.mark.parametrize("accepted_at_death", [1, 40])
async def test_a_run_that_is_killed_is_resumed_and_nothing_is_bought_twice(studio: Any, accepted_at_death: int) -> None:
    await studio.open_sandbox()
    takes = studio.takes(*(f"push in {number}" for number in range(120)))
    command = [sys.executable, "-c", CHILD, studio.sandbox.url, str(studio.ledger), "120"]
    tests = {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    }
    doomed = await asyncio.to_thread(subprocess.Popen, command, stderr=subprocess.PIPE, env=os.environ | tests)
    await studio.until_accepted(accepted_at_death)
    doomed.send_signal(signal.SIGKILL)
    await asyncio.to_thread(doomed.communicate)

    run = await studio.run(takes)
    assert run.error is None
    states = await studio.states(takes)
    assert max(studio.bought.values()) == 1
    assert states["completed"] + states["unknown"] == 120
    assert states["unknown"] <= 20
    assert Counter(studio.bought).total() in range(states["completed"], 121)
    assert (await studio.run(takes)).progress.submissions == 0


class Repricing(httpx.AsyncBaseTransport):
    """Passes everything on to the sandbox, but quotes a higher price each time it is asked."""

    def __init__(self) -> None:
        self._inner, self.quotes = httpx.AsyncHTTPTransport(), 0

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/model/price"):
            return await self._inner.handle_async_request(request)
        self.quotes += 1
        body = json.dumps({"code": 200, "message": "", "data": {"price": 2.5 + self.quotes}}).encode()
        return httpx.Response(200, stream=httpx.ByteStream(body))


async def test_a_price_that_rises_stops_the_rest(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("one", "two", "three", "four")
    transport = Repricing()
    run = await studio.begin(client={"transport": transport}, quote_age_s=0.0, max_usd=10.0, limits=Limits(1_000, 1))
    await run.see_through(takes)
    assert run.error is None
    assert len(studio.accepted) == 2, "3.50 and 4.50 fit into 10.00, 5.50 more does not"
    assert transport.quotes >= 3
    assert "max-usd" in (run.shoot.stop_signal.reason or "")
    assert await studio.states(takes) == {"completed": 2}


async def test_a_prediction_the_api_forgot_is_held_and_never_bought_again(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("[sandbox:not-found=600] push in")
    run = await studio.run(takes, not_found_grace_s=0.3)
    record = (await studio.records(takes))["[sandbox:not-found=600] push in/1"]
    assert run.error is None
    assert (record.state, record.error_code, record.prediction_id) == ("held", 404, studio.accepted[0].id)
    assert f"--abandon {record.fingerprint[:12]}" in record.error
    assert (await studio.run(takes)).error is None
    assert len(studio.accepted) == 1


async def test_two_takes_with_one_prediction_are_both_held(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("[sandbox:bad-id=twice] one", "[sandbox:bad-id=twice] two")
    run = await studio.run(takes, not_found_grace_s=0.2)
    assert run.error is None
    assert await studio.states(takes) == {"held": 2}
    assert sum("submitted as twice" in line for line in run.lines) == 1
    assert sum("held, its prediction twice belongs to another take" in line for line in run.lines) == 1


async def test_a_take_another_run_is_submitting_is_waited_for(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("one", "two")
    first = await studio.begin(client={"transport": WatchedTransport(studio.ledger, reply_delay_s=1.0)})
    second = await studio.begin()
    task = asyncio.create_task(first.see_through(takes))
    await studio.until_accepted(2)
    assert await studio.states(takes) == {"submitting": 2}
    await second.see_through(takes)
    assert await studio.states(takes) == {"completed": 2}
    await task
    assert (len(studio.accepted), second.progress.submissions, second.error) == (2, 0, None)


async def test_the_wait_for_a_stopped_run_is_bounded(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("one")
    first = await studio.begin(client={"transport": WatchedTransport(studio.ledger, reply_delay_s=3.0)})
    second = await studio.begin(client={"submit_deadline_s": -29.5})  # with the grace: half a second
    task = asyncio.create_task(first.see_through(takes))
    await studio.until_accepted(1)
    await asyncio.wait_for(second.see_through(takes), 2)
    assert await studio.states(takes) == {"submitting": 1}
    await task
    assert await studio.states(takes) == {"completed": 1}


async def test_nothing_is_sent_once_the_run_has_stopped(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("one", "two")
    run = await studio.begin()
    do = run.opened.transactions.do

    async def do_and_stop(within_s: float, operation: Any, *arguments: Any) -> Any:
        result = await do(within_s, operation, *arguments)
        if operation is operations.intend:
            run.shoot.stop_signal.stop_buying("the key was refused")
        return result

    run.opened.transactions.do = do_and_stop
    await run.see_through(takes)
    assert run.error is None
    assert (studio.accepted, studio.rows("SELECT committed_microusd FROM run")) == ([], [(0,)])
    assert (await studio.states(takes))["unsent"] >= 1


async def test_a_429_gives_its_room_in_the_receipts_back(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes(*(f"[sandbox:busy=1] {number}" for number in range(3)))
    run = await studio.run(takes)
    assert run.error is None
    assert await studio.states(takes) == {"completed": 3}
    assert not run.shoot._submissions._receipts.is_owed


async def test_a_take_bought_by_another_run_while_we_waited_is_not_bought(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("[sandbox:slow=0.5] first", "[sandbox:fails] second")
    waiting = await studio.begin(limits=Limits(1_000, 1))
    task = asyncio.create_task(waiting.see_through(takes))
    await studio.until_accepted(1)
    await studio.run(takes[1:])
    await task
    assert waiting.error is None
    assert set(studio.bought.values()) == {1}
    assert (await studio.records(takes))["[sandbox:fails] second/1"].state == "failed"


async def test_only_what_was_agreed_to_is_bought(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("one", "two")
    run = await studio.run(takes, agreed=frozenset({takes[0].fingerprint}))
    assert (run.error, dict(studio.bought)) == (None, {"one": 1})
    assert any("not in the plan that was approved" in line for line in run.lines)


async def test_a_missing_price_is_quoted_before_a_budget_is_spent(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("one", "two", "three")
    run = await studio.run(takes, prices_usd={}, max_usd=5.0)
    assert (len(studio.accepted), as_number(run.progress.reserved.cost_microusd)) == (2, 5.0)
    assert "max-usd" in run.shoot.stop_signal.reason


async def test_an_unexpected_error_ends_the_run_instead_of_letting_the_others_wait(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes(*(f"push in {number}" for number in range(6)))
    run = await studio.begin(limits=Limits(1, 6))

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    run.shoot._requests.intent = broken
    await asyncio.wait_for(run.see_through(takes), 5)
    assert isinstance(run.error, ZeroDivisionError)
    assert studio.accepted == []
