"""A folder with a ledger, a sandbox that comes and goes, runs between them; and the register of cases."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from animatic.errors import AnimaticError
from animatic.ledger import liveness, operations
from animatic.ledger.desk import LedgerDesk
from animatic.ledger.records import Record
from animatic.ledger.schema import require_sound
from animatic.pacing import Limits
from animatic.reconcile import Reconciled, reconcile
from animatic.recovery import recover
from animatic.sandbox.config import SandboxConfig
from animatic.sandbox.server import Sandbox, serve
from animatic.sandbox.witness import Accepted, read_witness
from animatic.shoot import Shoot
from animatic.shots import DEFAULT_MODEL, Shot, Take, takes_of
from animatic.tally import Tally
from animatic.terms import Terms
from animatic.wavespeed.client import WaveSpeedClient
from torture.canary import KEY

PROVIDER = "sandbox"
STILL = "https://stills.example/a.png"
PRICES = {(DEFAULT_MODEL, "5s", "16:9"): 2.5}


@dataclass
class Ran:
    """One run: how it ended, and what was counted."""

    run_id: str
    tally: Tally
    shoot: Shoot
    error: Exception | None = None
    settled: Reconciled = field(default_factory=Reconciled)


class Set:
    """A folder with a ledger, a sandbox that comes and goes, and runs between them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ledger = folder, folder / "ledger.sqlite"
        self.url = ""
        self._runs = 0

    @contextlib.asynccontextmanager
    async def sandbox(self, **settings: Any) -> AsyncIterator[Sandbox]:
        usual = {"folder": self.folder / "sandbox", "inference_s": 0.05, "spread": 0.0, "renders": False, "key": KEY}
        async with serve(SandboxConfig(**(usual | settings))) as sandbox:
            self.url = sandbox.url
            yield sandbox

    def takes(self, *prompts: str, count: int = 1) -> list[Take]:
        return [
            take
            for row, prompt in enumerate(prompts, 1)
            for take in takes_of(
                Shot(row, f"s{row}", "matrix", STILL, STILL, prompt, DEFAULT_MODEL, "16:9", "5s", count), PROVIDER
            )
        ]

    async def run(
        self,
        takes: Sequence[Take],
        *,
        settle_s: float = 600.0,
        client: dict[str, Any] | None = None,
        break_receipts: Callable[..., None] | None = None,
        **terms: Any,
    ) -> Ran:
        """A whole run: recover, reconcile, shoot, reconcile, shoot what that freed."""
        self._runs += 1
        run_id = f"run-{self._runs}"
        async with AsyncExitStack() as stack:
            desk = stack.enter_context(LedgerDesk(f"sqlite:///{self.ledger}"))
            receipts = stack.enter_context(liveness.alive(self.ledger, run_id))
            if break_receipts is not None:
                receipts.write = break_receipts
            wavespeed = await stack.enter_async_context(
                WaveSpeedClient(self.url, KEY, **({"submit_deadline_s": 1.0, "read_deadline_s": 0.5} | (client or {})))
            )
            await desk.do(require_sound)
            await desk.do(operations.begin_run, run_id, "shots.csv", "here", 1)
            await recover(desk, self.ledger, wavespeed.latest_time)
            await reconcile(desk, wavespeed, PROVIDER, settle_s)
            usual = {"limits": Limits(1_000, 50), "poll_floor_s": 0.05, "take_deadline_s": 4.0, "prices_usd": PRICES}
            shoot = Shoot(Terms(run_id, PROVIDER, **(usual | terms)), wavespeed, desk, receipts, Tally())
            ran = Ran(run_id, shoot.tally, shoot)
            try:
                await shoot.prepare()
                await shoot.shoot(takes)
                ran.settled = await reconcile(desk, wavespeed, PROVIDER, settle_s)
                free = {*ran.settled.adopted, *ran.settled.absent}
                await shoot.shoot([take for take in takes if take.fingerprint in free])
            except AnimaticError as error:
                ran.error = error
        return ran

    async def records(self, takes: Sequence[Take]) -> list[Record | None]:
        with LedgerDesk(f"sqlite:///{self.ledger}") as desk:
            found = await desk.do(operations.look_up, [take.fingerprint for take in takes])
        return [found.get(take.fingerprint) for take in takes]

    async def states(self, takes: Sequence[Take]) -> list[str]:
        return [record.state.value if record else "planned" for record in await self.records(takes)]

    @property
    def accepted(self) -> list[Accepted]:
        return read_witness(self.folder / "sandbox")

    @property
    def bought(self) -> Counter[str]:
        return Counter(each.inputs["prompt"] for each in self.accepted)


Case = Callable[[Set], Awaitable[bool]]
CASES: dict[str, tuple[str, str, Case]] = {}
"""By name: the group, what is promised, and the case, which returns whether its fault fired and asserts the rest."""


def case(group: str, name: str, promise: str) -> Callable[[Case], Case]:
    def add(work: Case) -> Case:
        CASES[name] = (group, promise, work)
        return work

    return add


async def stats_of(place: Set) -> dict[str, Any]:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(f"{place.url}/sandbox/stats") as reply:
        return dict(await reply.json())


async def posts_to(place: Set) -> int:
    stats = await stats_of(place)
    return stats["accepted"] + sum(count for name, count in stats.items() if name.startswith("refused_"))
