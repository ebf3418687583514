"""A ledger on a real file, opened, and takes to buy."""

import asyncio
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.numeric import IntLoader
from servers import server_of_tests

from animatic.ledger import newest, open_ledger, operations
from animatic.ledger.opening import find_database
from animatic.ledger.records import Finish, Intent
from animatic.takes.money.amounts import as_number, microusd
from animatic.takes.states import Accepted, BuyingPolicy, State

INTENT = Intent(
    fingerprint="f" * 64,
    provider="sandbox",
    model="wavespeed-ai/veo2-i2v",
    latency_class="5s",
    request="{}",
    run_id="run-1",
    policy=BuyingPolicy(),
    uploads={},
    quoted_microusd=2_500_000,
    max_microusd=None,
    nonce="n1",
    window_from=datetime(2026, 3, 1, 12, tzinfo=UTC),
    window_to=datetime(2026, 3, 1, 12, 1, tzinfo=UTC),
)
FINISH = Finish(State.COMPLETED, "completed", ("https://cdn.example/1.mp4",), (False,), 4_000, None, None, None)

MOMENT = "%Y-%m-%d %H:%M:%S.%f"
"""SQLite's text of a moment."""


class Sqlite:
    """A ledger in SQLite: where it is, and a look at its rows from outside."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.sqlite"
        self.url = f"sqlite:///{self.path}"

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """Read through a connection of its own, as another process would."""
        with closing(sqlite3.connect(self.path)) as other:
            return other.execute(sql, values).fetchall()

    def write(self, sql: str, *values: Any) -> None:
        """Change rows behind the ledger's back."""
        with closing(sqlite3.connect(self.path)) as other, other:
            other.execute(sql, values)

    def end(self) -> None:
        """Leave the file to whoever removes the folder."""


class Postgres:
    """A ledger on PostgreSQL, in a schema of its own."""

    def __init__(self, folder: Path) -> None:
        self._server, self.schema = server_of_tests(), f"ledger_{secrets.token_hex(6)}"
        self._run(f"CREATE SCHEMA {self.schema}")
        self.url = f"{self._server}?options=-c%20search_path%3D{self.schema}"
        self.path = find_database(self.url).place

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """Read through a connection of its own, as another process would."""
        with psycopg.connect(self.url) as other:
            other.adapters.register_loader("numeric", IntLoader)
            found = other.execute(sql.replace("?", "%s"), values).fetchall()
        return [tuple(f"{each:{MOMENT}}" if isinstance(each, datetime) else each for each in row) for row in found]

    def write(self, sql: str, *values: Any) -> None:
        """Change rows behind the ledger's back."""
        with psycopg.connect(self.url) as other:
            other.execute(sql.replace("?", "%s"), values)

    def end(self) -> None:
        """Remove the schema."""
        self._run(f"DROP SCHEMA {self.schema} CASCADE")

    def _run(self, sql: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as db:
            db.execute(sql)


BACKENDS = {"sqlite": Sqlite, "postgresql": Postgres}
"""The databases that the whole suite runs on."""

ON_SQLITE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
ON_POSTGRESQL = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


@pytest.fixture(params=BACKENDS)
def backend(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sqlite | Postgres]:
    monkeypatch.setenv("ANIMATIC_HOME", str(tmp_path / "home"))
    made = BACKENDS[request.param](tmp_path)
    yield made
    made.end()


class Shorthand:
    """A ledger with short words for what tests do."""

    def __init__(self, backend: Sqlite | Postgres) -> None:
        self.url, self.rows, self.write = backend.url, backend.rows, backend.write
        self.opened, self.is_on_server = open_ledger(self.url), self.url.startswith("postgresql:")
        self.path = self.opened.transactions.opened.beside
        """Beside it are locks and receipts; where the ledger is a file, the file."""

    async def do(self, name: str, *arguments: Any) -> Any:
        return await self.opened.transactions.do(
            0.0, getattr(operations, name, None) or getattr(newest, name), *arguments
        )

    async def begin(self, run_id: str = "run-1") -> None:
        await self.do("begin_run", run_id, "shots.csv", "here", 1)

    def intent(self, fingerprint: str = "f" * 64, **changes: Any) -> Intent:
        for name, new in (("cost_usd", "quoted_microusd"), ("max_usd", "max_microusd")):
            if name in changes:
                amount = changes.pop(name)
                changes[new] = None if amount is None else microusd(amount)
        return replace(INTENT, fingerprint=fingerprint, **changes)

    async def intend(self, fingerprint: str = "f" * 64, **changes: Any) -> int:
        return (await self.do("intend", self.intent(fingerprint, **changes))).attempt_id

    async def accept(self, attempt_id: int, prediction_id: str, status: str | None = "created", **more: Any) -> bool:
        return await self.do("accept", attempt_id, Accepted(prediction_id, status, **more))

    async def buy(self, fingerprint: str = "f" * 64, **changes: Any) -> int:
        """An attempt that was accepted under the id `p-<fingerprint>-<attempt>`."""
        attempt_id = await self.intend(fingerprint, **changes)
        await self.accept(attempt_id, f"p-{fingerprint[:8]}-{attempt_id}")
        return attempt_id

    async def finish(self, attempt_id: int, polls: int = 1, **changes: Any) -> None:
        await self.do("finish", attempt_id, replace(FINISH, **changes), polls, "run-1")

    async def conclude(self, attempt_id: int, state: State, code: int | None = None, error: str = "no answer") -> None:
        await self.do("conclude", attempt_id, state, code, error, INTENT.window_to)

    async def find(self, fingerprint: str = "f" * 64, run_id: str = "run-1") -> Any:
        return (await self.do("look_up", [fingerprint], run_id)).get(fingerprint)

    async def committed_usd(self, run_id: str = "run-1") -> float | None:
        return as_number((await self.do("reserved_by", run_id)).cost_microusd)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(backend: Sqlite | Postgres) -> Iterator[Shorthand]:
    """An open ledger in which run-1 has begun."""
    ledger = Shorthand(backend)
    asyncio.run(ledger.begin())
    yield ledger
    ledger.opened.close()
