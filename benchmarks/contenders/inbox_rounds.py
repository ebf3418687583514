"""Play rounds of an inbox, one after another, in one process: `PREFIX ROUNDS`.

Prints `ready` first, and then the message of each.
"""

import asyncio
import os
import sys
from typing import Any

from flows.inbox import inbox
from flows.session import SESSION, Session
from flows.settings import Settings


async def main(prefix: str, rounds: int) -> None:
    """Play them."""
    print("ready", flush=True)
    for _ in range(rounds):
        SESSION.set(Session(Settings.from_environment()))
        playing: Any = inbox(
            prefix=prefix, max_usd=1_000, quiet_s=0.2, at_once=4, options={"archive": ""}, return_state=True
        )
        state = await playing
        print(f"{state.name}: {state.message}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
    sys.stdout.flush()
    os._exit(0)  # Prefect's workers of events and logs would hold it up
