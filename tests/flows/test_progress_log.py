"""Lines in Prefect's log while a run of many takes is at work."""

import asyncio

from torture.virtual import played

from animatic.pace.limits import Limits
from animatic.progress import Progress
from animatic.takes.money.budgets import Reserved
from flows.progress_log import progress_logged


def test_the_log_says_counts_money_and_pace_now_and_then() -> None:
    progress = Progress(total=600, reserved=Reserved(300_000_000, 0), limits=Limits(60, 100))
    lines: list[str] = []

    async def scene() -> None:
        async with progress_logged(progress, lines.append, every_s=60.0):
            await asyncio.sleep(200.0)

    played(scene())
    assert len(lines) == 3
    assert lines[0].startswith("0/600 done")
    assert "$300.00" in lines[0]
    assert "600 waiting" in lines[0]


def test_a_run_that_is_being_planned_logs_nothing() -> None:
    lines: list[str] = []

    async def scene() -> None:
        async with progress_logged(Progress(), lines.append, every_s=60.0):
            await asyncio.sleep(130.0)

    played(scene())
    assert lines == []
