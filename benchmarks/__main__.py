"""`python -m benchmarks [PART…]`: measure, and write benchmarks/performance.json and docs/performance.md.

With other sizes than a part's own (`--takes 500 --only limit,animatic`) it prints, and writes nothing.
"""

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.contest import Studio
from benchmarks.page import write_hosts_page, write_page, write_quality_page
from benchmarks.server import ROOT
from benchmarks.sizes import Result, Sizes, say

QUICK = ("sandbox", "cpu", "startup", "makespan", "looks", "places", "processes")
"""Parts that `make bench` runs, in about three quarters of an hour."""

LONG = (
    "cached",
    "models",
    "reel",
    "review",
    "archive",
    "ultra",
    "growth",
    "profile",
    "inbox",
    "media",
    "ledgers",
    "million",
)
OWN_PAGE = {
    "quality": ROOT / "benchmarks" / "quality.json",
    "hosts": ROOT / "benchmarks" / "hosts.json",
    "faults": ROOT / "benchmarks" / "hosts.json",
}
"""Parts whose figures stand in a file and on a page of their own; run by name."""

JSON = ROOT / "benchmarks" / "performance.json"


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add(
        "parts",
        nargs="*",
        help=f"{', '.join((*QUICK, *LONG, *OWN_PAGE))}; against; all; page: write the page only",
    )
    add("--code", type=Path, default=ROOT, help="the animatic to measure: a checkout, whose packages come first")
    add("--only", type=lambda text: tuple(text.split(",")), default=(), help="contenders, by commas")
    add("--takes", type=int)
    add("--in-flight", type=int)
    add("--median-s", type=float)
    add("--rounds", type=int)
    add("--rows", type=lambda text: tuple(map(int, text.split(","))), default=(), help="sizes, by commas")
    add("--against", type=Path, help="part `against`: the checkout to compare with")
    add("--dry", action="store_true", help="write nothing")
    add("--keep", type=Path, help="a folder to work in, which stays")
    told = parser.parse_args()
    sizes = Sizes(told.only, told.takes, told.in_flight, told.median_s, told.rounds, told.rows, told.against)
    parts = [*QUICK, *LONG] if told.parts == ["all"] else told.parts or list(QUICK)
    with tempfile.TemporaryDirectory(prefix="animatic-bench-") as name:
        studio = Studio(told.keep or Path(name), told.code.resolve())
        for part in (each for each in parts if each != "page"):
            began = time.monotonic()
            say(f"== {part}")
            found: Result = importlib.import_module(f"benchmarks.parts.{part}").run(studio, sizes)
            found |= {"seconds": round(time.monotonic() - began), "measured": circumstances(studio.code)}
            say(f"== {part}: {found['seconds']} s")
            if told.dry or sizes.are_changed:
                continue
            keep(part, found, OWN_PAGE.get(part, JSON))
    if not told.dry and not sizes.are_changed:
        if {"quality", "page"} & {*parts}:
            write_quality_page(json.loads(OWN_PAGE["quality"].read_text()))
        if {"hosts", "faults", "page"} & {*parts}:
            write_hosts_page(json.loads(OWN_PAGE["hosts"].read_text()))
        if {*parts} <= {*OWN_PAGE}:
            return 0
        write_page(json.loads(JSON.read_text()))
    return 0


def keep(part: str, found: Result, place: Path = JSON) -> None:
    """Merge one part into its JSON."""
    known = json.loads(place.read_text()) if place.exists() else {}
    place.write_text(json.dumps(known | {part: found}, indent=1) + "\n")


def circumstances(code: Path) -> Result:
    """Return place, time and versions of a measurement."""
    head = ["git", "-C", str(code), "rev-parse", "--short", "HEAD"]
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": subprocess.run(head, capture_output=True, text=True, check=False).stdout.strip(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("prefect", "aiohttp", "httpx", "wavespeed", "pyarrow")},
    }


if __name__ == "__main__":
    sys.exit(main())
