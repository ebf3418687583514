"""Metrics of a run on a port, where one is set. They never hold up a run, fail it, or outlive it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from time import monotonic
from typing import TYPE_CHECKING

from animatic.errors import AnimaticError
from animatic.ledger import Ledger
from flows.session import Session

if TYPE_CHECKING:
    from animatic.pace.meters import Meters

BEATS_EVERY_S = 1.0
ASKS_LEDGER_EVERY_S = 15.0


@asynccontextmanager
async def metered(session: Session, ledger: Ledger) -> AsyncGenerator[None]:
    """Serve `/metrics` and `/healthz` of a run for the length of the block; why that cannot be is in its progress."""
    ports, progress = session.settings.metrics_ports, session.progress
    if not ports:
        yield
        return
    from flows.server.metrics.endpoint import served  # noqa: PLC0415 - only a run with a port waits for the import
    from flows.server.metrics.families import RunInfo  # noqa: PLC0415 - the same
    from flows.server.metrics.pages import RunPages  # noqa: PLC0415 - the same

    facts = RunInfo(session.run_id, version("animatic"))
    async with contextlib.AsyncExitStack() as stack:
        try:
            stack.enter_context(served(RunPages(progress, facts), session.settings.metrics_host, ports))
        except OSError as error:
            progress.metrics_problem = problem_of(session.settings.metrics_host, ports, error)
        else:
            await stack.enter_async_context(_beating(progress.meters, ledger))
        yield


def problem_of(host: str, ports: "range", error: OSError) -> str:
    """Return why a run has no metrics, for people."""
    where = f"{host}:{ports[0]}" + (f"-{ports[-1]}" if len(ports) > 1 else "")
    return (
        f"metrics: {where} cannot be listened on ({error.strerror}); this run goes on without them. Give "
        "ANIMATIC_METRICS_PORT a free port, or a range such as 9464-9473, of which each run takes the first free one"
    )


@asynccontextmanager
async def _beating(meters: "Meters", ledger: Ledger) -> AsyncGenerator[None]:
    """Note for the length of the block that the event loop turns and that the ledger answers."""
    meters.looped_at = meters.ledger_at = monotonic()
    ledger.report_transactions(lambda seconds, is_done: meters.committed(seconds, monotonic(), is_done=is_done))
    tasks = [asyncio.create_task(_beat(meters)), asyncio.create_task(_ask(ledger))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _beat(meters: "Meters") -> None:
    while True:
        due = monotonic() + BEATS_EVERY_S
        await asyncio.sleep(BEATS_EVERY_S)
        meters.looped(due, monotonic())


async def _ask(ledger: Ledger) -> None:
    """Ask the ledger now and then, so that it is known to answer while a run has nothing to write."""
    while True:
        await asyncio.sleep(ASKS_LEDGER_EVERY_S)
        with contextlib.suppress(AnimaticError):  # the meters know
            await ledger.answer()
