"""Simulated runs in virtual time: real client, shoot, ledger and reconciling against an API that lies, by seed.

One seed is one world: some takes, one or two processes at a time that share a ledger, faults on every call, deaths at
any await. The processes are started again until all is calm; then everything is counted against the witness.
"""

import argparse
import asyncio
import contextlib
import fcntl
import gc
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from asked import shot_of, takes_of

from animatic.buying.shoot import Shoot
from animatic.errors import AnimaticError
from animatic.ledger import Ledger, LedgerRun, operations
from animatic.ledger.liveness import runs_folder
from animatic.ledger.opening import find_database, open_database
from animatic.ledger.receipts import Receipts
from animatic.ledger.schema import ATTEMPT, ORPHAN
from animatic.ledger.transactions import Operation, Transactions
from animatic.pace.limits import Limits
from animatic.planning.config import RunConfig
from animatic.progress import Progress
from animatic.sandbox.config import SandboxConfig
from animatic.sandbox.predictions import Predictions
from animatic.takes.money.amounts import FRESH_S, microusd
from animatic.takes.shots import Take
from animatic.takes.states import PAID, BuyingPolicy, State
from animatic.wavespeed.client import WaveSpeedClient
from animatic.wavespeed.server_clock import GUESSED_MARGIN_S, ServerClock
from torture.canary import KEY, search
from torture.fake_api import EPOCH_S, ORIGIN, Api, Temper, Transport
from torture.ledgers import Place, is_on_server, live_at, take_database_of_own
from torture.part import Part
from torture.steps import GIVE_UP_S, Settling, manifest_of, plan_of, quotes
from torture.subject import share_statements
from torture.virtual import VirtualLoop

SETTLE_S = 600.0
PROVIDER = "simulated"
CALM_PAUSES_S = (2 * GUESSED_MARGIN_S + SETTLE_S, SETTLE_S + 120.0, SETTLE_S + 120.0)
"""After each calm run: the first may date what it finds an hour too late, where no reply has the time."""
MOST_CALM_MORE = 2
"""Calm runs more, where the last one has seen for the first time that a take is missing: some date it later still."""

MOST_ROUNDS = 3
OWN_MACHINE = 0.4
"""Probability that a run on a server's ledger is on a machine of its own."""


class InlineTransactions(Transactions):
    """Transactions without their thread: each operation is one of its own, at once."""

    def __init__(self, process: "Process") -> None:
        opened = open_database(find_database(process.world.ledger_url))
        opened.database.now = lambda _, clock: clock()  # a server's own goes on, while hours pass in the world
        self._use(replace(opened, beside=process.beside))
        share_statements(self)
        self._process = process

    async def do(self, within_s: float, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        await self._process.may_die("before a commit")
        (answer,) = self._commit([Operation(operation, args, kwargs)])
        await self._process.may_die("between intent and POST" if operation is operations.intend else "after a commit")
        if answer.error is not None:
            raise answer.error
        return answer.result

    def close(self) -> None:
        self.engine.dispose()


class InlineReceipts(Receipts):
    """Receipts without their thread."""

    async def write(self, number: int, record: bytes) -> None:
        (answer,) = self.put([(number, record)])
        if answer.error is not None:
            raise answer.error


@dataclass
class Process:
    """One run: a process that may die, or be stopped for a while, at any await."""

    world: "World"
    run_id: str
    deadliness: float
    dead: asyncio.Event = field(default_factory=asyncio.Event)
    stopped_until: float = 0.0
    opened: Ledger | None = None

    def __post_init__(self) -> None:
        """Give it, on a server, a machine of its own at times: what it keeps beside the ledger is out of others' sight."""
        self.beside = self.world.beside
        if is_on_server() and random.Random(f"{self.world.seed} {self.run_id}").random() < OWN_MACHINE:
            self.beside = self.world.folder / f"machine-{self.run_id}"

    async def may_die(self, where: str) -> None:
        """Die here, by chance, or stop like a laptop whose lid is closed; who is dead never comes back from this."""
        loop, chance = asyncio.get_running_loop(), self.world.chance
        is_here = "intent" in where and chance.random() < self.world.stops
        if not self.dead.is_set() and (is_here or chance.random() < self.deadliness):
            if is_here or chance.random() < 0.3:
                self.world.api.fired[f"stopped {where}"] += 1
                self.stopped_until = loop.time() + chance.choice([20.0, 900.0, 20_000.0])
            else:
                self.world.api.fired[f"died {where}"] += 1
                self.dead.set()
        while not self.dead.is_set() and loop.time() < self.stopped_until:
            await asyncio.sleep(self.stopped_until - loop.time())
        if self.dead.is_set():
            await loop.create_future()

    async def live(self, takes: list[Take]) -> None:
        """A whole run, as the flow does it. When it dies, its files stay as they are and its lock is free."""
        world = self.world
        with world.alive(self.run_id, self.beside) as receipts:
            task = asyncio.ensure_future(self._run(takes, receipts))
            dying = asyncio.ensure_future(self.dead.wait())
            await asyncio.wait({task, dying}, return_when=asyncio.FIRST_COMPLETED)
            dying.cancel()
            if self.dead.is_set():
                world.graveyard.append(task)
                if self.opened is not None:
                    self.opened.close()  # as the system does it
                return
            with contextlib.suppress(AnimaticError):
                task.result()
            receipts.close()
            if not receipts.is_owed:
                (runs_folder(self.beside) / f"{self.run_id}.lock").unlink()

    async def _run(self, takes: list[Take], receipts: Receipts) -> None:
        world = self.world
        self.opened = opened = Ledger(InlineTransactions(self))
        loop = asyncio.get_running_loop()
        transport = Transport(world.api, self.dead.is_set, self.may_die)
        clock = ServerClock(loop.time, lambda: datetime.fromtimestamp(EPOCH_S + loop.time(), UTC))
        async with WaveSpeedClient(ORIGIN, KEY, transport=transport, clock=clock) as client:
            await opened.begin_run(self.run_id, "shots.csv", "here", 1)
            settling = Settling(opened, client, PROVIDER, self.run_id, SETTLE_S, world.polled_after_s)
            await settling.settle()
            config = RunConfig(
                self.run_id, PROVIDER, Limits(60, 4), 2.0, 400.0, policy=world.policy, max_microusd=world.max_microusd,
                quotes=quotes(age_s=world.quoted_s_ago), quote_age_s=world.quote_age_s, give_up_s=world.give_up_s,
            )  # fmt: skip
            await plan_of(opened, *world.manifest, self.run_id, world.policy)
            shoot = Shoot(config, client, LedgerRun(opened, self.run_id, receipts), Progress())
            await shoot.prepare()
            with contextlib.suppress(AnimaticError):
                await shoot.shoot(takes)
            settled = await settling.settle()
            again = [take for take in takes if take.fingerprint in {*settled.adopted, *settled.absent}]
            with contextlib.suppress(AnimaticError):
                await shoot.shoot(again)
        opened.close()


@dataclass
class World:
    """Everything that one seed makes."""

    seed: int
    folder: Path

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.ledger_url = Place(self.folder).url
        opened = open_database(find_database(self.ledger_url))
        opened.engine.dispose()
        self.beside = opened.beside
        self.graveyard: list[Any] = []
        self.problems: list[str] = []
        chance = self.chance
        self.temper = Temper(
            submit=chance.choice([0.1, 0.4, 0.8]),
            look=chance.choice([0.0, 0.2, 0.5]),
            list=chance.choice([0.0, 0.2, 0.6]),
            echoes=chance.random() < 0.6,
            echoes_in_results=chance.random() < 0.3,
            price=chance.choice([0.0, 0.0, 0.5]),
            list_delay_s=chance.choice([0.0, 5.0, 300.0, SETTLE_S - 1]),
            skew_s=chance.choice([0.0, -3_000.0, 86_400.0 * 3, 7.0]),
            has_date=chance.random() < 0.9,
            foreign=chance.choice([0.0, 0.0, 0.2]),
        )
        if not self.temper.has_date:
            self.temper.skew_s = chance.uniform(-3_000, 3_000)  # our own clock may be an hour off, not days
        config = SandboxConfig(folder=self.folder, inference_s=30.0, renders=False, syncs=False)
        self.api = Api(Predictions(config), random.Random(self.seed + 1), self.temper)
        self.stops = chance.choice([0.0, 0.0, 0.3])
        """Probability that a run is stopped between intent and POST, the most dangerous place."""
        self.policy = BuyingPolicy(retry_failed=False, attempts=1)
        self.max_microusd = chance.choice([None, None, 5_000_000])
        self.quote_age_s = chance.choice([FRESH_S, FRESH_S, 0.5])
        self.quoted_s_ago = chance.choice([0.0, 0.0, 2 * FRESH_S])
        self.give_up_s = chance.choice([GIVE_UP_S, GIVE_UP_S, 100.0])
        """Age at which a run holds a take that it polls."""
        self.polled_after_s = chance.choice([GIVE_UP_S, 0.0])
        """Age from which a take is polled once as a run begins; our own clock stands still here."""
        self.takes = self._takes()
        made = manifest_of(self.takes, self.folder, PROVIDER)
        assert made is not None
        self.manifest = made

    def _takes(self) -> list[Take]:
        shots = [
            shot_of(number, image="https://x/a.png", prompt=f"prompt {number}", takes=self.chance.choice([1, 1, 2]))
            for number in range(1, self.chance.randint(2, 4))
        ]
        return [take for shot in shots for take in takes_of(shot, PROVIDER)]

    @contextlib.contextmanager
    def alive(self, run_id: str, beside: Path) -> Iterator[Receipts]:
        """A run's lock and receipts; unlike those of the product, they stay when it dies in this very process."""
        folder = runs_folder(beside)
        folder.mkdir(exist_ok=True)
        handle = os.open(folder / f"{run_id}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        receipts = InlineReceipts(folder / f"{run_id}.receipts", entries=8)
        elsewhere = find_database(self.ledger_url).elsewhere()
        try:
            with elsewhere.hold(run_id):
                yield receipts
        finally:
            elsewhere.close()
            with contextlib.suppress(OSError):
                os.close(receipts._file)
            os.close(handle)

    async def unfold(self) -> None:
        """Something that is known to be there, in some; bad rounds, then calm ones at least a settling time apart, then one that must buy nothing."""
        if self.chance.random() < 0.5:  # absence is proven only by a list that shows what is known to be there
            self.api.temper = self.temper.calmed()
            await Process(self, "known", 0.0).live(self.takes[:1])
            await asyncio.sleep(2 * SETTLE_S)
            self.api.temper = self.temper
        for number in range(self.chance.randint(1, MOST_ROUNDS)):
            crowd = [
                Process(self, f"run-{number}-{each}", self.chance.choice([0.0, 0.005, 0.03]))
                for each in range(self.chance.choice([1, 1, 2, 3]))
            ]
            await asyncio.gather(*(process.live(self._some_takes()) for process in crowd))
            await asyncio.sleep(self.chance.choice([0.0, 30.0, 150.0, SETTLE_S, 2 * SETTLE_S]))
        self.api.temper = self.temper.calmed()
        self.max_microusd = None
        self.stops = 0.0
        for number, pause_s in enumerate(CALM_PAUSES_S):
            await Process(self, f"calm-{number}", 0.0).live(self.takes)
            await asyncio.sleep(pause_s)
        for number in range(MOST_CALM_MORE):
            if not self._is_half_proven():
                break
            await Process(self, f"calmer-{number}", 0.0).live(self.takes)
            await asyncio.sleep(CALM_PAUSES_S[-1])
        before = len(self.api.predictions)
        await Process(self, "last", 0.0).live(self.takes)
        if len(self.api.predictions) != before:
            self.problems.append(
                f"seed {self.seed}: a run after all was calm bought {len(self.api.predictions) - before}"
            )

    def _is_half_proven(self) -> bool:
        """Tell if a take was missing in one list, and its absence waits for a second: then the next run may buy it."""
        engine = open_database(find_database(self.ledger_url)).engine
        with engine.begin() as db:
            waits = sa.and_(ATTEMPT.c.state == State.UNKNOWN.value, ATTEMPT.c.absent_since.is_not(None))
            found = db.execute(sa.select(ATTEMPT.c.attempt_id).where(waits)).first()
        engine.dispose()
        return found is not None

    def _some_takes(self) -> list[Take]:
        return self.takes if self.chance.random() < 0.7 else self.takes[: self.chance.randint(1, len(self.takes))]

    def count(self) -> Part:
        """Hold the ledger against the witness."""
        engine = open_database(find_database(self.ledger_url)).engine
        with engine.begin() as db:
            attempts = db.execute(sa.select(ATTEMPT)).all()
            orphans = {row.prediction_id for row in db.execute(sa.select(ORPHAN.c.prediction_id))}
        engine.dispose()
        part = Part("simulation", points=1, faults_fired=self.api.fired.total(), problems=self.problems)
        part.details = dict(self.api.fired)
        mine = [each for each in self._accepted() if each.id not in self.api.foreign_ids]
        part.accepted = len(mine)
        asked = Counter(take.shot.inputs["prompt"] for take in self.takes)
        allowed = asked + Counter(self._prompt(row.fingerprint) for row in attempts if row.settled_by == "operator")
        part.duplicates = sum((Counter(each.inputs["prompt"] for each in mine) - allowed).values())
        newest = {row.fingerprint: row for row in sorted(attempts, key=lambda row: row.attempt_no)}
        named = {row.prediction_id for row in attempts if row.prediction_id} | orphans
        named |= {
            name
            for row in attempts
            if row.candidates
            for name in row.candidates.strip("[]").replace('"', "").split(", ")
        }
        open_prompts = {self._prompt(key) for key, row in newest.items() if row.state in {"unknown", "held"}}
        part.unknown = sum(row.state in {"unknown", "held"} for row in newest.values())
        silent = [each for each in mine if each.id not in named and each.inputs["prompt"] not in open_prompts]
        part.unreported = len(silent)
        ends = {State.COMPLETED, State.FAILED, State.REJECTED, State.HELD, State.UNKNOWN}
        part.lost = sum(
            take.fingerprint not in newest or State(newest[take.fingerprint].state) not in ends for take in self.takes
        )
        reserved = sum(row.quoted_microusd or 0 for row in attempts if State(row.state) in PAID | {State.SUBMITTING})
        billed = sum(microusd(each.price_usd) for each in mine)
        if reserved < billed:
            part.problems.append(f"seed {self.seed}: {reserved} micro-dollars are in the ledger, {billed} on the bill")
        if part.lost or part.duplicates or part.unreported:
            states = {
                take.name: newest[take.fingerprint].state if take.fingerprint in newest else None for take in self.takes
            }
            part.problems.append(
                f"seed {self.seed}: {part.duplicates} bought twice, {part.lost} lost, {part.unreported} unreported; {states}"
            )
        return part

    def _accepted(self) -> list[Any]:
        return [each.accepted for each in self.api.predictions._all]

    def _prompt(self, fingerprint: str) -> str:
        return next(take.shot.inputs["prompt"] for take in self.takes if take.fingerprint == fingerprint)


def simulate(seed: int) -> Part:
    """One world from its seed to its count."""
    folder = Path(tempfile.mkdtemp(prefix="animatic-world-", dir=_fast_folder()))
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None  # coroutines of the dead are thrown away
    loop = VirtualLoop()
    live_at(folder)
    try:
        asyncio.set_event_loop(loop)
        world = World(seed, folder)
        loop.run_until_complete(world.unfold())
        part = world.count()
        world.api.predictions.close()
        search(folder, part)
    except Exception as error:  # noqa: BLE001 - a world that cannot be simulated is a finding, with its seed
        return Part("simulation", points=1, problems=[f"seed {seed}: {type(error).__name__}: {error}"])
    else:
        return part
    finally:
        asyncio.set_event_loop(None)
        loop.close()
        if seed % 20 == 0:
            gc.collect()
        if is_on_server():
            Place(folder).remove()
        sys.unraisablehook = hook
        shutil.rmtree(folder, ignore_errors=True)


def run(seeds: range, processes: int | None = None) -> Part:
    """Many worlds, two at a time; four on a server, for which they wait most of their time."""
    processes = processes or (4 if is_on_server() else 2)
    began = time.monotonic()
    whole = Part("simulated runs, virtual time")
    fired: Counter[str] = Counter()
    with ProcessPoolExecutor(processes, initializer=take_database_of_own) as pool:
        for part in pool.map(simulate, seeds, chunksize=10):
            whole.add(part)
            fired.update(part.details)
    whole.details = {"seeds": f"{seeds.start}-{seeds.stop - 1}", "fired": dict(fired.most_common())}
    whole.seconds = time.monotonic() - began
    return whole


def until_red(seeds: range) -> Part:
    """Worlds one after the other until one is red; what it found."""
    whole = Part("simulated runs, until one is red")
    for seed in seeds:
        part = simulate(seed)
        whole.add(part)
        if part.problems:
            break
    return whole


def _fast_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Replay simulated worlds: FIRST and how many.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    options = parser.parse_args()
    result = run(range(options.seed, options.seed + options.count))
    print(result)
