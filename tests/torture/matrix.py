"""The fault matrix: a case for each way in which connection, reply, status, list, disk, clock, input or company fails.

Each case runs the real client, ledger and shoot against a real sandbox on loopback, and says whether its fault fired.
`docs/reliability.md` has the table; a test holds the two against each other.
"""

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from animatic.errors import AnimaticError, LedgerUnusableError
from animatic.ledger import liveness, operations, settling
from animatic.ledger.desk import LedgerDesk
from animatic.ledger.records import Record
from animatic.ledger.schema import open_engine, require_sound
from animatic.manifest import check, read_table
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
from torture.canary import KEY, search
from torture.part import Part

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
        self, takes: Sequence[Take], *, settle_s: float = 600.0, client: dict[str, Any] | None = None, **terms: Any
    ) -> Ran:
        """A whole run: recover, reconcile, shoot, reconcile, shoot what that freed."""
        self._runs += 1
        run_id = f"run-{self._runs}"
        async with AsyncExitStack() as stack:
            desk = stack.enter_context(LedgerDesk(f"sqlite:///{self.ledger}"))
            receipts = stack.enter_context(liveness.alive(self.ledger, run_id))
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


def scenario_case(group: str, name: str, promise: str, token: str, states: set[str], accepted: int) -> None:
    """A case of one take with a scenario: how it ends, how often it was accepted, and that a second run sends nothing."""

    async def work(place: Set) -> bool:
        async with place.sandbox():
            takes = place.takes(f"[sandbox:{token}] a take")
            await place.run(takes, not_found_grace_s=0.3)
            sent = await _posts(place)
            found = await place.states(takes)
            assert found[0] in states, found
            assert len(place.accepted) == accepted, place.bought
            await place.run(takes, not_found_grace_s=0.3, take_deadline_s=0.5)
            if "planned" not in states and "unsent" not in states:
                assert await _posts(place) == sent, "the second run sent it again"
            assert all(count <= 1 for count in place.bought.values()), place.bought
            return (await _stats(place)).get(f"fired_{token.partition('=')[0]}", 0) > 0

    CASES[name] = (group, promise, work)


async def _stats(place: Set) -> dict[str, Any]:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(f"{place.url}/sandbox/stats") as reply:
        return dict(await reply.json())


async def _posts(place: Set) -> int:
    stats = await _stats(place)
    return stats["accepted"] + sum(count for name, count in stats.items() if name.startswith("refused_"))


SURE = "bought at most once, ends where it should, and is not sent again"

for _name, _token, _states, _accepted in (
    ("reply lost after it was accepted", "lost-reply", {"completed"}, 1),
    ("connection reset before it was accepted", "reset-before", {"unknown"}, 0),
    ("500, not accepted", "server-error", {"unknown"}, 0),
    ("500, accepted", "server-error-billed", {"completed"}, 1),
    ("500 around a prediction id", "server-error-with-id", {"completed"}, 1),
    ("502 page of a gateway, not accepted", "bad-gateway", {"unknown"}, 0),
    ("502 page of a gateway, accepted", "bad-gateway=billed", {"completed"}, 1),
    ("408, accepted", "request-timeout=billed", {"completed"}, 1),
    ("409, not accepted", "conflict", {"unknown"}, 0),
    ("302 to another host", "redirect", {"unknown"}, 0),
    ("400", "rejects", {"rejected"}, 0),
    ("reply of garbage", "garbage=submit", {"completed"}, 1),
    ("reply cut in the middle", "cut-short=submit", {"completed"}, 1),
    ("reply that is half of its JSON", "half=submit", {"completed"}, 1),
    ("reply nested 100,000 deep", "deep=submit", {"completed"}, 1),
    ("reply without data", "null-data=submit", {"completed"}, 1),
    ("200 with another code, and an id", "code-500-in-200=submit", {"completed"}, 1),
    ("reply that drips past the deadline", "drip=submit", {"completed"}, 1),
    ("reply of 10 MB", "huge=submit", {"completed"}, 1),
    ("reply with wrong types around the id", "bad-types=submit", {"completed"}, 1),
    ("an id that is none", "bad-id", {"completed"}, 1),
):
    scenario_case("reply", _name, SURE, _token, _states, _accepted)

for _name, _token, _states in (
    ("looks answer 404 at first", "not-found=0.2", {"completed"}),
    ("looks answer 404 for ever", "not-found=600", {"held"}),
    ("looks answer 503, then 429", "unavailable=2", {"completed"}),
    ("looks answer garbage", "garbage=2", {"completed"}),
    ("looks break off", "cut-short=2", {"completed"}),
    ("looks nested 100,000 deep", "deep=2", {"completed"}),
    ("looks of 10 MB", "huge=1", {"completed"}),
    ("a look that drips", "drip=1", {"completed"}),
    ("an unknown status", "unknown-status", {"completed"}),
    ("a status that goes back and changes its case", "flaps=processing,created,Processing,completed", {"completed"}),
    ("never final", "stuck", {"submitted"}),
    ("completed without outputs", "empty", {"failed"}),
    ("wrong types in a look", "bad-types", {"submitted"}),
    ("an address for looks on another host", "foreign-get", {"completed"}),
    ("the key echoed in an error", "key-echo", {"failed"}),
    ("the key echoed in escapes", "key-echo=escaped", {"failed"}),
    ("control characters in an error", "control-characters", {"failed"}),
):
    scenario_case("status", _name, SURE, _token, _states, 1)


@case("connection", "the API is away", "nothing is bought, and the next run completes it")
async def _away(place: Set) -> bool:
    takes = place.takes("one", "two")
    place.url = "http://127.0.0.1:9"
    ran = await place.run(takes)
    assert ran.error is not None
    assert set(await place.states(takes)) == {"unsent"}
    async with place.sandbox():
        await place.run(takes)
        assert await place.states(takes) == ["completed"] * 2
        assert set(place.bought.values()) == {1}
    return True


@case(
    "connection",
    "429 with all kinds of Retry-After",
    "everybody waits no longer than the clamp, then it is bought once",
)
async def _busy(place: Set) -> bool:
    async with place.sandbox():
        takes = place.takes(*(f"[sandbox:retry-after={value}] take" for value in ("1", "soon", "-5", "0.5")))
        from animatic.wavespeed import transport

        assert transport.LONGEST_RETRY_AFTER_S <= 120
        task = asyncio.ensure_future(place.run(takes, take_deadline_s=60.0))
        await asyncio.wait_for(task, 60)
        assert await place.states(takes) == ["completed"] * 4
        return (await _stats(place))["fired_retry-after"] >= 4


@case("reply", "401, 402, 403", "the run stops before more is sent, and nothing was bought")
async def _stop(place: Set) -> bool:
    fired = 0
    for token in ("unauthorised", "payment-required", "unpaid"):
        async with place.sandbox():
            takes = place.takes(f"[sandbox:{token}] first", *(f"{token} {number}" for number in range(20)))
            ran = await place.run(takes, limits=Limits(1_000, 1))
            stats = await _stats(place)
            assert ran.shoot.halt.reason
            assert stats["accepted"] == 0
            fired += stats[f"fired_{token}"]
    return fired == 3


@case("reply", "one id for two takes", "both are held, and a person settles them")
async def _same_id(place: Set) -> bool:
    async with place.sandbox(inference_s=5.0):
        takes = place.takes("one", "[sandbox:same-id] two")
        ran = await place.run(takes, limits=Limits(1_000, 2), take_deadline_s=1.0)
        assert ran.error is None
        assert await place.states(takes) == ["held", "held"]
        ids = [each.id for each in place.accepted]
        with LedgerDesk(f"sqlite:///{place.ledger}") as desk:
            await desk.do(settling.adopt_by_hand, PROVIDER, takes[1].fingerprint, ids[1])
            await desk.do(settling.adopt_by_hand, PROVIDER, takes[0].fingerprint, ids[0])
        assert await place.states(takes) == ["submitted", "submitted"]
        return (await _stats(place))["fired_same-id"] == 1


@case(
    "list", "it echoes no inputs", "nothing is adopted before the window and the settling time are over; no second POST"
)
async def _no_echo(place: Set) -> bool:
    async with place.sandbox(list_inputs=False):
        takes = place.takes("[sandbox:lost-reply] one")
        await place.run(takes)
        await place.run(takes, settle_s=0.0)
        assert await place.states(takes) == ["unknown"]
        assert len(place.accepted) == 1
        return (await _stats(place))["lists"] >= 2


@case("list", "a page fails", "an incomplete scan proves nothing")
async def _page_fails(place: Set) -> bool:
    async with place.sandbox(list_fails_on=frozenset({1})):
        takes = place.takes("[sandbox:reset-before] one", "[sandbox:lost-reply] two")
        ran = await place.run(takes)
        assert ran.settled.problem
        assert await place.states(takes) == ["unknown"] * 2
        fired = (await _stats(place))["refused_list"]
    async with place.sandbox():
        await place.run(takes)
        assert await place.states(takes) == ["unknown", "completed"]
        assert len(place.accepted) == 1
    return fired > 0


@case("list", "a prediction shows up late", "it is not proven absent before; then it is adopted")
async def _list_late(place: Set) -> bool:
    async with place.sandbox():
        takes = place.takes("[sandbox:list-late=1.5] one")
        await place.run(takes, settle_s=2.0)
        assert await place.states(takes) == ["unknown"]
        await asyncio.sleep(1.6)
        await place.run(takes, settle_s=2.0)
        assert await place.states(takes) == ["completed"]
        assert len(place.accepted) == 1
        return True


@case("list", "accepted after the connection was cut", "it is adopted when it appears")
async def _late_accept(place: Set) -> bool:
    async with place.sandbox():
        takes = place.takes("[sandbox:late-accept=1] one")
        await place.run(takes)
        assert await place.states(takes) == ["unknown"]
        assert not place.accepted
        await asyncio.sleep(1.2)
        await place.run(takes)
        assert await place.states(takes) == ["completed"]
        return len(place.accepted) == 1


@case("list", "two takes that ask for exactly the same", "each gets one prediction, none gets both")
async def _twins(place: Set) -> bool:
    async with place.sandbox():
        takes = place.takes("[sandbox:lost-reply] one", count=2)
        await place.run(takes)
        records = await place.records(takes)
        assert [record and record.state.value for record in records] == ["completed"] * 2
        assert len({record.prediction_id for record in records if record}) == 2
        return len(place.accepted) == 2


@case("list", "predictions that are not ours", "they are reported as orphans and never adopted")
async def _orphans(place: Set) -> bool:
    async with place.sandbox():
        async with WaveSpeedClient(place.url, KEY) as elsewhere:
            inputs = {"prompt": "web", "image": STILL, "aspect_ratio": "16:9", "duration": "5s"}
            foreign = (await elsewhere.submit(DEFAULT_MODEL, inputs)).prediction_id
        takes = place.takes("[sandbox:lost-reply] one")
        await place.run(takes)
        assert await place.states(takes) == ["completed"]
        with LedgerDesk(f"sqlite:///{place.ledger}") as desk:
            found = await desk.do(settling.orphans, PROVIDER)
        assert [each.prediction_id for each in found] == [foreign]
        return True


@case("clock", "the API's clock is 30 days from ours", "windows are dated by the API: lost replies are still found")
async def _skew(place: Set) -> bool:
    for offset_s in (-86_400.0 * 30, 86_400.0 * 30):
        async with place.sandbox(clock_offset_s=offset_s, folder=place.folder / f"sandbox{offset_s}"):
            takes = place.takes(f"[sandbox:lost-reply] {offset_s}")
            await place.run(takes)
            assert await place.states(takes) == ["completed"]
            (accepted,) = read_witness(place.folder / f"sandbox{offset_s}")
            off_s = (datetime.fromisoformat(accepted.accepted_at) - datetime.now(UTC)).total_seconds() - offset_s
            assert abs(off_s) < 120
    return True


@case("clock", "ours jumps while a run goes on", "takes are timed by a clock that only grows")
async def _jump(place: Set) -> bool:
    true_now, jumps = operations.now, 0

    def jumping() -> datetime:
        nonlocal jumps
        jumps += 1
        return true_now() + timedelta(days=(-8, 8, 0, 400)[jumps % 4])

    operations.now = settling.now = jumping
    try:
        async with place.sandbox(inference_s=0.3):
            takes = place.takes("one", "[sandbox:lost-reply] two", "[sandbox:fails] three")
            ran = await place.run(takes)
            assert ran.error is None
            assert await place.states(takes) == ["completed", "completed", "failed"]
            assert (await place.run(takes)).tally.submissions == 0
            assert set(place.bought.values()) == {1}
    finally:
        operations.now = settling.now = true_now
    return jumps > 8


@case("clock", "a take older than the list reaches", "held, with the command that settles it")
async def _too_old(place: Set) -> bool:
    async with place.sandbox():
        takes = place.takes("[sandbox:reset-before] one")
        await place.run(takes)
    with contextlib.closing(sqlite3.connect(place.ledger)) as ledger, ledger:
        ledger.execute("UPDATE attempt SET window_from = '2020-01-01 00:00:00', window_to = '2020-01-01 00:01:00'")
    async with place.sandbox():
        await place.run(takes)
    (record,) = await place.records(takes)
    assert record is not None
    assert record.state == "held"
    assert "--absent" in (record.error or "")
    return not place.accepted


@case("list", "not in the list", "absent only after two complete scans a settling time apart; then bought exactly once")
async def _absent(place: Set) -> bool:
    async with place.sandbox():
        takes = place.takes("[sandbox:reset-before] one")
        await place.run(takes)
    _make_old(place, seconds=200)
    async with place.sandbox() as sandbox:
        place.url = sandbox.url
        for _ in range(3):
            await _only_reconcile(place, 2.0)
            assert await place.states(takes) == ["unknown"]
        await asyncio.sleep(2.2)
        settled = await _only_reconcile(place, 2.0)
        assert settled.absent == [takes[0].fingerprint]
        assert await place.states(takes) == ["absent"]
    return not place.accepted


def _make_old(place: Set, seconds: int) -> None:
    with contextlib.closing(sqlite3.connect(place.ledger)) as ledger, ledger:
        for column in ("window_from", "window_to"):
            ledger.execute(f"UPDATE attempt SET {column} = datetime({column}, '-{seconds} seconds')")


async def _only_reconcile(place: Set, settle_s: float) -> Reconciled:
    with LedgerDesk(f"sqlite:///{place.ledger}") as desk:
        async with WaveSpeedClient(place.url, KEY) as client:
            return await reconcile(desk, client, PROVIDER, settle_s)


class FullDisk(LedgerDesk):
    """A desk whose file may not grow any more from the n-th operation of a kind on."""

    def __init__(self, url: str, broken: str) -> None:
        super().__init__(url)
        self._broken = broken
        self.refused = 0

    async def do(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        if operation.__name__ == self._broken:
            self.refused += 1
            return await super().do(_out_of_room)
        return await super().do(operation, *args, **kwargs)


def _out_of_room(db: Any) -> None:
    db.exec_driver_sql("PRAGMA max_page_count = 1")
    db.exec_driver_sql("CREATE TABLE too_much AS SELECT zeroblob(1000000)")


async def _with_full_disk(place: Set, takes: Sequence[Take], broken: str) -> tuple[int, Exception | None]:
    with contextlib.ExitStack() as stack:
        desk = stack.enter_context(FullDisk(f"sqlite:///{place.ledger}", broken))
        receipts = stack.enter_context(liveness.alive(place.ledger, "full"))
        await desk.do(operations.begin_run, "full", "shots.csv", "here", 1)
        async with WaveSpeedClient(place.url, KEY) as client:
            terms = Terms("full", PROVIDER, Limits(1_000, 5), poll_floor_s=0.05, take_deadline_s=4.0)
            shoot = Shoot(terms, client, desk, receipts, Tally())
            try:
                await shoot.shoot(takes)
            except LedgerUnusableError as error:
                return desk.refused, error
    return desk.refused, None


@case("disk", "full when the intent is to be written", "no POST, and the run stops")
async def _full_before(place: Set) -> bool:
    async with place.sandbox():
        refused, error = await _with_full_disk(place, place.takes(*(f"take {number}" for number in range(8))), "intend")
        assert isinstance(error, LedgerUnusableError)
        assert not place.accepted
        return refused > 0


@case(
    "disk",
    "full when the reply is to be written",
    "the reply is in the receipts and read back; nothing is bought again",
)
async def _full_after(place: Set) -> bool:
    async with place.sandbox():
        takes = place.takes("one", "two", "three")
        refused, error = await _with_full_disk(place, takes, "accept")
        assert isinstance(error, LedgerUnusableError)
        bought = len(place.accepted)
        assert bought >= 1
        left = list(liveness.receipts_left_behind(place.ledger))
        assert left == ["full"]
        await place.run(takes)
        assert await place.states(takes) == ["completed"] * 3
        assert set(place.bought.values()) == {1}
        with contextlib.closing(sqlite3.connect(place.ledger)) as ledger:
            redeemed = ledger.execute("SELECT count(*) FROM attempt WHERE settled_by = 'receipt'").fetchone()[0]
        assert redeemed == bought
        return refused > 0


@case("disk", "full, for the whole process", "no POST without an intent; a later run with room completes it")
async def _full_process(place: Set) -> bool:
    from torture.studio import in_child

    async with place.sandbox():
        takes = place.takes(*(f"take {number}" for number in range(6)))
        await place.run(takes[:1])
        size = place.ledger.stat().st_size

        def work() -> None:
            place._runs = 100
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            asyncio.run(place.run(takes))

        code = await asyncio.to_thread(in_child, work)
        assert code != 0
        assert len(place.accepted) == 1
        await place.run(takes)
        assert await place.states(takes) == ["completed"] * 6
        return set(place.bought.values()) == {1}


async def refusal(place: Set) -> str:
    """Why the ledger is not opened now."""
    try:
        with LedgerDesk(f"sqlite:///{place.ledger}") as desk:
            await desk.do(require_sound)
    except AnimaticError as error:
        return str(error)
    return ""


@case("disk", "the ledger is damaged", "the run stops and says so; nothing is planned anew")
async def _damaged(place: Set) -> bool:
    async with place.sandbox():
        await place.run(place.takes(*(f"take {number}" for number in range(30))))
    whole = place.ledger.read_bytes()
    fired = tried = 0
    for at in range(4_096 + 8, len(whole), 4_096):
        place.ledger.write_bytes(whole[:at] + b"\xff" * 64 + whole[at + 64 :])
        tried += 1
        fired += bool(await refusal(place))
    place.ledger.write_bytes(whole)
    assert not await refusal(place)
    assert fired >= 0.7 * tried, f"{fired} of {tried} damaged pages were noticed"
    return True


@case("disk", "the ledger is gone, empty or another one", "the run stops and says so; nothing is planned anew")
async def _gone(place: Set) -> bool:
    async with place.sandbox():
        await place.run(place.takes("one"))
    whole = place.ledger.read_bytes()
    place.ledger.unlink()
    assert "it is gone" in await refusal(place)
    place.ledger.touch()
    assert "it is gone" in await refusal(place)
    open_engine(f"sqlite:///{place.folder / 'other.sqlite'}").dispose()
    shutil.copy(place.folder / "other.sqlite", place.ledger)
    assert "another ledger" in await refusal(place)
    place.ledger.write_bytes(whole)
    return not await refusal(place)


@case("disk", "a read-only folder", "the run stops before anything is sent")
async def _read_only(place: Set) -> bool:
    blocked = place.folder / "file"
    blocked.touch()
    place.ledger = blocked / "ledger.sqlite"
    return "cannot be opened" in await refusal(place) or "Not a directory" in await refusal(place)


@case("company", "a run is stopped in the middle of a submission", "it is not robbed, and its late answer is kept")
async def _stopped(place: Set) -> bool:
    async with place.sandbox(inference_s=0.1):
        takes = place.takes("[sandbox:slow=0.1] one", "two", "three")
        script = (
            "import asyncio, sys; from pathlib import Path; from torture.matrix import Set; "
            "place = Set(Path(sys.argv[1])); place.url = sys.argv[2]; place._runs = 100; "
            "takes = place.takes('[sandbox:slow=0.1] one', 'two', 'three'); asyncio.run(place.run(takes, client={'submit_deadline_s': 30.0, 'read_deadline_s': 30.0}))"
        )
        process = subprocess.Popen([sys.executable, "-c", script, str(place.folder), place.url])
        try:
            fired = await _stop_while_submitting(place, process)
            await place.run(takes[:0])
            with contextlib.closing(sqlite3.connect(place.ledger)) as ledger:
                robbed = ledger.execute("SELECT count(*) FROM attempt WHERE state = 'unknown'").fetchone()[0]
            assert robbed == 0
            process.send_signal(signal.SIGCONT)
            await asyncio.to_thread(process.wait, 60)
            assert await place.states(takes) == ["completed"] * 3
            assert set(place.bought.values()) == {1}
            return fired
        finally:
            process.kill()
            process.wait()


async def _stop_while_submitting(place: Set, process: "subprocess.Popen[bytes]") -> bool:
    """SIGSTOP as soon as the ledger shows a submission on its way; whether one was."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(place.ledger)) as ledger:
            process.send_signal(signal.SIGSTOP)
            if ledger.execute("SELECT count(*) FROM attempt WHERE state = 'submitting'").fetchone()[0]:
                return True
        process.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.002)
    return False


@case(
    "company", "four runs on one manifest at once", "each take is bought once, and each run sees all of them to the end"
)
async def _four(place: Set) -> bool:
    async with place.sandbox(inference_s=0.2):
        takes = place.takes(*(f"take {number}" for number in range(12)))
        open_engine(f"sqlite:///{place.ledger}").dispose()
        await asyncio.gather(*(place.run(takes[number:] + takes[:number]) for number in (0, 3, 6, 9)))
        assert await place.states(takes) == ["completed"] * 12
        return set(place.bought.values()) == {1}


@case("company", "a run is killed", "the next one takes over what it had submitted, and asks the list about the rest")
async def _killed(place: Set) -> bool:
    from torture.studio import in_child

    async with place.sandbox(inference_s=0.5):
        takes = place.takes(*(f"take {number}" for number in range(4)))

        def die() -> None:
            place._runs = 100
            signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            signal.setitimer(signal.ITIMER_REAL, 0.4)
            asyncio.run(place.run(takes))

        code = await asyncio.to_thread(in_child, die)
        await place.run(takes)
        found = await place.states(takes)
        assert set(found) <= {"completed", "unknown"}
        assert set(place.bought.values()) <= {1}
        return code == -signal.SIGKILL


@case("money", "the budget is smaller than the plan", "committed and in-flight money count: never one take more")
async def _budget(place: Set) -> bool:
    async with place.sandbox(inference_s=0.3):
        takes = place.takes(
            *(f"[sandbox:lost-reply] take {number}" for number in range(3)), *(f"take {number}" for number in range(9))
        )
        ran = await place.run(takes, max_usd=10.0)
        assert ran.shoot.halt.reason
        assert sum(each.price_usd for each in place.accepted) <= 10.0
        return len(place.accepted) == 4


@case(
    "money",
    "WaveSpeed fails again and again",
    "bought again only as often as `--attempts` allows, each with its reason",
)
async def _attempts(place: Set) -> bool:
    from animatic.takes import BuyingPolicy

    async with place.sandbox():
        takes = place.takes("[sandbox:fails=5000] one", "[sandbox:moderated] two")
        await place.run(takes, policy=BuyingPolicy(attempts=3))
        assert place.bought == {"[sandbox:fails=5000] one": 3, "[sandbox:moderated] two": 1}
        with contextlib.closing(sqlite3.connect(place.ledger)) as ledger:
            allowed = ledger.execute("SELECT allowed_by FROM attempt ORDER BY attempt_id").fetchall()
        assert Counter(name for (name,) in allowed) == {"plan": 2, "attempts": 2}
        return True


@case("input", "hostile manifests", "every one is refused with a sentence, none crashes or is half read")
async def _manifests(place: Set) -> bool:
    hostile = [
        b"", b"\x00" * 100, b"image\n", b"image,prompt\n", b"image,prompt\n\xff\xfe,x\n", b"PAR1" + b"\x00" * 64 + b"PAR1",
        b"image,prompt\n" + b'"' * 1_001, b"image,prompt\n../../etc/passwd,x\n", b"image,prompt\nfile:///etc/passwd,x\n",
        b"image,prompt\nhttps://e.com/a.png," + b"x" * 10_000_000, b"image,prompt,prompt\na.png,b,c\n",
        b"image,prompt,takes\nhttps://e.com/a.png,x,1e9\n", b"image,prompt,takes\nhttps://e.com/a.png,x,17\n",
    ]  # fmt: skip
    refused = 0
    for data in hostile:
        for name in ("shots.csv", "shots.parquet"):
            try:
                checked = check(read_table(name, data), stills={}, storyboard_default="x", provider=PROVIDER)
                checked.require_valid(skip_invalid=False)
            except AnimaticError as error:
                assert len(str(error)) < 10_000
                assert str(error).replace("\n", "").isprintable()
                refused += 1
    assert refused >= 2 * len(hostile) - 2, refused
    return True


async def _one(name: str) -> tuple[bool, str, int]:
    _, _, work = CASES[name]
    folder = Path(tempfile.mkdtemp(prefix="animatic-case-"))
    place = Set(folder)
    try:
        fired = await asyncio.wait_for(work(place), 90)
        problem = "" if fired else "its fault did not fire"
    except Exception as error:  # noqa: BLE001 - whatever it is, the case is red
        fired, problem = True, f"{type(error).__name__}: {error}"
    left = Part(name)
    search(folder, left)
    problem = "; ".join([problem, *left.problems] if problem else left.problems)
    accepted = sum(len(read_witness(each.parent)) for each in folder.glob("sandbox*/accepted.jsonl"))
    shutil.rmtree(folder, ignore_errors=True)
    return fired, problem, accepted


def run_case(name: str) -> tuple[str, bool, str, int]:
    """One case by its name: whether its fault fired, and what is wrong, if anything."""
    return (name, *asyncio.run(_one(name)))


def run(names: Sequence[str] | None = None) -> Part:
    """All cases, or these."""
    from concurrent.futures import ProcessPoolExecutor

    began = time.monotonic()
    part = Part("fault matrix")
    with ProcessPoolExecutor(2) as pool:
        for name, fired, problem, accepted in pool.map(run_case, names or list(CASES)):
            part.points += 1
            part.faults_fired += fired
            part.accepted += accepted
            if problem:
                part.problems.append(f"{name}: {problem}")
    part.details = {"cases": part.points}
    part.seconds = time.monotonic() - began
    return part


if __name__ == "__main__":
    result = run(sys.argv[1:] or None)
    print(*result.problems, sep="\n")
    print(result)
