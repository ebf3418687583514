"""A ledger on a PostgreSQL server that is killed, restarted, full, out of reach, or shared by several machines."""

import asyncio
import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import psycopg

from animatic.buying import submissions
from animatic.errors import LedgerUnusableError
from animatic.ledger import liveness, open_ledger
from animatic.ledger.postgres_server import PostgresServer
from animatic.ledger.transactions import Transactions
from animatic.takes.shots import Take
from torture.cluster import Cluster
from torture.ledgers import SERVER, live_at, wait_until_old
from torture.matrix.disk import on_a_small_disk
from torture.matrix.stage import Ran, Setup, case
from torture.server_line import ASKS, SAYS, Line, through

ONLY_ON = "postgresql"
SLOW = {"inference_s": 0.4}


def _takes(setup: Setup, count: int = 6) -> list[Take]:
    return setup.takes(*(f"take {number}" for number in range(count)))


async def _require_done(setup: Setup, takes: Sequence[Take]) -> None:
    """Check that each take is completed and was bought once, and that one more run buys nothing."""
    assert await setup.states(takes) == ["completed"] * len(takes), await setup.states(takes)
    assert set(setup.bought.values()) == {1}, setup.bought
    assert (await setup.run(takes)).progress.submissions == 0


async def _while_buying(setup: Setup, takes: Sequence[Take], happens: Callable[[], object], at: int = 2) -> Ran:
    """Run, and let something happen in a thread once so many submissions were accepted."""
    running = asyncio.ensure_future(setup.run(takes, client={"submit_deadline_s": 10.0, "read_deadline_s": 10.0}))
    while len(setup.accepted) < at and not running.done():
        await asyncio.sleep(0.01)
    await asyncio.to_thread(happens)
    return await running


def _server_case(name: str, promise: str, happens: Callable[[Cluster], object]) -> None:
    @case("server", name, promise, ONLY_ON)
    async def _(setup: Setup) -> bool:
        server = setup.server_of_own()
        takes = _takes(setup)
        async with setup.sandbox(**SLOW):
            ran = await _while_buying(setup, takes, lambda: happens(server))
            assert ran.error is None, ran.error
            await _require_done(setup, takes)
        return len(takes) == len(setup.accepted)


def _kill(server: Cluster) -> None:
    server.kill()
    time.sleep(1.0)
    server.start()


def _restart(server: Cluster) -> None:
    server.stop()
    time.sleep(0.5)
    server.start()


def _kill_a_session(server: Cluster) -> None:
    assert server.kill_session()
    server.wait_until_up()


GOES_ON = "the run goes on when it is back; each take is bought once"

_server_case("the server is killed midway", GOES_ON, _kill)
_server_case("the server is restarted midway", GOES_ON, _restart)
_server_case("one of the server's processes is killed midway", GOES_ON, _kill_a_session)


@contextlib.contextmanager
def _reconnecting_within(seconds: float) -> Iterator[None]:
    """Wait no longer than this for a server that is away, so that the case is over in time."""
    before, PostgresServer.RECONNECTS_WITHIN_S = PostgresServer.RECONNECTS_WITHIN_S, seconds
    try:
        yield
    finally:
        PostgresServer.RECONNECTS_WITHIN_S = before


@contextlib.contextmanager
def _at_operation(name: str, happens: Callable[[], object]) -> Iterator[list[str]]:
    """Let something happen before the first transaction with an operation of this name; the name is in the list then."""
    seen, do = list[str](), Transactions.do

    async def watched(self: Transactions, within_s: float, operation: object, *args: object, **more: object) -> object:
        if getattr(operation, "__name__", "") == name and not seen:
            seen.append(name)
            await asyncio.to_thread(happens)
        return await do(self, within_s, operation, *args, **more)  # type: ignore[arg-type]

    Transactions.do = watched  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        Transactions.do = do  # type: ignore[method-assign]


@case("server", "the server goes away before an intent, and stays away", "no POST, and the run stops", ONLY_ON)
async def _away_before(setup: Setup) -> bool:
    server, takes = setup.server_of_own(), _takes(setup, 3)
    async with setup.sandbox():
        with _reconnecting_within(2.0), _at_operation("intend", server.kill) as seen:
            try:
                ran = await setup.run(takes)
                error: Exception | None = ran.error
            except LedgerUnusableError as raised:
                error = raised
        assert isinstance(error, LedgerUnusableError), error
        assert not setup.accepted
        server.start()
        setup._running = 0
        await setup.run(takes)
        await _require_done(setup, takes)
    return seen == ["intend"]


@case(
    "server",
    "the server goes away before a reply is written, and stays away",
    "the reply is in the receipts and read back; nothing is bought again",
    ONLY_ON,
)
async def _away_after(setup: Setup) -> bool:
    server, takes = setup.server_of_own(), _takes(setup, 3)
    async with setup.sandbox():
        with (
            contextlib.suppress(LedgerUnusableError),
            _reconnecting_within(2.0),
            _at_operation("accept", server.kill) as seen,
        ):
            await setup.run(takes)
        bought = len(setup.accepted)
        assert bought >= 1
        server.start()
        setup._running = 0
        await asyncio.to_thread(wait_until_old)
        await setup.run(takes)
        settled = setup.ledger.rows("SELECT count(*) FROM attempt WHERE settled_by = 'receipt'")[0][0]
        assert settled == bought, f"{settled} of {bought} were read back"
        await _require_done(setup, takes)
    return seen == ["accept"]


@case(
    "server",
    "the power of a machine with the server and a run fails",
    "the next run settles what was under way",
    ONLY_ON,
)
async def _power(setup: Setup) -> bool:
    from torture.studio import in_child

    server, takes = setup.server_of_own(), _takes(setup, 4)
    async with setup.sandbox(**SLOW):

        def run() -> None:
            setup._runs = 100
            asyncio.run(setup.run(takes))

        pids: list[int] = []
        child = asyncio.ensure_future(asyncio.to_thread(in_child, run, 60.0, pids.append))
        while not setup.accepted:
            await asyncio.sleep(0.005)
        os.kill(pids[0], signal.SIGKILL)
        server.kill()
        code = await child
        server.start()
        setup._running = 0
        await setup.run(takes)  # for a while no run is called dead: its takes are left alone
        assert set(setup.bought.values()) == {1}, setup.bought
        await asyncio.to_thread(wait_until_old)
        await setup.run(takes)
        assert set(setup.bought.values()) <= {1}, setup.bought
        assert set(await setup.states(takes)) <= {"completed", "unknown"}
        assert (await setup.run(takes)).progress.submissions == 0
    return code == -signal.SIGKILL


@case(
    "server",
    "its disk is full midway",
    "what has no intent is not sent; with room again, each take is bought once",
    ONLY_ON,
)
async def _full_midway(setup: Setup) -> bool:
    server = on_a_small_disk(setup)
    assert server is not None
    takes = _takes(setup, 40)
    ballast = server.folder / "ballast"

    def fill() -> None:
        with contextlib.suppress(OSError), ballast.open("wb", 0) as file:
            while True:
                file.write(bytes(4_096))

    async with setup.sandbox(inference_s=0.2):
        await setup.run(takes[:1])
        errors: list[Exception | None] = []
        with _reconnecting_within(2.0):
            running = asyncio.ensure_future(setup.run(takes[1:], limits=_slow_limits()))
            while len(setup.accepted) < 4 and not running.done():
                await asyncio.sleep(0.01)
            await asyncio.to_thread(fill)
            try:
                errors.append((await running).error)
            except LedgerUnusableError as error:
                errors.append(error)
        said = server.log()
        ballast.unlink()
        if not server.pids():
            server.start()
        await asyncio.to_thread(server.wait_until_up)
        setup._running = 0
        await asyncio.to_thread(wait_until_old)
        await setup.run(takes)
        await _require_done(setup, takes)
    return "No space left on device" in said and isinstance(errors[0], LedgerUnusableError)


def _slow_limits() -> object:
    from animatic.pace.limits import Limits

    return Limits(1_000, 2)


@case(
    "server",
    "the line is cut at any message",
    "statements are run again, replies asked for; each take is bought once",
    ONLY_ON,
)
async def _cut(setup: Setup) -> bool:
    async with setup.sandbox():
        with through(Line(os.environ[SERVER])) as line, line:
            await setup.run(setup.takes("counted"))
        chance, fired = random.Random(7), 0
        for number in range(10):
            way = (ASKS, SAYS)[number % 2]
            takes = setup.takes(f"one {number}", f"two {number}")
            at = (way, chance.randint(line.counts[way] // 10, line.counts[way]))
            struck = Line(os.environ[SERVER], at)
            with contextlib.suppress(LedgerUnusableError), through(struck), struck:
                await setup.run(takes)
            setup._running = 0
            fired += struck.has_fired.is_set()
            await setup.run(takes)
            await _require_done(setup, takes)
    return fired >= 8


def _lost_commits(name: str, promise: str, way: str) -> None:
    @case("server", name, promise, ONLY_ON)
    async def _(setup: Setup) -> bool:
        takes = _takes(setup, 4)
        async with setup.sandbox():
            with open_ledger(setup.ledger.url):
                pass
            with through(Line(os.environ[SERVER])) as line, line:
                with _at_operation("_begin_if_open", lambda: setattr(line, "loses_commits", way)):
                    ran = await setup.run(takes)
                assert ran.error is None, ran.error
            await _require_done(setup, takes)
        return line.lost_commits >= 5


_lost_commits(
    "the reply to each second COMMIT is lost", "the server is asked what became of it; each is done once", SAYS
)
_lost_commits("each second COMMIT is lost on its way", "it is done again, and once", ASKS)


@case(
    "server",
    "the line is unplugged midway",
    "that is seen within 30 s; the run goes on, and each take is bought once",
    ONLY_ON,
)
async def _unplugged(setup: Setup) -> bool:
    takes = _takes(setup)
    async with setup.sandbox(**SLOW):
        with through(Line(os.environ[SERVER])) as line, line:

            def unplug() -> None:
                line.is_silent = True
                time.sleep(8.0)
                line.is_silent = False
                line.cut()

            ran = await _while_buying(setup, takes, unplug)
            assert ran.error is None, ran.error
        await _require_done(setup, takes)
    return True


STOPPED = """
import asyncio, os, sys
from pathlib import Path
from torture import ledgers
from torture.matrix import Setup
folder, url, server, direct, count = sys.argv[1:]
os.environ |= {"TORTURE_LEDGER": "postgresql", "TORTURE_POSTGRESQL": server, "TORTURE_POSTGRESQL_DIRECT": direct}
setup = Setup(Path(folder))
setup.url, setup._runs = url, 100
ledgers.live_at(Path(folder) / "elsewhere")
takes = setup.takes(*(f"take {number}" for number in range(int(count))))
asyncio.run(setup.run(takes, client={"submit_deadline_s": 40.0, "read_deadline_s": 40.0}))
"""


@case(
    "server",
    "a run on another machine loses its line while replies are on their way",
    "it is called dead, and what it sent is not sent again; its own replies settle that when the line is back",
    ONLY_ON,
)
async def _called_dead(setup: Setup) -> bool:
    takes = setup.takes("[sandbox:slow=6] take 0", "[sandbox:slow=6] take 1")
    await asyncio.to_thread(wait_until_old)
    async with setup.sandbox(list_inputs=False):
        direct = os.environ[SERVER]
        with Line(direct) as line:
            script = STOPPED.replace('f"take {number}"', 'f"[sandbox:slow=6] take {number}"')
            other = await asyncio.create_subprocess_exec(
                sys.executable, "-c", script, str(setup.folder), setup.url, line.url, direct, "2"
            )
            while len(setup.accepted) < 2:
                await asyncio.sleep(0.02)
            line.cut(away_s=3.0)
            await asyncio.sleep(0.3)
            second = await setup.run(takes, take_deadline_s=0.5)
            fired = set(await setup.states(takes)) <= {"unknown", "held"}
            assert second.progress.submissions == 0
            assert await asyncio.wait_for(other.wait(), 60) == 0
        setup._running = 0
        assert set(await setup.states(takes)) <= {"submitted", "completed"}
        await setup.run(takes)
        await _require_done(setup, takes)
    return fired


@case(
    "server", "a machine is gone with its receipts", "its takes are unknown, and WaveSpeed's list settles them", ONLY_ON
)
async def _gone_machine(setup: Setup) -> bool:
    server, takes = setup.server_of_own(), _takes(setup, 3)
    async with setup.sandbox():
        here, gone = setup.folder, setup.folder / "gone"
        live_at(gone)
        with _reconnecting_within(1.0), _at_operation("accept", server.kill), contextlib.suppress(LedgerUnusableError):
            await setup.run(takes)
        server.start()
        setup._running = 0
        fired = bool(liveness.receipts_left_behind(setup.ledger.path))
        live_at(here)
        await asyncio.to_thread(wait_until_old)
        await setup.run(takes)
        assert (await setup.states(takes)).count("completed") == 3, await setup.states(takes)
        settled = {row[0] for row in setup.ledger.rows("SELECT DISTINCT settled_by FROM attempt")}
        assert "receipt" not in settled, settled
        await _require_done(setup, takes)
    return fired


@case(
    "server",
    "a run stands still between intent and POST",
    "it does not send then: others may have called it dead",
    ONLY_ON,
)
async def _stood_still(setup: Setup) -> bool:
    takes, before = _takes(setup, 1), submissions.SENT_WITHIN_S
    submissions.SENT_WITHIN_S = 0.5
    try:
        async with setup.sandbox():
            with open_ledger(setup.ledger.url):
                pass
            with _at_operation("intend", _hold_the_turn(setup.ledger.url)) as seen:
                await setup.run(takes)
            intents = setup.ledger.rows("SELECT value FROM meta WHERE name = 'intents'")
            assert intents == [("2",)], f"intended {intents} times, so the first was sent"
            await _require_done(setup, takes)
    finally:
        submissions.SENT_WITHIN_S = before
    return seen == ["intend"]


def _hold_the_turn(url: str) -> Callable[[], None]:
    """Return what keeps all other transactions out of a ledger for a second, from when it is called."""

    def hold() -> None:
        db = psycopg.connect(url)
        db.execute("SELECT pg_advisory_xact_lock(hashtext('animatic ledger'), hashtext(current_schema()))")
        threading.Timer(1.0, db.close).start()

    return hold


@case("server", "one role may not write there", "the run stops before anything is sent", ONLY_ON)
async def _no_rights(setup: Setup) -> bool:
    server, takes = setup.server_of_own(), _takes(setup, 1)
    async with setup.sandbox():
        await setup.run(takes)
        with psycopg.connect(server.url, autocommit=True) as db:
            db.execute("CREATE ROLE reader LOGIN")
            db.execute(f"GRANT USAGE ON SCHEMA {setup.ledger._schema} TO reader".encode())
            db.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {setup.ledger._schema} TO reader".encode())
        url = setup.ledger.url.replace("postgres@", "reader@")
        said = ""
        try:
            with open_ledger(url) as opened:
                async with opened.run("reader", "shots.csv"):
                    pass
        except LedgerUnusableError as error:
            said = str(error)
        assert "permission denied" in said, said
    return len(setup.accepted) == 1


@case(
    "server",
    "a run on another machine while the server starts again",
    "it is not called dead, though its session is lost; its replies are kept",
    ONLY_ON,
)
async def _starts_again(setup: Setup) -> bool:
    server = setup.server_of_own()
    await asyncio.to_thread(wait_until_old)
    takes = setup.takes("[sandbox:slow=8] take 0", "[sandbox:slow=8] take 1")
    async with setup.sandbox(list_inputs=False):
        with Line(server.url) as line:
            script = STOPPED.replace('f"take {number}"', 'f"[sandbox:slow=8] take {number}"')
            other = await asyncio.create_subprocess_exec(
                sys.executable, "-c", script, str(setup.folder), setup.url, line.url, server.url, "2"
            )
            while len(setup.accepted) < 2:
                await asyncio.sleep(0.02)
            line.cut(away_s=4.0)
            await asyncio.to_thread(_restart, server)
            with open_ledger(setup.ledger.url) as opened:
                running = await opened.runs_submitting()
                said = [opened.is_alive(each) for each in running]
            assert await asyncio.wait_for(other.wait(), 60) == 0
        await setup.run(takes)
        await _require_done(setup, takes)
    assert said == [True], f"{said} of {running}"
    return bool(running)
