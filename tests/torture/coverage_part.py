"""Branch coverage of what decides about money: 100 %, by the pure and the ledger's tests alone."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from torture.modules import ROOT, find_modules, find_test
from torture.part import Part

MEASURED = find_modules("states", "evidence", "recovery", "outcomes", "ledger")
TESTS = (
    *("test_states", "test_evidence", "test_recovery", "test_throttle"),
    *("animatic/ledger", "test_outcomes", "test_client"),
)


def run() -> Part:
    """Run those tests under coverage and read what it says."""
    began = time.monotonic()
    part = Part("branch coverage of the money rules")
    with tempfile.TemporaryDirectory(prefix="animatic-coverage-") as name:
        environment = os.environ | {"COVERAGE_FILE": f"{name}/data"}
        tests = [find_test(each) for each in TESTS]
        measure = ["run", "--branch", "--source=animatic", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
        done = _coverage(measure, environment)
        if done.returncode:
            part.problems.append(done.stdout[-800:])
        _coverage(
            ["json", "-o", f"{name}/found.json", f"--include={','.join(map(str, sorted(MEASURED)))}"], environment
        )
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
