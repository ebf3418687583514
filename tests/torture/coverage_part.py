"""Branch coverage of what decides about money: 100 %, by the pure and the ledger's tests alone."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from torture.part import Part

ROOT = Path(__file__).parents[2]
MEASURED = (
    "animatic/takes.py",
    "animatic/evidence.py",
    "animatic/recovery.py",
    "animatic/wavespeed/endings.py",
    "animatic/ledger/*",
)
TESTS = (
    "test_takes.py",
    "test_evidence.py",
    "test_recovery.py",
    "test_gate.py",
    "ledger",
    "wavespeed/test_endings.py",
    "wavespeed/test_client.py",
)


def run() -> Part:
    """Run those tests under coverage and read what it says."""
    began = time.monotonic()
    part = Part("branch coverage of the money rules")
    with tempfile.TemporaryDirectory(prefix="animatic-coverage-") as name:
        environment = os.environ | {"COVERAGE_FILE": f"{name}/data"}
        tests = [f"tests/animatic/{each}" for each in TESTS]
        measure = ["run", "--branch", "--source=animatic", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
        done = _coverage(measure, environment)
        if done.returncode:
            part.problems.append(done.stdout[-800:])
        _coverage(["json", "-o", f"{name}/found.json", f"--include={','.join(MEASURED)}"], environment)
        found = json.loads(Path(name, "found.json").read_text())
    for file, each in sorted(found["files"].items()):
        part.points += each["summary"]["num_branches"]
        part.faults_fired += each["summary"]["covered_branches"]
        if each["summary"]["percent_covered"] < 100:
            part.problems.append(
                f"{file}: lines {each['missing_lines']}, branches {each['missing_branches']} not reached"
            )
    part.details = {"percent": round(found["totals"]["percent_covered"], 2), "files": len(found["files"])}
    part.seconds = time.monotonic() - began
    return part


def _coverage(arguments: list[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "coverage", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    print(run())
