"""Prefect's server in a process of ours: `python -m flows.prefect_server FD` serves the listening socket FD.

Ends when its stdin does. Services that a single run does not need are off: nothing is scheduled, cleaned or triggered.
"""

import asyncio
import fcntl
import os
import signal
import socket
import sys
import threading

_SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",  # whole seconds: 0.5 would be 0, a busy loop
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
}


def main() -> None:
    """Serve until stdin ends, SIGTERM or SIGINT."""
    os.umask(0o077)  # Prefect's database holds what we tell it, and the Secret block with the key, if there is one
    listening = socket.socket(fileno=int(sys.argv[1]))
    os.environ.pop("PREFECT_API_URL", None)
    os.environ.update({name: value for name, value in _SETTINGS.items() if name not in os.environ})
    threading.Thread(target=_end_with_stdin, daemon=True).start()

    import uvicorn  # noqa: PLC0415 - after the settings above
    from prefect.server.api.server import create_app  # noqa: PLC0415 - reads the settings above when imported
    from prefect.settings import get_current_settings  # noqa: PLC0415 - the same

    home = get_current_settings().home
    home.mkdir(parents=True, exist_ok=True)

    class OneMigrationAtATime(uvicorn.Server):
        """Two servers that start at once on a new Prefect home would migrate the same database together."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            with (home / "animatic-starting.lock").open("w") as lock:
                await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
                await super().startup(sockets)

    config = uvicorn.Config(create_app(final=True), log_level="warning", timeout_graceful_shutdown=5)
    OneMigrationAtATime(config).run(sockets=[listening])


def _end_with_stdin() -> None:
    """Whoever started us holds the other end of stdin; when it is closed, nobody needs us."""
    while os.read(0, 4_096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
