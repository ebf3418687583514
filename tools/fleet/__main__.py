"""Start a fleet and stay until Ctrl-C, end one, or check one: `python -m tools.fleet up [--detach]`, `down`, `check`.

PostgreSQL, Redis, Prefect's API and its services, the sandbox, two workers and one for media, each a process of its
own, all on 127.0.0.1 and all with passwords. What they keep stays in build/fleet until you remove it.
"""

import signal
import sys
import time

from tools.fleet import parts, processes
from tools.fleet.check import check
from tools.fleet.folder import FOLDER, Fleet, load_fleet, with_free_ports
from tools.fleet.machine import require_programs

POOLS = {parts.POOL: parts.WORKERS, parts.MEDIA_POOL: parts.MEDIA_WORKERS}


def up(*, detach: bool) -> int:
    """Start what does not run, say where it is, and stay until Ctrl-C or SIGTERM; the exit code."""
    require_programs()
    fleet = load_fleet()
    if processes.kept() and not processes.dead_parts():
        print(f"the fleet is up already; it ends with: make fleet-down\n{_where(fleet)}")
        return 0
    began = time.monotonic()
    try:
        if dead := processes.dead_parts():
            print(f"{', '.join(dead)} ended by itself; the whole fleet is started anew", flush=True)
        _end()  # parts of a fleet that is half up
        fleet = with_free_ports(fleet)
        _start_all(fleet)
    except (parts.NotReadyError, KeyboardInterrupt) as error:
        _end()
        print(f"make fleet: {error}", file=sys.stderr)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    print(f"up in {time.monotonic() - began:.0f} s\n{_where(fleet)}", flush=True)
    return 0 if detach else _stay()


def _start_all(fleet: Fleet) -> None:
    parts.start_postgres(fleet)
    parts.start_redis(fleet)
    parts.start_prefect(fleet)
    if not parts.is_real():
        parts.start_sandbox(fleet)
    parts.start_workers(fleet, POOLS)


def _stay() -> int:
    """Stay until interrupted, or until another terminal ended the fleet."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print("Ctrl-C ends it, and so does make fleet-down in another terminal", flush=True)
    named: set[str] = set()
    try:
        while processes.kept():
            time.sleep(1)
            for name in processes.dead_parts():
                if name not in named and processes.kept():
                    named.add(name)
                    print(f"{name} ended by itself; its log: {FOLDER}/logs/{name}.log", flush=True)
    except KeyboardInterrupt:
        _end()
    return 0


def down() -> int:
    """End every part that runs; 0."""
    if not _end():
        print("the fleet is not up", flush=True)
    return 0


def _end() -> bool:
    """End every part that runs; tell if there was one."""
    if not processes.kept():
        return False
    killed = processes.stop_all()
    print("ended" + (f"; killed: {', '.join(killed)}" if killed else ""), flush=True)
    return True


def _where(fleet: Fleet) -> str:
    ui = fleet.api.removesuffix("/api")
    return (
        f"Prefect's UI: {ui} (user animatic; the password is in {FOLDER}/env)\n"
        f"in another terminal:\n    . {parts.write_environment(fleet)}"
    )


if __name__ == "__main__":
    deed, *options = sys.argv[1:]
    deeds = {"up": lambda: up(detach="--detach" in options), "down": down, "check": check}
    sys.exit(deeds[deed]())
