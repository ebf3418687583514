"""CPU of animatic by package and by function: the takes of the side-by-side contest under a profiler."""

import pstats
import re
import sys
from collections import Counter
from pathlib import Path

from benchmarks.contest import Studio, write_manifest
from benchmarks.parts.cpu import IN_FLIGHT, MEDIAN_S, TAKES
from benchmarks.process import measure
from benchmarks.server import Account, served
from benchmarks.sizes import Result, Sizes, say

FUNCTIONS = 30
_PACKAGE, _MODULE = re.compile(r"/site-packages/([^/]+)/"), re.compile(r"/lib/python3\.\d+/([^/.]+)")


def run(studio: Studio, sizes: Sizes) -> Result:
    """Milliseconds a take, start-up included; the profiler makes Python functions look dearer than they are."""
    takes = sizes.takes or TAKES
    account = Account(5_000, sizes.in_flight or IN_FLIGHT, sizes.median_s or MEDIAN_S)
    room = studio.room("profile")
    manifest = write_manifest(room / "shots.parquet", takes)
    with served(room / "sandbox", account) as server:
        command, env = studio.command("animatic", server, room, manifest)
        arguments = command[command.index("run") :]
        env |= {"PYTHONPATH": f"{env['PYTHONPATH']}:{Path(__file__).parents[2]}"}
        took = measure(
            [sys.executable, "-m", "benchmarks.profiled", str(room / "stats"), *arguments], env, room
        )  # fmt: skip
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = pstats.Stats(str(room / "stats")).stats  # type: ignore[attr-defined]
    packages: Counter[str] = Counter()
    functions: list[Result] = []
    for (path, line, name), (_, calls, own_s, whole_s, _) in stats.items():
        packages[_package(path, name)] += own_s
        where = f"{_package(path, name)}: {Path(path).name}:{line} {name}" if line else name
        functions.append({"what": where, "calls": calls, "own_s": own_s, "whole_s": whole_s})
    functions.sort(key=lambda each: -each["own_s"])
    for package, seconds in packages.most_common(20):
        say(f"{seconds / takes * 1_000:8.3f} ms a take  {package}")
    for each in functions[: FUNCTIONS * 2]:
        own_ms, whole_ms = each["own_s"] / takes * 1_000, each["whole_s"] / takes * 1_000
        say(f"{own_ms:8.3f} {whole_ms:8.3f} ms a take, {each['calls'] / takes:7.1f} calls  {each['what']}")
    return {
        "takes": takes,
        "cpu_s": round(took.cpu_s, 1),
        "rows": [
            {"package": package, "ms_a_take": round(seconds / takes * 1_000, 3)}
            for package, seconds in packages.most_common(15)
        ],
        "functions": [
            {"what": each["what"], "ms_a_take": round(each["own_s"] / takes * 1_000, 3)}
            for each in functions[:FUNCTIONS]
        ],
    }


def _package(path: str, name: str) -> str:
    """Return the owner of a function: a package, a module of Python's own, ours, or C."""
    for ours in ("animatic", "flows", "tasks"):
        if f"/{ours}/" in path and "site-packages" not in path:
            return ours
    found = _PACKAGE.search(path) or _MODULE.search(path)
    if found:
        return found.group(1)
    return "imports" if "importlib" in path or "builtins.exec" in name or "marshal" in name else "built in, in C"
