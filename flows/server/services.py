"""`python -m flows.server.services`: Prefect's background services, begun anew when one of them has ended.

They are those of `prefect server services start`, among them the automations that start dead runs again. Prefect does
not notice a service that fails when it begins, as those that read the database do while it is being restarted: the
process stays, and runs that die wait for ever. Here all of them begin anew after a moment, in the same process.
"""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from typing import Any

from flows.terminal import complain

AGAIN_AFTER_S = 5.0


async def run_until_one_ends(stack: AsyncExitStack) -> str:
    """Run all services that are enabled until one of them ends, and return which, and why; the others go on."""
    from docket import Docket  # noqa: PLC0415 - with the next ones, Prefect's server, which takes seconds
    from prefect.server.api.background_workers import background_worker  # noqa: PLC0415
    from prefect.server.services.base import Service  # noqa: PLC0415
    from prefect.settings import get_current_settings  # noqa: PLC0415

    tasks = dict[asyncio.Task[Any], str]()
    try:
        docket = await stack.enter_async_context(Docket(name="prefect", url=get_current_settings().server.docket.url))
        await stack.enter_async_context(background_worker(docket, ephemeral=False, webserver_only=False))
    except Exception as error:  # noqa: BLE001 - whatever the database, Redis or their clients raise
        return f"those that are scheduled did not begin ({type(error).__name__})"
    tasks |= {task: "Docket" for task in asyncio.all_tasks() if "Worker.run_forever" in repr(task.get_coro())}
    tasks |= {asyncio.create_task(each().start()): each.__name__ for each in Service.enabled_services()}
    ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    problem = None if (first := ended.pop()).cancelled() else first.exception()
    return f"{tasks[first]} ended" + (f" ({type(problem).__name__})" if problem else "")


async def _run() -> None:
    stack = AsyncExitStack()  # never left: what has lost its database need not end well, and ends with the process
    ended = await run_until_one_ends(stack)
    complain(f"Prefect's services: {ended}; all of them begin anew in {AGAIN_AFTER_S:.0f} s")
    await asyncio.sleep(AGAIN_AFTER_S)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very command


def main() -> int:
    """Run services until Ctrl-C or SIGTERM; the exit code."""
    try:
        asyncio.run(_run())
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
