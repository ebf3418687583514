"""How long until the first take is bought, beside an empty Prefect flow: `python -m benchmarks.startup [ROUNDS]`.

`empty` is a flow with one print, run by Prefect in its ephemeral mode: from the start of its process to that print.
`animatic` is `animatic run` on a manifest of one row with an https still, against a sandbox that is up already: from
the start of its process to the moment at which the sandbox took the first submission. Both have their own home; `warm`
means that Prefect has migrated its database there before, `fresh` that there is none. Rounds are interleaved.
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from animatic.sandbox.witness import read_witness

ROUNDS = 5
WITHIN_S = 180.0
TARGET = 0.75
STILL = "https://stills.example/a.png"
EMPTY = """
from prefect import flow
import time

@flow
def empty():
    print(time.time(), flush=True)

empty()
"""


class _Place:
    """A folder with a home for each contender, and the sandbox that `animatic` buys from."""

    def __init__(self, folder: Path, url: str, witness: Path) -> None:
        self.folder = folder
        self._url = url
        self._witness = witness
        self._bought = 0
        (folder / "empty.py").write_text(EMPTY)

    def empty(self, home: Path) -> float:
        """Seconds from the start of the process to the first line of the flow."""
        patience = {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120"}  # 20 are too few on a busy machine
        began, told = self._run([sys.executable, str(self.folder / "empty.py")], home, patience)
        return float(told.split()[0]) - began

    def animatic(self, home: Path) -> float:
        """Seconds from the start of the process to the first submission that the sandbox took."""
        self._bought += 1
        manifest = self.folder / f"shots-{self._bought}.csv"
        manifest.write_text(f"shot_id,prompt,image\nS1,take {self._bought},{STILL}\n")
        command = [sys.executable, "-m", "flows.cli", "run", str(manifest), "--results", f"{manifest}.parquet"]
        account = {
            "WAVESPEED_API_KEY": "sandbox-key",
            "WAVESPEED_BASE_URL": self._url,
            "ANIMATIC_POLL_FLOOR_S": "0.2",
            "ANIMATIC_ACCOUNT_LEVEL": "ultra",  # rounds must not wait for one another at the pace of a small account
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        began, _ = self._run(command, home, account)
        accepted = read_witness(self._witness)[self._bought - 1]
        return datetime.fromisoformat(accepted.accepted_at).timestamp() - began

    def _run(self, command: list[str], home: Path, more: Mapping[str, str]) -> tuple[float, str]:
        """When it began, and what it printed."""
        home.mkdir(exist_ok=True)
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "DO_NOT_TRACK": "1"} | more
        began = time.time()
        ended = subprocess.run(
            command, env=environment, cwd=self.folder, capture_output=True, text=True, timeout=WITHIN_S, check=False
        )
        if ended.returncode:
            raise RuntimeError(f"{command[1:3]} ended with {ended.returncode}: {ended.stderr[-2_000:]}")
        return began, ended.stdout


@contextlib.contextmanager
def _place() -> Generator[_Place]:
    with TemporaryDirectory(prefix="animatic-startup-") as name:
        folder = Path(name)
        witness = folder / "sandbox"
        flags = ["--no-render", "--inference-s", "0.3", "--spread", "0", "--die-with-parent", "--folder", str(witness)]
        sandbox = subprocess.Popen(
            [sys.executable, "-m", "animatic.sandbox", *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with sandbox:
            assert sandbox.stdout is not None
            yield _Place(folder, json.loads(sandbox.stdout.readline())["url"], witness)
            sandbox.terminate()


def measure(rounds: int = ROUNDS) -> dict[str, Any]:
    """Medians of both contenders in seconds and their ratio, `warm` and `fresh`, and every round behind them."""
    seconds: dict[str, dict[str, list[float]]] = {kind: {"empty": [], "animatic": []} for kind in ("warm", "fresh")}
    with _place() as place:
        contenders: dict[str, Callable[[Path], float]] = {"empty": place.empty, "animatic": place.animatic}
        for name, run in contenders.items():
            run(place.folder / f"warm-{name}")  # which migrates, and warms the disk's cache
        for number in range(rounds):
            order = list(contenders.items())[:: 1 if number % 2 else -1]
            for name, run in order:
                seconds["warm"][name].append(run(place.folder / f"warm-{name}"))
            for name, run in order:
                home = place.folder / f"fresh-{name}"
                shutil.rmtree(home / ".prefect", ignore_errors=True)  # what else a user has at home stays
                seconds["fresh"][name].append(run(home))
    return {"rounds": rounds, "target": TARGET} | {kind: _summary(found) for kind, found in seconds.items()}


def _summary(seconds: Mapping[str, list[float]]) -> dict[str, Any]:
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    return {
        "empty_s": round(medians["empty"], 2),
        "animatic_s": round(medians["animatic"], 2),
        "ratio": round(medians["animatic"] / medians["empty"], 3),
        "empty_rounds_s": [round(each, 2) for each in seconds["empty"]],
        "animatic_rounds_s": [round(each, 2) for each in seconds["animatic"]],
    }


def table(measured: Mapping[str, Any]) -> str:
    """The figures in Markdown."""
    lines = [
        "| Prefect home | empty flow, s | first POST, s | ratio | target |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for kind in ("warm", "fresh"):
        found = measured[kind]
        lines.append(
            f"| {kind} | {found['empty_s']:.2f} | {found['animatic_s']:.2f} | {found['ratio']:.2f} "
            f"| {measured['target']:.2f} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure, and print the table and the rounds behind it."""
    measured = measure(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
    sys.stdout.write(f"{table(measured)}\n{json.dumps(measured)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
