"""A ledger on a real file, opened, and takes to buy."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from animatic.ledger import newest, open_ledger, operations
from animatic.ledger.records import Finish, Intent
from animatic.money.amounts import as_number, microusd
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


class Sqlite:
    """A ledger in SQLite: where it is, and a look at its rows from outside."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.sqlite"
        self.url = f"sqlite:///{self.path}"

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """Read through a connection of its own, as another process would."""
        with closing(sqlite3.connect(self.path)) as other:
            return other.execute(sql, values).fetchall()


BACKENDS = {"sqlite": Sqlite}
"""The databases that the whole suite runs on. A second one is a class like `Sqlite` and a line here."""


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Sqlite:
    return BACKENDS[request.param](tmp_path)


class Shorthand:
    """A ledger with short words for what tests do."""

    def __init__(self, backend: Sqlite) -> None:
        self.path, self.url, self.rows = backend.path, backend.url, backend.rows
        self.opened = open_ledger(self.url)

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
def ledger(backend: Sqlite) -> Iterator[Shorthand]:
    """An open ledger in which run-1 has begun."""
    ledger = Shorthand(backend)
    asyncio.run(ledger.begin())
    yield ledger
    ledger.opened.close()
