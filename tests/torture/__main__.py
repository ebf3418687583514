"""`python -m torture`: the whole proof, or one part of it. Prints a table, writes reliability.json, ends with 1 if red.

Each part is a process of its own. The fault matrix, which has deadlines, has only small parts beside it.
"""

import argparse
import json
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torture import ledgers
from torture.modules import ROOT
from torture.part import COUNTED, Part, as_table


def _lines(factor: int, seed: int) -> Part:
    from torture import lines

    return lines.run(seed, more=0 if factor == 1 else 2_000)


def _simulation(factor: int, seed: int) -> Part:
    from torture import world

    return world.run(range(seed * 1_000_000, seed * 1_000_000 + 2_000 * factor))


def _power(factor: int, seed: int) -> Part:
    from torture import power

    return power.run(500 * factor, seed)


def _syscalls(factor: int, seed: int) -> Part:
    from torture import syscalls

    return syscalls.run(32 if factor == 1 else 10_000, seed)


def _matrix(_factor: int, _seed: int) -> Part:
    from torture import matrix

    return matrix.run()


def _machine(factor: int, _seed: int) -> Part:
    from torture import machine

    return machine.run(60 * factor, 15)


def _replies(factor: int, seed: int) -> Part:
    from torture import replies

    return replies.run(5_000 * factor, seed)


def _urls(_factor: int, _seed: int) -> Part:
    from torture import urls

    return urls.run()


def _coverage(_factor: int, _seed: int) -> Part:
    from torture import coverage_part

    return coverage_part.run()


def _runs(factor: int, seed: int) -> Part:
    from torture import runs

    return runs.run(20 * min(factor, 10), seed)


def _chains(factor: int, seed: int) -> Part:
    from torture import chains

    return chains.run(12 * min(factor, 3), seed, 6 if factor == 1 else 200)


def _archiving(factor: int, seed: int) -> Part:
    from torture import archiving

    return archiving.run(seed, 120 if factor == 1 else None)


def _plants(_factor: int, _seed: int) -> Part:
    from torture import plants

    return plants.run()


def _cuts(factor: int, seed: int) -> Part:
    from torture import server_faults

    return server_faults.cut(200 * factor, seed)


def _crashes(factor: int, seed: int) -> Part:
    from torture import server_faults

    return server_faults.crash(40 * factor, seed)


PARTS: dict[str, Callable[[int, int], Part]] = {
    "matrix": _matrix,
    "urls": _urls,
    "replies": _replies,
    "machine": _machine,
    "coverage": _coverage,
    "lines": _lines,
    "simulation": _simulation,
    "power": _power,
    "syscalls": _syscalls,
    "runs": _runs,
    "chains": _chains,
    "archiving": _archiving,
    "plants": _plants,
    "cuts": _cuts,
    "crashes": _crashes,
}
PHASES: dict[str, tuple[tuple[int, tuple[str, ...]], ...]] = {
    "sqlite": (
        (2, ("matrix", "machine", "replies", "urls")),
        (2, ("lines", "plants", "coverage", "simulation", "chains", "power", "archiving", "runs", "syscalls")),
    ),
    "postgresql": (
        (2, ("matrix", "machine")),
        (3, ("plants", "lines", "simulation", "crashes", "cuts", "chains", "archiving", "runs", "syscalls")),
    ),
}
"""Phases: in each of them so many parts at a time, the longest first. A server is waited for, so there are more of them.

On PostgreSQL, cuts and crashes take the place of power loss; what asks no ledger, or both, is not done again.
"""


def run_part(name: str, options: argparse.Namespace) -> Part:
    """A part in a process of its own."""
    command = [sys.executable, "-m", "torture", "--only", name, "--ledger", options.ledger]
    command += ["--factor", str(options.factor), "--seed", str(options.seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        part = Part(**json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        part = Part(name, problems=[f"the part itself died: {done.stderr[-600:]}"])
    sys.stderr.write(f"{'ok ' if part.is_green else 'RED'} {part.seconds:6.1f} s  {part.name}\n")
    sys.stderr.writelines(f"    {problem[:300]}\n" for problem in part.problems[:10])
    return part


def main() -> int:
    """Everything; the exit code."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended on the way
    with ledgers.kept_on(options.ledger):
        return _one_part(options) if options.only else _all_parts(options)


def _one_part(options: argparse.Namespace) -> int:
    part = PARTS[options.only](options.factor, options.seed)
    sys.stdout.write(json.dumps(asdict(part), default=str) + "\n")
    if options.merge:
        write(options, merged(report_in(options), part))
    return 0 if part.is_green else 1


def _all_parts(options: argparse.Namespace) -> int:
    began, parts = time.monotonic(), dict[str, Part]()
    for at_once, names in PHASES[options.ledger]:
        with ThreadPoolExecutor(at_once) as pool:
            parts |= zip(names, pool.map(lambda name: run_part(name, options), names), strict=True)
    ordered = [parts[name] for name in PARTS if name in parts]
    report = as_report(ordered, options.factor, options.seed, time.monotonic() - began)
    write(options, report)
    sys.stdout.write(as_table(ordered) + "\n")
    for problem in (problem for part in ordered for problem in part.problems):
        sys.stdout.write(f"RED: {problem}\n")
    sys.stdout.write(f"{report['seconds']} s; {options.report} has the details\n")
    return 0 if all(part.is_green for part in ordered) else 1


def report_in(options: argparse.Namespace) -> dict[str, Any]:
    """Return what reliability.json says of a backend."""
    whole = json.loads(options.report.read_text())
    return whole if options.ledger == "sqlite" else whole.get(options.ledger) or as_report([], 1, options.seed, 0.0)


def write(options: argparse.Namespace, report: dict[str, Any]) -> None:
    """Put a backend's report into reliability.json: PostgreSQL's under a key of its own."""
    whole = json.loads(options.report.read_text()) if options.report.exists() else {}
    if options.ledger == "sqlite":
        whole = report | {name: whole[name] for name in ledgers.BACKENDS if name in whole}
    else:
        whole[options.ledger] = report
    options.report.write_text(json.dumps(whole, indent=2) + "\n")


def as_report(parts: list[Part], factor: int, seed: int, seconds: float) -> dict[str, Any]:
    """Contents of reliability.json, of one backend."""
    return {
        "commit": head(),
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "factor": factor,
        "seed": seed,
        "seconds": round(seconds),
        "is_green": all(part.is_green for part in parts),
        "totals": {name: sum(getattr(part, name) for part in parts) for name in (*COUNTED, "searched_bytes")},
        "parts": [as_entry(part) for part in parts],
    }


def as_entry(part: Part) -> dict[str, Any]:
    """Entry of reliability.json for one part, with the commit at which it was run."""
    return asdict(part) | {"seconds": round(part.seconds, 1), "is_green": part.is_green, "commit": head()}


def merged(report: dict[str, Any], part: Part) -> dict[str, Any]:
    """A report in which one part was run again, or for the first time."""
    known = {each["name"]: each for each in report["parts"]}
    report["parts"] = list({**known, part.name: as_entry(part)}.values())
    report["is_green"] = all(each["is_green"] for each in report["parts"])
    report["totals"] = {name: sum(each[name] for each in report["parts"]) for name in report["totals"]}
    return report


def head() -> str:
    """The commit of this checkout."""
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--ledger", choices=ledgers.BACKENDS, default="sqlite", help="where the ledger lies")
    parser.add_argument("--merge", action="store_true", help="put the part that --only runs into the report")
    parser.add_argument("--factor", type=int, default=1, help="how many times as much; the long form takes 20")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, default=ROOT / "reliability.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
