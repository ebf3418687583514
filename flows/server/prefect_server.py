"""Prefect's server in a process of ours: `python -m flows.server.prefect_server FD` serves the listening socket FD.

Ends when its stdin does. What a single run does not need is off: nothing is scheduled, cleaned, triggered or shown.
A run waits for this process before it can begin, so nothing here happens before it must.
"""

import asyncio
import fcntl
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING

from flows.server.gc_pause import gc_paused
from flows.server.sign_in import HEADERS, PAGE, SIGN_IN_PATH

if TYPE_CHECKING:
    from fastapi import FastAPI

_SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PYDANTIC_DISABLE_PLUGINS": "__all__",  # looked for in the metadata of everything that is installed
    "PY_KEY_VALUE_DISABLE_BEARTYPE": "true",  # it would check types at run time, and wrap every later import
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_ENABLED": "false",
    # What becomes of task runs is read from events by the recorder below; to keep the events too, for the page of them
    # in Prefect's UI, is two fifths of what a task run costs the server.
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",  # whole seconds: 0.5 would be 0, a busy loop
    # The types of blocks are registered by the next server that lasts, or with the first block that is saved. Without
    # the second setting, this server would note in the Prefect home that they are registered.
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
    "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
    "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "false",  # as by default; the client relies on it
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
}


def main() -> None:
    """Serve until stdin ends, SIGTERM or SIGINT."""
    os.umask(0o077)  # Prefect's database holds what we tell it, and the Secret block with the key, if there is one
    listening = socket.socket(fileno=int(sys.argv[1]))
    os.environ.pop("PREFECT_API_URL", None)
    os.environ.update({name: value for name, value in _SETTINGS.items() if name not in os.environ})
    threading.Thread(target=_end_with_stdin, daemon=True).start()

    with gc_paused():
        import uvicorn  # noqa: PLC0415 - after the settings above
        from prefect.server.api.server import create_app  # noqa: PLC0415 - reads the settings above when imported
        from prefect.settings import get_current_settings  # noqa: PLC0415 - the same

        app = create_app()
        if get_current_settings().server.ui.enabled:
            _add_sign_in(app)

    home = get_current_settings().home
    home.mkdir(parents=True, exist_ok=True)

    class OneMigrationAtATime(uvicorn.Server):
        """Two servers that start at once on a new Prefect home would migrate the same database together."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            with (home / "animatic-starting.lock").open("w") as lock:
                await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
                await super().startup(sockets)

    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5)
    OneMigrationAtATime(config).run(sockets=[listening])


def _add_sign_in(app: "FastAPI") -> None:
    """Add the page that signs a browser in, before Prefect's own, which take every path."""
    from starlette.responses import HTMLResponse  # noqa: PLC0415 - after the settings, as above
    from starlette.routing import Route  # noqa: PLC0415 - the same

    app.router.routes.insert(0, Route(SIGN_IN_PATH, lambda _: HTMLResponse(PAGE, headers=HEADERS)))


def _end_with_stdin() -> None:
    """End with our parent: it holds the other end of stdin, and closes it when it no longer needs us."""
    while os.read(0, 4_096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
