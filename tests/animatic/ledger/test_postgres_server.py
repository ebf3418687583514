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
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from servers import server_of_tests

from animatic.errors import LedgerRestoredError, LedgerUnusableError, SettingsError
from animatic.ledger import dead_runs, ledger_name, look_into, open_ledger
from animatic.ledger.location import note_intents
from animatic.ledger.opening import find_database, open_database
from animatic.ledger.postgres_server import IDLE_S, SEEN_DEAD_WITHIN_S, PostgresServer
from animatic.ledger.postgres_sessions import LOOKS_EVERY_S
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

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
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


async def test_what_was_under_way_on_a_line_that_is_cut_is_done_once(
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
    with open_ledger(backend.url) as other:
        async with (
            ledger.opened.run("run-a", "file:///a.csv") as first,
            other.run("run-b", "file:///b.csv") as second,
        ):
            a, b = first.account("sandbox", Limits(4, 4)), second.account("sandbox", Limits(4, 4))
            granted = [(await each.acquire_starts(4, []))[1] for each in (a, b, a, b)]
    assert sum(each.starts for each in granted) == 4
    assert 0 < granted[-1].wait_s <= HOLD_S
    (until,) = ledger.rows("SELECT min(until) FROM starts")[0]
    assert abs(until - time.time()) < 300


async def test_transactions_of_two_machines_take_turns(ledger: Any, backend: Postgres) -> None:
    def count_up(db: sa.Connection) -> int:
        number = int(db.execute(sa.text("SELECT value FROM meta WHERE name = 'counted'")).scalar_one())
        db.exec_driver_sql("SELECT pg_sleep(0.002)")
        db.execute(sa.text("UPDATE meta SET value = :next WHERE name = 'counted'"), {"next": str(number + 1)})
        return number

    ledger.write("INSERT INTO meta VALUES ('counted', '0')")
    with open_ledger(backend.url) as other:
        both = [each.transactions.do(0.0, count_up) for _ in range(40) for each in (ledger.opened, other)]
        assert sorted(await asyncio.gather(*both)) == list(range(80))


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
        nobody = listener.getsockname()[1]
    urls = [
        f"postgresql://me:{SECRET}@127.0.0.1:{nobody}/ledger",
        f"postgresql://me@127.0.0.1:{nobody}/ledger?password={SECRET}",
        f"postgresql://me:{SECRET}@127.0.0.1:{nobody}/ledger?no_such_option=1",
        f"postgresql://me:{SECRET}@[half/ledger",
        f"postgres://me:{SECRET}%@127.0.0.1/ledger",
    ]
    for url in urls:
        with pytest.raises((LedgerUnusableError, SettingsError)) as raised:
            open_ledger(url)
        assert SECRET not in str(raised.value)
        assert SECRET not in repr(raised.value)
        assert raised.value.__cause__ is None
    assert ledger_name(urls[0]) == f"postgresql://me@127.0.0.1:{nobody}/ledger"
    assert SECRET not in "".join(capsys.readouterr())


def test_a_server_that_does_not_answer_is_named_with_what_to_do(backend: Postgres) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        nobody = listener.getsockname()[1]
    with pytest.raises(LedgerUnusableError, match=rf":{nobody}/x: PostgreSQL says .*look if the server runs"):
        open_ledger(f"postgresql://me@127.0.0.1:{nobody}/x")


def test_a_database_that_does_not_exist_is_named_with_what_to_do(backend: Postgres) -> None:
    url = re.sub(r"/test\?.*", "/no_such_database", backend.url)
    with pytest.raises(LedgerUnusableError, match="make the database with createdb"):
        open_ledger(url)


class _Said:
    """What a connection says of itself."""

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
    ],
)
def test_a_server_that_cannot_hold_a_ledger_is_refused(backend: Postgres, changes: dict[int, Any], said: str) -> None:
    fit: list[Any] = [1, 150_020, "UTF8", "on", "on", False, "public"]
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
    assert SEEN_DEAD_WITHIN_S >= 10 + 5 * 3
    assert idle == (f"{IDLE_S}s",)
