"""Takes are fed in as there is room for them, and the loop around them reads no more than it needs."""

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

from sqlalchemy.event import listen

from animatic.buying.shoot import LEAST_AT_HAND
from animatic.pace.limits import Limits
from animatic.takes.shots import Take
from animatic.takes.states import BuyingPolicy


async def test_takes_that_last_hold_up_none_of_those_behind_them(studio: Any) -> None:
    """Batches of ten into ten places: the first take hangs, and the rest goes on around it."""
    await studio.open_sandbox(inference_s=0.05, scenario_of={1: "slow=600"})
    takes = studio.takes(*(f"push in {number}" for number in range(200)))
    run = await studio.begin(limits=Limits(100_000, 10), queued_ahead=0, take_deadline_s=600.0)
    batches = [takes[at : at + 10] for at in range(0, len(takes), 10)]
    most, tasks = 0, list[asyncio.Task[None]]()

    async def collect(batch: list[Take]) -> None:
        await run.see_through(batch)
        run.shoot.release(batch)

    for batch in batches:
        await run.shoot.admit(batch)
        most = max(most, len(run.shoot._at_hand))
        tasks.append(asyncio.create_task(collect(batch)))
    await asyncio.gather(*tasks[1:])
    assert not tasks[0].done()
    run.shoot.stop_signal.stop_all("the rest is done")
    await tasks[0]
    assert run.error is None
    states = await studio.states(takes)
    assert (states.pop("completed"), states.total()) == (199, 1)
    assert most <= 10 + LEAST_AT_HAND + 10
    assert not run.shoot._at_hand


async def test_a_run_that_stops_takes_up_what_is_left_without_waiting(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes(*(f"push in {number}" for number in range(200)))
    run = await studio.begin(limits=Limits(1_000, 1))
    await run.shoot.admit(takes)
    run.shoot.stop_signal.stop_all("interrupted")
    await asyncio.wait_for(run.shoot.admit(takes), 0.5)
    assert studio.accepted == []


async def test_nothing_in_the_loop_reads_a_whole_table(studio: Any) -> None:
    """Every statement that a run makes for its takes goes by an index, as SQLite itself says."""
    await studio.open_sandbox(scenario_of={2: "fails"})
    takes = studio.takes(*(f"push in {number}" for number in range(8)))
    run = await studio.begin(policy=BuyingPolicy(attempts=2), max_usd=100.0)
    asked: dict[str, Any] = {}
    listen(run.opened.transactions.engine, "before_cursor_execute", lambda *each: asked.setdefault(each[2], each[3]))
    await run.see_through(takes)
    assert (await studio.states(takes), len(studio.accepted)) == ({"completed": 8}, 9)  # one was bought again
    reading = {text: values for text, values in asked.items() if text.split()[0] in {"SELECT", "UPDATE", "DELETE"}}
    assert len(reading) > 8
    with closing(sqlite3.connect(studio.ledger)) as ledger:
        for text, values in reading.items():
            plan = [line for *_, line in ledger.execute(f"EXPLAIN QUERY PLAN {text}", values)]
            assert not [line for line in plan if line.startswith("SCAN") and "CONSTANT" not in line], (text, plan)
