"""The README's commands for a fleet, carried out: `make fleet-check`. They must end well, and use both workers."""

import subprocess
import sys
import time

from tools.fleet.folder import FOLDER, ROOT
from tools.fleet.parts import WORKERS

_ENDS_WITHIN_S = 600.0


def commands() -> str:
    """Return the README's block that begins with `make fleet`, without the line that starts one."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = next(each for each in text.split("```sh\n")[1:] if each.startswith("make fleet"))
    return block.split("```", maxsplit=1)[0].split("\n", maxsplit=1)[1]


def check() -> int:
    """Type the commands in this folder; 0 if each worker carried out a run, and both runs came to their end."""
    before = {worker: _ended_runs(worker) for worker in WORKERS}
    typed = subprocess.run(["sh", "-e", "-c", commands()], cwd=ROOT, timeout=_ENDS_WITHIN_S, check=False)
    until = time.monotonic() + _ENDS_WITHIN_S
    while typed.returncode == 0 and time.monotonic() < until:
        if all(_ended_runs(worker) > before[worker] for worker in WORKERS):
            print("each worker carried out a run")
            return 0
        time.sleep(1)
    print(f"make fleet-check: not both workers carried out a run; their logs are in {FOLDER}/logs", file=sys.stderr)
    return 1


def _ended_runs(worker: str) -> int:
    log = (FOLDER / f"logs/{worker}.log").read_text(encoding="utf-8", errors="replace")
    return sum("Flow run '" in line and "Finished in state Completed" in line for line in log.splitlines())
