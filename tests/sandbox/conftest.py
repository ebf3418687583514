"""The real client, ledger and shoot against the sandbox on loopback. No clips are rendered; seconds are short."""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from asked import price_class_of, shot_of, takes_of

from animatic.buying.ends import TakeLog
from animatic.buying.reconcile import Reconciled, reconcile
from animatic.buying.recovery import recover
from animatic.buying.shoot import Shoot
from animatic.ledger import Ledger, LedgerRun, liveness, open_ledger
from animatic.ledger.records import Record
from animatic.pace.limits import Limits
from animatic.planning.config import RunConfig
from animatic.progress import Progress
from animatic.sandbox.config import SandboxConfig
from animatic.sandbox.server import Sandbox, serve
from animatic.sandbox.witness import Accepted, read_witness
from animatic.takes.money.amounts import Quote, limit_microusd, microusd
from animatic.takes.shots import Take
from animatic.wavespeed.client import WaveSpeedClient

STILL = "https://stills.example/a.png"
PROVIDER = "sandbox"
PRICES_USD = {"5s": 2.5, "8s": 4.0}


def quotes(prices_usd: dict[str, float]) -> dict[Any, Quote]:
    """Prices of durations, as if they had just been quoted."""
    return {
        price_class_of(duration): Quote(microusd(usd), asked_at_s=time.time()) for duration, usd in prices_usd.items()
    }


@dataclass
class Run:
    """One run over the takes that it is given; `error` is what it raised."""

    run_id: str
    shoot: Shoot
    opened: Ledger
    client: WaveSpeedClient
    lines: list[str] = field(default_factory=list)
    error: BaseException | None = None

    async def reconcile(self, settle_s: float = 600.0) -> Reconciled:
        return await reconcile(self.opened, self.client, PROVIDER, settle_s)

    @property
    def progress(self) -> Progress:
        return self.shoot.progress

    async def see_through(self, takes: Sequence[Take]) -> None:
        try:
            await self.shoot.shoot(takes, TakeLog(self.lines.append))
        except Exception as error:  # noqa: BLE001 - the test says what it expects
            self.error = error


class Studio:
    """A ledger, a sandbox, and any number of runs between them."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder, self.ledger, self._stack = folder, folder / "ledger.sqlite", stack
        self.sandbox: Sandbox | None = None
        self._runs = 0

    async def open_sandbox(self, **settings: Any) -> Sandbox:
        """Open a sandbox whose predictions take 0.1 s by default."""
        usual = {"folder": self.folder / "sandbox", "inference_s": 0.1, "spread": 0.0, "renders": False, "syncs": False}
        self.sandbox = await self._stack.enter_async_context(serve(SandboxConfig(**(usual | settings))))
        return self.sandbox

    def takes(self, *prompts: str, count: int = 1, **fields: Any) -> list[Take]:
        """The takes of one shot for each prompt."""
        return [
            take
            for row, prompt in enumerate(prompts, start=1)
            for take in takes_of(
                shot_of(row, **{"prompt": prompt, "takes": count} | fields),
                PROVIDER,
            )
        ]

    async def begin(self, *, url: str | None = None, client: dict[str, Any] | None = None, **config: Any) -> Run:
        """A run that has begun: its own opened ledger, its own client, its lock held."""
        self._runs += 1
        run_id = f"run-{self._runs}"
        opened = self._stack.enter_context(open_ledger(f"sqlite:///{self.ledger}"))
        receipts = self._stack.enter_context(liveness.alive(self.ledger, run_id))
        await opened.begin_run(run_id, "shots.csv", "here", 1)
        where = url or (self.sandbox.url if self.sandbox else "")
        wavespeed = await self._stack.enter_async_context(WaveSpeedClient(where, "sandbox-key", **(client or {})))
        await recover(opened, wavespeed.latest_time)
        usual = {"limits": Limits(1_000, 100), "poll_floor_s": 0.05, "take_deadline_s": 15.0}
        if (max_usd := config.pop("max_usd", None)) is not None:
            config["max_microusd"] = limit_microusd(max_usd)
        config = {"quotes": quotes(config.pop("prices_usd", PRICES_USD))} | config
        config = {"run_id": run_id, "provider": PROVIDER} | usual | config
        lines: list[str] = []
        shoot = Shoot(RunConfig(**config), wavespeed, LedgerRun(opened, run_id, receipts), Progress(), lines.append)
        await shoot.prepare()
        return Run(run_id, shoot, opened, wavespeed, lines)

    async def run(self, takes: Sequence[Take], **options: Any) -> Run:
        """A whole run."""
        run = await self.begin(**options)
        async with asyncio.timeout(60):
            await run.see_through(takes)
        return run

    async def records(self, takes: Iterable[Take]) -> dict[str, Record]:
        """Return the ledger's records by prompt and take, such as `push in/1`."""
        named = {take.fingerprint: f"{take.shot.inputs['prompt']}/{take.number}" for take in takes}
        with open_ledger(f"sqlite:///{self.ledger}") as opened:
            found = await opened.look_up(list(named))
        return {named[key]: record for key, record in found.items()}

    async def states(self, takes: Iterable[Take]) -> Counter[str]:
        return Counter(record.state.value for record in (await self.records(takes)).values())

    def rows(self, sql: str) -> list[Any]:
        """Read the ledger as another process would."""
        with closing(sqlite3.connect(self.ledger)) as other:
            return other.execute(sql).fetchall()

    @property
    def accepted(self) -> list[Accepted]:
        """The witness: what the sandbox accepted."""
        return read_witness(self.folder / "sandbox")

    @property
    def bought(self) -> Counter[str]:
        """Accepted submissions by prompt."""
        return Counter(accepted.inputs["prompt"] for accepted in self.accepted)

    async def stats(self) -> dict[str, Any]:
        assert self.sandbox is not None
        async with aiohttp.ClientSession() as session, session.get(f"{self.sandbox.url}/sandbox/stats") as reply:
            return await reply.json()

    async def until_accepted(self, count: int) -> None:
        """Wait until the sandbox has accepted so many submissions."""
        await self.until(lambda: len(self.accepted) >= count)

    async def until(self, claim: Callable[[], Any]) -> None:
        """Wait until the claim is true."""
        async with asyncio.timeout(40):
            while not claim():
                await asyncio.sleep(0.01)


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    async with AsyncExitStack() as stack:
        yield Studio(tmp_path, stack)
