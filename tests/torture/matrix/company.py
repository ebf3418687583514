"""Several runs on one ledger, and what may be spent."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import httpx

from animatic.ledger.opening import find_database, open_database
from animatic.pace.limits import Limits
from animatic.takes.models import DEFAULT_MODEL
from animatic.wavespeed.transport import AiohttpTransport
from torture.matrix.stage import Setup, case, stats_of


@case("company", "a run is stopped in the middle of a submission", "it is not robbed, and its late answer is kept")
async def _stopped(setup: Setup) -> bool:
    async with setup.sandbox(inference_s=0.1):
        takes = setup.takes("[sandbox:slow=0.1] one", "two", "three")
        script = (
            "import asyncio, sys; from pathlib import Path; from torture.matrix import Setup; "
            "setup = Setup(Path(sys.argv[1])); setup.url = sys.argv[2]; setup._runs = 100; "
            "takes = setup.takes('[sandbox:slow=0.1] one', 'two', 'three'); asyncio.run(setup.run(takes, client={'submit_deadline_s': 30.0, 'read_deadline_s': 30.0}))"
        )
        process = subprocess.Popen([sys.executable, "-c", script, str(setup.folder), setup.url])
        try:
            fired = await _stop_while_submitting(setup, process)
            await setup.run(takes[:0])
            assert setup.ledger.rows("SELECT count(*) FROM attempt WHERE state = 'unknown'") == [(0,)]
            process.send_signal(signal.SIGCONT)
            assert await asyncio.to_thread(process.wait, 60) == 0
            assert await setup.states(takes) == ["completed"] * 3
            assert set(setup.bought.values()) == {1}
            return fired
        finally:
            process.kill()
            process.wait()


async def _stop_while_submitting(setup: Setup, process: "subprocess.Popen[bytes]") -> bool:
    """Send SIGSTOP as soon as the ledger shows a submission on its way; return True if one was."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        if (
            setup.ledger.is_free()
            and setup.ledger.rows("SELECT count(*) FROM attempt WHERE state = 'submitting'")[0][0]
        ):
            return True  # in the middle of a commit, it would lock all others out
        process.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.002)
    return False


@case(
    "company", "four runs on one manifest at once", "each take is bought once, and each run sees all of them to the end"
)
async def _four(setup: Setup) -> bool:
    async with setup.sandbox(inference_s=0.2):
        takes = setup.takes(*(f"take {number}" for number in range(12)))
        open_database(find_database(setup.ledger.url)).engine.dispose()
        await asyncio.gather(*(setup.run(takes[number:] + takes[:number]) for number in (0, 3, 6, 9)))
        assert await setup.states(takes) == ["completed"] * 12
        return set(setup.bought.values()) == {1}


@case("company", "another run is submitting it", "it is waited for, and is in the results of both")
async def _submitting_elsewhere(setup: Setup) -> bool:
    async with setup.sandbox():
        takes = setup.takes("one", "two")
        slow = SlowReplies(1.5)
        first = asyncio.ensure_future(setup.run(takes, client={"transport": slow, "submit_deadline_s": 20.0}))
        while len(setup.accepted) < 2:
            await asyncio.sleep(0.02)
        fired = await setup.states(takes) == ["submitting", "submitting"]
        second = await setup.run(takes)
        assert await setup.states(takes) == ["completed"] * 2, "the second run ended before the first"
        await first
        assert (second.progress.submissions, set(setup.bought.values())) == (0, {1})
        return fired


@case(
    "company", "another run has bought it meanwhile", "whether it may be bought is decided with the intent: it is not"
)
async def _bought_meanwhile(setup: Setup) -> bool:
    async with setup.sandbox():
        takes = setup.takes("[sandbox:slow=0.6] one", "[sandbox:fails] two", "[sandbox:rejects] three")
        waiting = asyncio.ensure_future(setup.run(takes, limits=Limits(1_000, 1)))
        while not setup.accepted:
            await asyncio.sleep(0.02)
        await setup.run(takes[1:])
        fired = await setup.states(takes) == ["submitted", "failed", "rejected"]
        ran = await waiting
        assert ran.error is None
        assert await setup.states(takes) == ["completed", "failed", "rejected"]
        assert set(setup.bought.values()) == {1}
        assert (await stats_of(setup))["refused_rejects"] == 1
        return fired


class SlowReplies(httpx.AsyncBaseTransport):
    """The real transport; the replies to submissions are long on their way."""

    def __init__(self, delay_s: float) -> None:
        self._inner, self._delay_s = AiohttpTransport(fresh_connections=True, most_connections=10), delay_s

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        await asyncio.sleep(self._delay_s if DEFAULT_MODEL in request.url.path else 0.0)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


@case("company", "a run is killed", "the next one takes over what it had submitted, and asks the list about the rest")
async def _killed(setup: Setup) -> bool:
    from torture.studio import in_child

    async with setup.sandbox(inference_s=0.5):
        takes = setup.takes(*(f"take {number}" for number in range(4)))

        def die() -> None:
            setup._runs = 100
            signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            signal.setitimer(signal.ITIMER_REAL, 0.4)
            asyncio.run(setup.run(takes))

        code = await asyncio.to_thread(in_child, die)
        setup.ledger.wait_for_the_dead()
        await setup.run(takes)
        found = await setup.states(takes)
        assert set(found) <= {"completed", "unknown"}
        assert set(setup.bought.values()) <= {1}
        return code == -signal.SIGKILL


@case("money", "the budget is smaller than the plan", "committed and in-flight money count: never one take more")
async def _budget(setup: Setup) -> bool:
    async with setup.sandbox(inference_s=0.3):
        takes = setup.takes(
            *(f"[sandbox:lost-reply] take {number}" for number in range(3)), *(f"take {number}" for number in range(9))
        )
        ran = await setup.run(takes, max_microusd=10_000_000)
        assert ran.shoot.stop_signal.reason
        assert sum(each.price_usd for each in setup.accepted) <= 10.0
        return len(setup.accepted) == 4


@case(
    "money",
    "WaveSpeed fails again and again",
    "bought again only as often as `--attempts` allows, each with its reason",
)
async def _attempts(setup: Setup) -> bool:
    from animatic.takes.states import BuyingPolicy

    async with setup.sandbox():
        takes = setup.takes("[sandbox:fails=5000] one", "[sandbox:moderated] two")
        await setup.run(takes, policy=BuyingPolicy(attempts=3))
        assert setup.bought == {"[sandbox:fails=5000] one": 3, "[sandbox:moderated] two": 1}
        allowed = setup.ledger.rows("SELECT allowed_by FROM attempt ORDER BY attempt_id")
        assert Counter(name for (name,) in allowed) == {"plan": 2, "attempts": 2}
        return True
