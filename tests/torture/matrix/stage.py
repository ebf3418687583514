"""A folder with a ledger, a sandbox that comes and goes, runs between them; and the register of cases."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from asked import shot_of, takes_of

from animatic.buying.reconcile import Reconciled
from animatic.buying.shoot import Shoot
from animatic.errors import AnimaticError
from animatic.ledger import Ledger, open_ledger
from animatic.ledger.records import Record
from animatic.ledger.schema import ATTEMPT, RUN
from animatic.media.local_stills import LocalStills
from animatic.media.uploads import UploadMemory
from animatic.pace.limits import Limits
from animatic.planning.config import RunConfig
from animatic.progress import Progress
from animatic.sandbox.config import SandboxConfig
from animatic.sandbox.server import Sandbox, serve
from animatic.sandbox.witness import Accepted, read_witness
from animatic.takes.models import DEFAULT_MODEL
from animatic.takes.money.amounts import microusd
from animatic.takes.money.budgets import Reserved
from animatic.takes.shots import Take
from animatic.takes.states import PAID, State
from animatic.takes.stills import LocalFile
from animatic.wavespeed.client import WaveSpeedClient
from animatic.wavespeed.outcomes import NotAccepted, classify
from torture import ledgers
from torture.canary import KEY
from torture.cluster import Cluster, cluster
from torture.ledgers import Place
from torture.steps import Settling, manifest_of, plan_of, quotes

PROVIDER = "sandbox"
STILL = "https://stills.example/a.png"


@dataclass
class Ran:
    """One run: its ending and its counts."""

    run_id: str
    progress: Progress
    shoot: Shoot
    error: Exception | None = None
    settled: Reconciled = field(default_factory=Reconciled)
    warnings: list[str] = field(default_factory=list[str])


class Setup:
    """A folder with a ledger, a sandbox that comes and goes, and runs between them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ledger = folder, Place(folder)
        self.url = ""
        self.foreign: set[str] = set()
        """Predictions bought by others on the account: no ledger of ours knows their cost."""
        self._running = self._runs = 0
        self.ends = contextlib.ExitStack()
        """Ends with the case, once its money was counted."""

    def server_of_own(self, *options: str, folder: Path | None = None) -> Cluster:
        """Keep the ledger of this case on a PostgreSQL server that nobody else uses."""
        server = self.ends.enter_context(cluster(*options, folder=folder))
        self.ends.enter_context(ledgers.on(server.url))
        return server

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
            for take in takes_of(shot_of(row, prompt=prompt, takes=count), PROVIDER)
        ]

    async def run(
        self,
        takes: Sequence[Take],
        *,
        settle_s: float = 600.0,
        client: dict[str, Any] | None = None,
        break_receipts: Callable[..., None] | None = None,
        polled_after_s: float | None = None,
        adopts_by_window: bool = False,
        **config: Any,
    ) -> Ran:
        """A whole run: recover, reconcile, shoot, reconcile, shoot what that freed; then the money is counted.

        `polled_after_s` is how old a take is that is polled once as the run begins, where that is not `give_up_s`.
        """
        self._runs += 1
        run_id = f"run-{self._runs}"
        self._running += 1
        async with AsyncExitStack() as stack:
            opened = stack.enter_context(open_ledger(self.ledger.url))
            await opened.require_sound()
            begun = await stack.enter_async_context(opened.run(run_id, "shots.csv"))
            if break_receipts is not None:
                begun.receipts.write = break_receipts
            wavespeed = await stack.enter_async_context(
                WaveSpeedClient(self.url, KEY, **({"submit_deadline_s": 1.0, "read_deadline_s": 0.5} | (client or {})))
            )
            usual = {"limits": Limits(1_000, 50), "poll_floor_s": 0.05, "take_deadline_s": 4.0, "quotes": quotes()}
            reported = RunConfig(run_id, PROVIDER, **(usual | config))
            settling = Settling(
                opened, wavespeed, PROVIDER, run_id, settle_s,
                reported.give_up_s if polled_after_s is None else polled_after_s, adopts_by_window,
            )  # fmt: skip
            await settling.settle()
            made = manifest_of(takes, self.folder, PROVIDER)
            if made is not None:
                await plan_of(opened, *made, run_id, reported.policy)
            warnings: list[str] = []
            uploads = UploadMemory(opened, lambda: "the account", self.url)

            async def upload(file: LocalFile) -> str:
                assert made is not None
                url = await LocalStills(made[0]).upload(wavespeed, file)
                await uploads.remember(file.identity, url)
                return url

            shoot = Shoot(reported, wavespeed, begun, Progress(), warnings.append, upload, uploads.forget)
            ran = Ran(run_id, shoot.progress, shoot, warnings=warnings)
            try:
                await shoot.prepare()
                if local := [each for take in takes for each in take.shot.paths]:
                    shoot.know_uploads(await uploads.find(local))
                await shoot.shoot(takes)
                await self.require_the_tally_to_be_the_ledgers(opened, ran)
                ran.settled = await settling.settle()
                free = {*ran.settled.adopted, *ran.settled.absent}
                shoot.progress.reserved = await opened.reserved_by(run_id)
                await shoot.shoot([take for take in takes if take.fingerprint in free])
            except AnimaticError as error:
                ran.error = error
            await self.require_the_tally_to_be_the_ledgers(opened, ran)
            self._running -= 1
            if not self._running:
                await opened.transactions.do(0.0, self.require_sound_money)
        return ran

    @staticmethod
    async def require_the_tally_to_be_the_ledgers(opened: Ledger, ran: Ran) -> None:
        """Check that a run shows as reserved exactly what its ledger holds."""
        said, known = ran.progress.reserved, await opened.reserved_by(ran.run_id)
        assert said == known, f"the run says that it has reserved {said}, and the ledger {known}"

    def require_sound_money(self, db: sa.Connection) -> None:
        """Hold the ledger's amounts against what the witness says that was charged, and against each other.

        Each submission that was charged has an attempt that may have been paid for; once it is known of every attempt
        whether it was bought, the ledger's amounts are exactly what was charged.
        """
        attempts = db.execute(sa.select(ATTEMPT.c.state, ATTEMPT.c.quoted_microusd)).all()
        counting = [row for row in attempts if State(row.state) in PAID | {State.SUBMITTING}]
        in_ledger = sum(row.quoted_microusd or 0 for row in counting)
        unpriced = sum(row.quoted_microusd is None for row in counting)
        reserved = Reserved(
            *db.execute(sa.select(sa.func.sum(RUN.c.committed_microusd), sa.func.sum(RUN.c.unpriced))).one()
        )
        assert reserved == (in_ledger, unpriced), f"runs have reserved {reserved}, attempts {in_ledger} and {unpriced}"
        charged = sum(
            microusd(each.price_usd)
            for witness in self.folder.glob("*/accepted.jsonl")
            for each in read_witness(witness.parent)
            if each.id not in self.foreign
        )
        assert unpriced or in_ledger >= charged, f"{in_ledger} micro-dollars in the ledger, {charged} were charged"
        is_all_known = {row.state for row in counting} <= {"submitted", "completed", "failed"}
        assert unpriced or not is_all_known or in_ledger == charged, f"{in_ledger} in the ledger, {charged} charged"

    async def records(self, takes: Sequence[Take]) -> list[Record | None]:
        with open_ledger(self.ledger.url) as opened:
            found = await opened.look_up([take.fingerprint for take in takes])
        return [found.get(take.fingerprint) for take in takes]

    async def states(self, takes: Sequence[Take]) -> list[str]:
        return [record.state.value if record else "planned" for record in await self.records(takes)]

    async def buy_elsewhere(self, prompt: str) -> str:
        """Buy what no take of ours asks for; the prediction's id."""
        inputs = {"prompt": prompt, "image": STILL, "aspect_ratio": "16:9", "duration": "5s"}
        async with WaveSpeedClient(self.url, KEY) as elsewhere:
            outcome = classify(await elsewhere.submit(DEFAULT_MODEL, inputs))
        assert not isinstance(outcome, NotAccepted), outcome
        self.foreign.add(outcome.prediction_id)
        return outcome.prediction_id

    @property
    def accepted(self) -> list[Accepted]:
        return read_witness(self.folder / "sandbox")

    @property
    def bought(self) -> Counter[str]:
        return Counter(each.inputs["prompt"] for each in self.accepted)


Case = Callable[[Setup], Awaitable[bool]]
CASES: dict[str, tuple[str, str, Case]] = {}
"""By name: the group, what is promised, and the case, which returns whether its fault fired and asserts the rest."""


ONLY_ON: dict[str, str] = {}
"""Cases of one backend of the ledger, by name."""


def case(group: str, name: str, promise: str, only_on: str | None = None) -> Callable[[Case], Case]:
    def add(work: Case) -> Case:
        CASES[name] = (group, promise, work)
        if only_on is not None:
            ONLY_ON[name] = only_on
        return work

    return add


async def stats_of(setup: Setup) -> dict[str, Any]:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(f"{setup.url}/sandbox/stats") as reply:
        return dict(await reply.json())


async def posts_to(setup: Setup) -> int:
    stats = await stats_of(setup)
    return stats["accepted"] + sum(count for name, count in stats.items() if name.startswith("refused_"))
