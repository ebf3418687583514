"""Lines in Prefect's log of a run while its takes are made: counts, money, and what paces it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from animatic.progress import Progress
from flows.progress_words import Observer, line

EVERY_S = 60.0
THINS_OUT = 12
"""A line comes when another twelfth of the time so far has passed: the log of a night has some hundred."""


@asynccontextmanager
async def progress_logged(
    progress: Progress, log: Callable[[str], None], every_s: float = EVERY_S
) -> AsyncGenerator[None]:
    """Log the progress now and then for the length of the block."""
    logging = asyncio.create_task(_log(progress, log, every_s))
    try:
        yield
    finally:
        logging.cancel()
        await asyncio.wait([logging])


async def _log(progress: Progress, log: Callable[[str], None], every_s: float) -> None:
    observer, began = Observer(progress), time.monotonic()
    while True:
        await asyncio.sleep(max(every_s, (time.monotonic() - began) / THINS_OUT))
        if progress.total:
            log(line(progress, observer.look()))
