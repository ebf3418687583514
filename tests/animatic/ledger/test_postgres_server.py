"""A ledger on PostgreSQL: sessions that are cut, commits whose reply is lost, and servers that cannot hold it."""

import asyncio
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from servers import server_of_tests
from sqlalchemy.exc import DBAPIError
from torture.cluster import cluster

from animatic.errors import (
    FixInputError,
    LedgerAwayError,
    LedgerClosedError,
    LedgerRestoredError,
    LedgerUnusableError,
    SettingsError,
)
from animatic.ledger import (
    back_up_ledger,
    copy_ledger,
    copying,
    dead_runs,
    ledger_name,
    look_into,
    open_ledger,
    open_when_there,
    prune_ledger,
    verify_ledger,
)
from animatic.ledger.location import note_intents
from animatic.ledger.opening import find_database, open_database
from animatic.ledger.outages import TOLD_AFTER_S, Outage, Patience
from animatic.ledger.postgres_server import IDLE_S, Mark, PostgresServer
from animatic.ledger.postgres_sessions import LOOKS_EVERY_S, Sessions, _key_of
from animatic.ledger.records import KeptClip, WantedClip
from animatic.pace.limits import HOLD_S, Limits
from tests.animatic.ledger.conftest import ON_POSTGRESQL, Postgres

pytestmark = ON_POSTGRESQL

SECRET = "canary-7c1f-password"


def note(db: sa.Connection, name: str) -> str:
    db.execute(sa.text("INSERT INTO meta VALUES (:name, 'x')"), {"name": name})
    return name


def noted(ledger: Any) -> int:
    return int(ledger.rows("SELECT count(*) FROM meta WHERE value = 'x'")[0][0])


class Cutting:
    """A line to the server that can be cut, and that can hold back what the server says."""

    def __init__(self, host: str, port: int, at: int = 0) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", at))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self.is_mute = False
        """Swallow every reply to a COMMIT, and end the line."""
        self.commits_lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ours, _ = self._listener.accept()
                theirs = socket.create_connection(self._server)
                self._open += [ours, theirs]
                state = {"committing": False}
                threading.Thread(target=self._asks, args=(ours, theirs, state), daemon=True).start()
                threading.Thread(target=self._says, args=(theirs, ours, state), daemon=True).start()

    def _asks(self, ours: socket.socket, theirs: socket.socket, state: dict[str, bool]) -> None:
        with suppress(OSError):
            while sent := ours.recv(65_536):
                state["committing"] = b"COMMIT" in sent
                theirs.sendall(sent)
        self._end(ours, theirs)

    def _says(self, theirs: socket.socket, ours: socket.socket, state: dict[str, bool]) -> None:
        with suppress(OSError):
            while said := theirs.recv(65_536):
                if self.is_mute and state["committing"]:
                    self.is_mute, self.commits_lost = False, self.commits_lost + 1
                    break
                ours.sendall(said)
        self._end(ours, theirs)

    def cut(self) -> None:
        self._end(*self._open)

    def close_to_others(self) -> None:
        """Take no more connections; those that are there stay."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _end(self, *sockets: socket.socket) -> None:
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self.cut()


@pytest.fixture
def line(backend: Postgres) -> Iterator[tuple[Cutting, str]]:
    """A line that can be cut, and the URL of a ledger at its other end."""
    server = psycopg.conninfo.conninfo_to_dict(backend.url)
    cutting = Cutting(str(server["host"]), int(server["port"]))
    yield cutting, re.sub(r"@[^/]+/", f"@127.0.0.1:{cutting.port}/", backend.url)
    cutting.close()


async def test_a_commit_whose_reply_is_lost_is_done_once(line: tuple[Cutting, str], backend: Postgres) -> None:
    cutting, url = line
    with open_ledger(url) as ledger:
        for number in range(5):
            cutting.is_mute = True
            assert await ledger.transactions.do(0.0, note, f"n{number}") == f"n{number}"
    assert cutting.commits_lost == 5
    assert noted(backend) == 5


async def test_what_was_under_way_on_a_cut_line_is_done_exactly_once(
    line: tuple[Cutting, str], backend: Postgres
) -> None:
    cutting, url = line

    def cut_then_note(db: sa.Connection, name: str) -> str:
        if name not in cut:
            cut.add(name)
            note(db, name)
            cutting.cut()
        return note(db, name)

    cut: set[str] = set()
    with open_ledger(url) as ledger:
        for number in range(5):
            assert await ledger.transactions.do(0.0, cut_then_note, f"n{number}") == f"n{number}"
    assert len(cut) == noted(backend) == 5


async def test_a_line_that_is_lost_between_two_transactions_is_made_again(
    line: tuple[Cutting, str], backend: Postgres
) -> None:
    cutting, url = line
    with open_ledger(url) as ledger:
        for number in range(3):
            assert await ledger.transactions.do(0.0, note, f"n{number}") == f"n{number}"
            cutting.cut()
    assert noted(backend) == 3


async def test_a_commit_of_which_nothing_can_be_found_out_is_no_result(
    line: tuple[Cutting, str], backend: Postgres
) -> None:
    cutting, url = line
    with open_ledger(url) as ledger:
        ledger.transactions.patience.longest_s = 0.3
        cutting.is_mute = True
        cutting.close_to_others()
        with pytest.raises(
            LedgerAwayError, match=r"the server does not say if it took a change.*nothing more is bought"
        ):
            await ledger.transactions.do(0.0, note, "n1")
    assert noted(backend) == 1


async def test_a_whole_copy_opens_though_the_sources_last_reply_is_lost(
    line: tuple[Cutting, str], tmp_path: Path
) -> None:
    cutting, url = line
    target = f"sqlite:///{tmp_path}/copy.sqlite"
    open_ledger(url).close()

    def lose_the_next_commit(table: str, _rows: int) -> None:
        cutting.is_mute = cutting.is_mute or table == "run"

    with open_ledger(url) as ledger:
        await ledger.begin_run("run-1", "file:///shots.csv", "here", 1)
    with pytest.raises(DBAPIError):
        copy_ledger(url, target, lose_the_next_commit)
    assert cutting.commits_lost == 1
    with pytest.raises(LedgerClosedError, match="it was copied to"):
        open_ledger(url)
    open_ledger(target).close()


@contextmanager
def connected(database: PostgresServer) -> Iterator[sa.Connection]:
    engine = database.engine()
    try:
        with engine.connect() as db:
            yield db
    finally:
        engine.dispose()


def test_a_commit_that_the_server_is_still_at_is_waited_for(backend: Postgres) -> None:
    open_ledger(backend.url).close()
    database = PostgresServer(backend.url)
    with connected(database) as db, db.begin() as under_way:
        note(db, "n1")
        mark = database.mark(db)
        commit = threading.Timer(0.5, under_way.commit)
        commit.start()
        assert database.has_committed(mark, Outage(Patience(60.0)))
        commit.join()
    assert noted(backend) == 1


def test_a_transaction_whose_number_the_server_forgot_is_found_by_its_mark(backend: Postgres) -> None:
    open_ledger(backend.url).close()
    database = PostgresServer(backend.url)
    marks: dict[str, Mark] = {}
    with connected(database) as db:
        for name in ("taken back", "done"):
            with db.begin() as transaction:
                note(db, name)
                mark = database.mark(db)
                assert mark is not None
                marks[name] = mark._replace(transaction="0")  # as one from before a long time
                if name == "taken back":
                    transaction.rollback()
    found = {name: database.has_committed(mark, Outage(Patience(60.0))) for name, mark in marks.items()}
    assert found == {"taken back": False, "done": True}


@pytest.mark.usefixtures("backend")
def test_a_lost_transaction_whose_number_is_reused_is_not_taken_for_done() -> None:
    with cluster() as server:
        open_ledger(server.url).close()
        with psycopg.connect(server.url, autocommit=True) as other:
            other.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")  # nothing but a commit reaches the disk
            other.execute("SELECT pg_reload_conf()")
        database = PostgresServer(server.url)
        with connected(database) as db:
            db.begin()
            note(db, "lost")
            mark = database.mark(db)
            assert mark is not None
            server.kill()
            db.invalidate()
        server.start()
        assert not database.has_committed(mark, Outage(Patience(0.0)))
        with psycopg.connect(server.url) as other:
            other.execute("INSERT INTO meta VALUES ('another', 'x')")
            ((number,),) = other.execute("SELECT pg_current_xact_id()::text").fetchall()
        assert number == mark.transaction
        assert not database.has_committed(mark, Outage(Patience(0.0)))


async def test_a_transaction_that_reads_writes_nothing(ledger: Any) -> None:
    marked = "SELECT count(*), max(number) FROM last_commit"
    before = ledger.rows(marked)
    for _ in range(3):
        await ledger.opened.transactions.do(0.0, lambda db: db.execute(sa.text("SELECT 1")).scalar_one())
    assert ledger.rows(marked) == before
    await ledger.opened.transactions.do(0.0, note, "n1")
    assert ledger.rows(marked) != before


async def test_marks_of_connections_that_have_ended_are_pruned(ledger: Any, backend: Postgres) -> None:
    await ledger.opened.transactions.do(0.0, note, "n1")
    assert prune_ledger(backend.url, datetime.now(UTC) - timedelta(days=30), lambda *_: None).is_compacted
    assert len(backend.rows("SELECT * FROM last_commit")) == 1
    backend.write("UPDATE last_commit SET made_at = made_at - interval '31 days'")
    prune_ledger(backend.url, datetime.now(UTC) - timedelta(days=30), lambda *_: None)
    assert backend.rows("SELECT * FROM last_commit") == []


async def test_a_statement_that_failed_unseen_takes_the_transaction_with_it(ledger: Any) -> None:
    def hide_a_failure(db: sa.Connection) -> str:
        note(db, "n1")
        with suppress(DBAPIError):
            db.exec_driver_sql("SELECT 1 / 0")
        return "done"

    with pytest.raises(LedgerUnusableError, match="current transaction is aborted"):
        await ledger.opened.transactions.do(0.0, hide_a_failure)
    assert noted(ledger) == 0


async def test_a_ledger_that_others_keep_busy_says_where_to_look(ledger: Any, backend: Postgres) -> None:
    def wait_less(db: sa.Connection) -> None:
        db.exec_driver_sql("SET lock_timeout = '100ms'")  # instead of BUSY_S, for all that follow

    await ledger.opened.transactions.do(0.0, wait_less)
    with psycopg.connect(backend.url) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtext('animatic ledger'), hashtext(current_schema()))")
        with pytest.raises(LedgerUnusableError, match=r"kept it busy for 30 s\. See pg_stat_activity .* run again"):
            await ledger.opened.transactions.do(0.0, note, "kept out")
    assert await ledger.opened.transactions.do(0.0, note, "let in") == "let in"


async def test_a_server_without_room_says_where_to_make_some(ledger: Any) -> None:
    def fill(db: sa.Connection) -> None:
        db.exec_driver_sql("DO $$ BEGIN RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END $$")

    with pytest.raises(LedgerUnusableError, match=r"could not extend file.*; make room on the server's disk"):
        await ledger.opened.transactions.do(0.0, fill)


async def test_all_runs_of_a_process_are_seen_alive_here_and_elsewhere(ledger: Any, backend: Postgres) -> None:
    async with ledger.opened.run("run-2", "file:///a.csv"), ledger.opened.run("run-3", "file:///b.csv"):
        assert [dead_runs(ledger.url)(run_id) for run_id in ("run-2", "run-3")] == [False, False]
        with closing(find_database(backend.url).elsewhere()) as elsewhere:  # as another machine sees them
            assert elsewhere.live_among(["run-2", "run-3", "run-4"]) == ["run-2", "run-3"]


async def test_a_server_that_is_away_is_waited_for_and_told_of(backend: Postgres) -> None:
    server = psycopg.conninfo.conninfo_to_dict(backend.url)
    host, port = str(server["host"]), int(server["port"])
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        closed_port = listener.getsockname()[1]
    url, told, lines = re.sub(r"@[^/]+/", f"@127.0.0.1:{closed_port}/", backend.url), list[str](), list[Cutting]()
    with pytest.raises(LedgerAwayError, match="look if the server runs"):
        open_ledger(url)
    threading.Timer(TOLD_AFTER_S + 2, lambda: lines.append(Cutting(host, port, closed_port))).start()
    with open_when_there(url, told.append) as ledger:
        assert await ledger.transactions.do(0.0, note, "n1") == "n1"
    lines[0].close()
    assert len(told) == 2
    assert re.fullmatch(r"ledger postgresql://.*look if the server runs.* asked again for 600 s, .*", told[0])
    assert re.fullmatch(r"ledger postgresql://.*: the server answers again, after \d+ s", told[1])


def test_a_server_that_stays_away_is_given_up(backend: Postgres) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        closed_port = listener.getsockname()[1]
    url = re.sub(r"@[^/]+/", f"@127.0.0.1:{closed_port}/", backend.url)
    with pytest.raises(LedgerAwayError, match=r"look if the server runs.*Nothing was bought"):
        open_when_there(url, lambda _: None, within_s=0.3)


def test_a_database_that_does_not_exist_is_not_waited_for(backend: Postgres) -> None:
    with pytest.raises(LedgerUnusableError) as raised:
        open_when_there(re.sub(r"/test\?.*", "/no_such_database", backend.url), lambda _: None)
    assert not isinstance(raised.value, LedgerAwayError)


async def test_a_run_whose_session_ended_is_alive_again(backend: Postgres, line: tuple[Cutting, str]) -> None:
    cutting, url = line
    with open_ledger(url) as ledger, open_ledger(backend.url) as other:
        async with ledger.run("run-7", "file:///shots.csv"):
            cutting.cut()
            assert ledger.is_alive("run-7")
            async with asyncio.timeout(3 * LOOKS_EVERY_S):
                await asyncio.sleep(0.2)  # the server has seen the end of the session
                while not other._elsewhere.is_alive("run-7"):
                    await asyncio.sleep(0.1)
        assert not other._elsewhere.is_alive("run-7")


async def test_nobody_is_called_dead_right_after_a_session_was_lost(backend: Postgres) -> None:
    with open_ledger(backend.url) as ledger:
        assert not ledger._elsewhere.is_alive("run-7")
        backend.write(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE position('locktype' in query) > 0 AND pid <> pg_backend_pid()"
        )
        assert ledger._elsewhere.is_alive("run-7"), "its session may be lost as well"


class Impatient(PostgresServer):
    """A server whose sessions wait hardly for a lock."""

    def connect(self) -> psycopg.Connection[Any]:
        made = super().connect()
        made.execute("SET lock_timeout = '50ms'")
        return made


def test_a_session_that_cannot_take_its_locks_again_is_made_once_more(backend: Postgres) -> None:
    servers = (Impatient(backend.url), PostgresServer(backend.url))
    with closing(Sessions(servers[0])) as ours, closing(Sessions(servers[1])) as others, ours.hold("run-7"):
        ours._end()
        with psycopg.connect(backend.url, autocommit=True) as in_the_way:
            in_the_way.execute("SELECT pg_advisory_lock(%s)", (_key_of("run-7"),))
            with pytest.raises(psycopg.Error):
                ours._connected()
        ours._connected()
        assert others._alive(["run-7"]) == ["run-7"]


async def test_a_run_cut_off_while_its_ledger_is_copied_buys_nothing_more(ledger: Any, backend: Postgres) -> None:
    await ledger.buy()
    backend.write("INSERT INTO meta VALUES ('moved_to', 'postgresql://elsewhere/film')")
    with pytest.raises(
        LedgerUnusableError, match="it was copied to postgresql://elsewhere/film while this run had lost"
    ):
        await ledger.intend("e" * 64)
    assert ledger.rows("SELECT count(*) FROM attempt") == [(1,)]


async def test_a_run_stops_on_a_standby_that_lacks_what_it_has_seen(ledger: Any, backend: Postgres) -> None:
    for fingerprint in ("e" * 64, "f" * 64):
        await ledger.buy(fingerprint)
    backend.write("UPDATE meta SET value = '0' WHERE name = 'intents'")
    with pytest.raises(LedgerUnusableError, match="it holds 1 submissions, and this run has seen 2: a standby"):
        await ledger.intend("d" * 64)
    assert ledger.rows("SELECT count(*) FROM attempt") == [(2,)]


def test_a_search_path_that_splits_its_tables_between_two_schemas_is_refused(backend: Postgres, tmp_path: Path) -> None:
    open_ledger(backend.url).close()
    other = Postgres(tmp_path)
    try:
        url = backend.url.replace("search_path%3D", f"search_path%3D{other.schema},")
        with pytest.raises(
            SettingsError, match=f"finds a table meta in schema {backend.schema}, and makes new ones in"
        ):
            open_ledger(url)
    finally:
        other.end()


async def test_a_backup_keeps_nobody_waiting_and_is_of_one_moment(
    ledger: Any, backend: Postgres, tmp_path: Path
) -> None:
    await ledger.buy()
    turns: list[Any] = []
    with psycopg.connect(backend.url) as other:

        def write_more(table: str, _rows: int) -> None:
            if table == "attempt":  # between the copy of the table and the look that compares
                take_turn = "SELECT pg_try_advisory_xact_lock(hashtext('animatic ledger'), hashtext(current_schema()))"
                turns.extend(other.execute(take_turn).fetchall())
                backend.write("UPDATE attempt SET polls = 7")

        assert back_up_ledger(backend.url, tmp_path / "backup.sqlite", write_more) is not None
        assert turns == [(True,)]
        assert verify_ledger(backend.url).attempts == 1


def test_a_copy_of_a_ledger_that_was_opened_again_is_not_made(backend: Postgres, tmp_path: Path) -> None:
    opened = [open_database(find_database(url)) for url in (backend.url, f"sqlite:///{tmp_path}/copy.sqlite")]
    try:
        with pytest.raises(FixInputError, match="has opened it again; copy again"):
            copying.copy_rows(*opened, lambda *_: None)
    finally:
        for each in opened:
            each.engine.dispose()


HOLDER = """
import asyncio, sys
from animatic.ledger import open_ledger
async def main():
    with open_ledger(sys.argv[1]) as ledger:
        async with ledger.run("run-9", "file:///shots.csv"):
            print("held", flush=True)
            sys.stdin.read()
asyncio.run(main())
"""


def test_a_run_on_another_machine_is_dead_once_it_is_killed(backend: Postgres, tmp_path: Path) -> None:
    elsewhere = os.environ | {"ANIMATIC_HOME": str(tmp_path / "elsewhere")}
    command = [sys.executable, "-c", HOLDER, backend.url]
    with (
        open_ledger(backend.url),
        subprocess.Popen(command, env=elsewhere, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other,
    ):
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert not dead_runs(backend.url)("run-9")
        other.kill()
        other.wait()
        ends = time.monotonic() + 10
        while not dead_runs(backend.url)("run-9"):
            assert time.monotonic() < ends
            time.sleep(0.05)


async def test_two_machines_share_the_pace_by_the_servers_clock(ledger: Any, backend: Postgres) -> None:
    servers_time = "SELECT extract(epoch FROM clock_timestamp())::float8"
    (before_s,) = ledger.rows(servers_time)[0]
    with open_ledger(backend.url) as other:
        async with (
            ledger.opened.run("run-a", "file:///a.csv") as first,
            other.run("run-b", "file:///b.csv") as second,
        ):
            a, b = first.account("sandbox", Limits(4, 4)), second.account("sandbox", Limits(4, 4))
            granted = [(await each.acquire_starts(4, []))[1] for each in (a, b, a, b)]
    assert sum(each.starts for each in granted) == 4
    assert 0 < granted[-1].wait_s <= HOLD_S
    (after_s,) = ledger.rows(servers_time)[0]
    (until,) = ledger.rows("SELECT min(until) FROM starts")[0]
    assert before_s <= until - HOLD_S <= after_s


async def test_transactions_of_two_machines_take_turns(ledger: Any, backend: Postgres) -> None:
    def count_up(db: sa.Connection) -> int:
        number = int(db.execute(sa.text("SELECT value FROM meta WHERE name = 'counted'")).scalar_one())
        db.exec_driver_sql("SELECT pg_sleep(0.002)")
        db.execute(sa.text("UPDATE meta SET value = :next WHERE name = 'counted'"), {"next": str(number + 1)})
        return number

    ledger.write("INSERT INTO meta VALUES ('counted', '0')")
    with open_ledger(backend.url) as other:
        each_of_both = [each for _ in range(40) for each in (ledger.opened, other)]
        counting = [each.transactions.do(0.0, count_up) for each in each_of_both]
        on_clips = [each.usual_clip_bytes() for each in each_of_both]  # they share transactions with the others
        found = await asyncio.gather(*(each for pair in zip(on_clips, counting, strict=True) for each in pair))
    assert sorted(found[1::2]) == list(range(80))


async def test_work_on_clips_waits_for_no_turn(ledger: Any, backend: Postgres) -> None:
    attempt_id = await ledger.buy()
    wanted = WantedClip(attempt_id, 1, (("a", "a"),))
    turn = "SELECT pg_advisory_xact_lock(hashtext('animatic ledger'), hashtext(current_schema()))"
    with psycopg.connect(backend.url) as slow:
        slow.execute(turn)  # as a transaction does whose line is slow
        async with asyncio.timeout(30):
            (booking,) = await ledger.opened.book_clips("s3://film", [wanted], "run-1")
            await ledger.opened.keep_clips([KeptClip(booking.clip.clip_id, "a.mp4", "ab", 7)])
            assert await ledger.opened.unchecked(["f" * 64], 1) == ["f" * 64]
            assert (await ledger.opened.batches.backlog()).batches == []
        buying = asyncio.create_task(ledger.intend("e" * 64))
        assert await asyncio.wait({buying}, timeout=0.3) == (set(), {buying}), "money waits"
    assert await buying > attempt_id


async def test_a_clip_that_two_machines_book_at_once_has_one_row(ledger: Any, backend: Postgres) -> None:
    made = [await ledger.buy(f"{number:064x}") for number in range(20)]
    wanted = [WantedClip(each, 1, tuple((f"n{name}", f"n{name}") for name in (each % 3, "x", each))) for each in made]
    with open_ledger(backend.url) as other:
        asked = [(ledger.opened, wanted), (other, wanted[::-1]), (ledger.opened, wanted[::-1]), (other, wanted)]
        found = await asyncio.gather(*(each.book_clips("s3://film", some, "run-1") for each, some in asked))
    first, *others = [{each.clip.attempt_id: each.clip for each in bookings} for bookings in found]
    assert others == [first] * 3
    assert len({clip.name for clip in first.values()}) == len(made)
    assert ledger.rows("SELECT count(*) FROM clip") == [(20,)]


def test_machines_that_make_a_ledger_at_the_same_time_make_one(backend: Postgres) -> None:
    found: list[str] = []

    def make() -> None:
        opened = open_database(find_database(backend.url))
        found.append(opened.ledger_id)
        opened.engine.dispose()

    threads = [threading.Thread(target=make) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 6
    assert len(set(found)) == 1


def test_a_look_makes_nothing(backend: Postgres) -> None:
    with look_into(backend.url) as ledger:
        assert ledger is None
    assert backend.rows("SELECT to_regclass('meta')") == [(None,)]


def test_a_ledger_that_is_gone_or_another_one_is_not_used(backend: Postgres) -> None:
    open_ledger(backend.url).close()
    backend.write("UPDATE meta SET value = 'another' WHERE name = 'ledger_id'")
    with pytest.raises(LedgerUnusableError, match=r"another ledger than the one .*\n    mv .*ledger-id"):
        open_ledger(backend.url)
    for table in backend.rows("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"):
        backend.write(f"DROP TABLE {table[0]} CASCADE")
    for opening in (lambda: open_ledger(backend.url), lambda: look_into(backend.url).__enter__()):
        with pytest.raises(LedgerUnusableError, match=r"it is gone, though .*Nothing was bought"):
            opening()


def test_a_restored_ledger_is_not_used(backend: Postgres) -> None:
    with open_ledger(backend.url) as ledger:
        note_intents(ledger.transactions.opened.beside, 3)
    with pytest.raises(LedgerRestoredError, match=r"^ledger postgresql://.*holds 0 submissions.* has seen 3"):
        open_ledger(backend.url)


def test_what_a_machine_keeps_is_found_however_the_server_is_spelled(backend: Postgres) -> None:
    with open_ledger(backend.url) as one, open_ledger(backend.url.replace("127.0.0.1", "localhost")) as other:
        assert one.transactions.opened.beside == other.transactions.opened.beside


async def test_text_that_postgresql_cannot_hold_is_kept_as_far_as_it_goes(ledger: Any) -> None:
    attempt_id = await ledger.buy()
    await ledger.finish(attempt_id, error="a\0b")
    assert (await ledger.find()).error == "a\N{SYMBOL FOR NULL}b"


def test_a_password_is_shown_nowhere(backend: Postgres, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        closed_port = listener.getsockname()[1]
    urls = [
        f"postgresql://me:{SECRET}@127.0.0.1:{closed_port}/ledger",
        f"postgresql://me@127.0.0.1:{closed_port}/ledger?password={SECRET}",
        f"postgresql://me:{SECRET}@127.0.0.1:{closed_port}/ledger?no_such_option=1",
        f"postgresql://me:{SECRET}@[half/ledger",
        f"postgres://me:{SECRET}%@127.0.0.1/ledger",
    ]
    for url in urls:
        with pytest.raises((LedgerUnusableError, SettingsError)) as raised:
            open_ledger(url)
        assert SECRET not in str(raised.value)
        assert SECRET not in repr(raised.value)
        assert raised.value.__cause__ is None
    assert find_database(urls[1]).said(ValueError(f"no {SECRET}")).startswith('PostgreSQL says "no ***"')
    assert ledger_name(urls[0]) == f"postgresql://me@127.0.0.1:{closed_port}/ledger"
    assert SECRET not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:{0}/x@127.0.0.1:5432/ledger",
        "postgresql://me:1/{0}@127.0.0.1:5432/ledger",
        "postgresql://me:x@{0}@127.0.0.1:5432/ledger",
        "postgresql://me:x/@{0}@127.0.0.1:5432/ledger",
        "postgresql://me:{0}%zz/x@127.0.0.1:5432/ledger",
        "postgresql://127.0.0.1:5432/ledger?user=me&password=x&{0}=1",
        "postgresql://me:x@127.0.0.1:{0}/ledger",
    ],
)
def test_a_piece_of_a_password_is_taken_for_nothing_else(backend: Postgres, url: str) -> None:
    with pytest.raises(SettingsError, match=r"cannot be read.*special characters as %XX") as raised:
        open_ledger(url.format(SECRET))
    assert SECRET not in str(raised.value)


def test_a_server_that_does_not_answer_is_named_with_what_to_do(backend: Postgres) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        closed_port = listener.getsockname()[1]
    with pytest.raises(LedgerUnusableError, match=rf":{closed_port}/x: PostgreSQL says .*look if the server runs"):
        open_ledger(f"postgresql://me@127.0.0.1:{closed_port}/x")


def test_a_look_at_a_server_that_is_away_says_so(backend: Postgres) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        closed_port = listener.getsockname()[1]
    url = re.sub(r"@[^/]+/", f"@127.0.0.1:{closed_port}/", backend.url)
    with pytest.raises(LedgerAwayError, match=r"look if the server runs.*Nothing was bought"):
        look_into(url).__enter__()


def test_a_missing_schema_is_refused_and_leaves_no_session(backend: Postgres) -> None:
    url = re.sub(r"search_path%3D.*", f"search_path%3Dnowhere&application_name=nowhere-{os.getpid()}", backend.url)
    with pytest.raises(SettingsError, match=r"its search_path names no schema that exists; make one"):
        open_ledger(url)
    left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = ?"
    ends = time.monotonic() + 10
    while backend.rows(left, f"nowhere-{os.getpid()}") != [(0,)]:
        assert time.monotonic() < ends
        time.sleep(0.05)


async def test_a_ledger_on_a_server_can_be_verified(ledger: Any) -> None:
    await ledger.buy()
    await ledger.opened.require_sound()
    assert verify_ledger(ledger.url).newest == {"submitted": 1}


def test_a_database_that_does_not_exist_is_named_with_what_to_do(backend: Postgres) -> None:
    url = re.sub(r"/test\?.*", "/no_such_database", backend.url)
    with pytest.raises(LedgerUnusableError, match="make the database with createdb"):
        open_ledger(url)


class _Said:
    """Connection with the one attribute that the check reads."""

    class info:  # noqa: N801 - psycopg's name
        backend_pid = 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({0: 2}, "pooler such as PgBouncer"),
        ({1: 120_004}, "it is PostgreSQL 12; allowed: 13 or newer"),
        ({2: "SQL_ASCII"}, "encoding SQL_ASCII; allowed: UTF8"),
        ({3: "off"}, "fsync is off"),
        ({4: "off"}, "full_page_writes is off"),
        ({5: True}, "standby"),
        ({6: None}, "search_path"),
        ({7: "theirs"}, "finds a table meta in schema theirs, and makes new ones in"),
    ],
)
def test_a_server_that_cannot_hold_a_ledger_is_refused(backend: Postgres, changes: dict[int, Any], said: str) -> None:
    fit: list[Any] = [1, 150_020, "UTF8", "on", "on", False, "public", "public"]
    PostgresServer(backend.url)._require_fit(_Said, tuple(fit))  # type: ignore[arg-type]
    row = tuple(changes.get(at, each) for at, each in enumerate(fit))
    with pytest.raises(SettingsError, match=said):
        PostgresServer(backend.url)._require_fit(_Said, row)  # type: ignore[arg-type]


def test_commits_are_durable_whatever_the_servers_default_is(backend: Postgres) -> None:
    assert server_of_tests()
    server = PostgresServer(f"{backend.url}%20-c%20synchronous_commit%3Doff")
    with server.connect() as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)


def test_both_ends_look_for_a_host_that_has_vanished(backend: Postgres) -> None:
    with PostgresServer(backend.url).connect() as connection:
        line = socket.socket(fileno=os.dup(connection.fileno()))
        kept = [
            line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0,
            *(
                line.getsockopt(socket.IPPROTO_TCP, each)
                for each in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            ),
        ]
        line.close()
        names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")
        asked = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in names]
        idle = connection.execute("SHOW idle_in_transaction_session_timeout").fetchone()
    assert kept == [True, 10, 5, 3]
    assert asked == [("10",), ("5",), ("3",)]
    assert idle == (f"{IDLE_S}s",)
