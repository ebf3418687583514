"""Accounts on a real ledger, without a thread: each operation is a transaction at once, also in virtual time."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest
from wire import Wire

from animatic.ledger import Ledger
from animatic.ledger.account import Account
from animatic.ledger.liveness import alive
from animatic.ledger.opening import find_database, open_database
from animatic.ledger.transactions import Transactions
from animatic.pace.limits import Limits


class DirectTransactions(Transactions):
    """Transactions without their queue."""

    def __init__(self, path: Path) -> None:
        self._use(open_database(find_database(f"sqlite:///{path}")))

    async def do(self, within_s: float, operation: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        with self.engine.begin() as db:
            return operation(db, *arguments, **more)

    def close(self) -> None:
        self.engine.dispose()


def account_on(opened: Ledger, run_id: str, limits: Limits) -> Account:
    """Return the account as a run sees it."""
    return Account(opened.transactions, opened.live_among, "sandbox", run_id, limits)


def direct_ledger(path: Path) -> Ledger:
    """Open a ledger without a thread of its own."""
    return Ledger(DirectTransactions(path))


@pytest.fixture
def account_of(tmp_path: Path) -> Iterator[Callable[..., Account]]:
    """Makes the account of a live run, by default of another run each time; all are on one ledger."""
    with ExitStack() as stack:
        opened = direct_ledger(tmp_path / "ledger.sqlite")
        stack.callback(opened.close)
        names = iter(f"run-{number}" for number in range(1_000))

        def make(limits: Limits, *, is_alive: bool = True) -> Account:
            run_id = next(names)
            if is_alive:
                stack.enter_context(alive(tmp_path / "ledger.sqlite", run_id))
            return account_on(opened, run_id, limits)

        yield make


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with AsyncExitStack() as stack:
        yield Wire(stack)
