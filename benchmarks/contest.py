"""One contender buys one manifest from a sandbox of its own; what it cost and what it reached."""

import itertools
import os
import shutil
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.ideal import ideal_makespan_s, most_at_once, most_in_window
from benchmarks.process import Measured, measure
from benchmarks.server import ROOT, Account, Seen, Served, served, takes_of

PREFECT = ("animatic", "naive_prefect", "prefect_async")
NAMES = ("limit", "limit_early", "animatic", "sdk", "naive_prefect", "prefect_async")


@dataclass(frozen=True, slots=True)
class ContestResult:
    """Result of one contender on one manifest. Lags in seconds; CPU in seconds of the process tree.

    Attributes:
        makespan_s: from the first submission that the server accepted to the last take that it showed as final.
        ideal_s: the same where none ever waits without need.
        requests_a_take: result queries and submissions, as the server counted them.
        lag_*_s: from the end of a take to the first look that showed it.
        refused: 429.
    """

    contender: str
    takes: int
    completed: int
    is_done: bool
    exit_code: int
    wall_s: float
    makespan_s: float
    ideal_s: float
    cpu_s: float
    own_cpu_s: float
    rss_mb: float
    tree_rss_mb: float
    server_cpu_s: float
    requests_a_take: float
    looks_a_take: float
    lag_mean_s: float
    lag_p50_s: float
    lag_p95_s: float
    refused: int
    bought_twice: int
    lost: int
    most_starts_a_minute: int
    most_in_flight: int
    first_post_s: float

    @property
    def ratio(self) -> float:
        """The makespan against the ideal."""
        return self.makespan_s / self.ideal_s if self.ideal_s else 0.0

    def as_dict(self) -> dict[str, object]:
        """For JSON: rounded, so that a diff shows what changed."""
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(self).items()}


def write_manifest(path: Path, rows: int, name: str = "shot") -> Path:
    """Distinct prompts, so that each is one take; images that are never fetched."""
    numbers = range(rows)
    table = pa.table(
        {
            "image": [f"https://stills.example/{name}/{number}.jpg" for number in numbers],
            "prompt": [f"slow push in on {name} {number}" for number in numbers],
            "aspect_ratio": pa.array(["16:9"] * rows, pa.string()),
            "duration": pa.array(["5s"] * rows, pa.string()),
        }
    )
    pq.write_table(table, path)
    return path


def environment(folder: Path, code: Path = ROOT) -> dict[str, str]:
    """A clean environment with homes of its own."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "TMPDIR"}}
    return kept | {
        "HOME": str(folder / "home"),
        "PREFECT_HOME": str(folder / "prefect"),
        "PYTHONPATH": str(code),
        "DO_NOT_TRACK": "1",
    }


class Studio:
    """Place of contests: a folder, the code of animatic that is tried, a Prefect home that is warm."""

    def __init__(self, folder: Path, code: Path = ROOT) -> None:
        self.folder, self.code = folder, code
        self._numbers = itertools.count(1)
        self._warm: Path | None = None

    def room(self, name: str, *, is_fresh: bool = False) -> Path:
        """A new folder with homes in it; Prefect's has its database, unless it is to be fresh."""
        room = self.folder / f"{next(self._numbers):03}-{name}"
        (room / "home").mkdir(parents=True)
        if not is_fresh:
            shutil.copytree(self._warm_home(), room / "prefect")
        return room

    def empty(self, *, is_fresh: bool = False) -> Measured:
        """An empty Prefect flow in ephemeral mode."""
        room = self.room("empty", is_fresh=is_fresh)
        return measure(_contender("empty"), environment(room), room)

    def warm(self) -> None:
        """Make the warm home now, before several threads ask for it."""
        self._warm_home()

    def _warm_home(self) -> Path:
        if self._warm is None:
            room = self.folder / "warm"
            (room / "home").mkdir(parents=True)
            measure(_contender("empty"), environment(room), room)
            self._warm = room / "prefect"
        return self._warm

    def idle_cpu_s(self, name: str, account: Account) -> float:
        """CPU of a contender with nothing to do: an empty Prefect flow, or the same script on no rows."""
        return self.empty().cpu_s if name in PREFECT else self.compete(name, account, 0).cpu_s

    def compete(  # noqa: PLR0913 - all but the first three have a default
        self,
        name: str,
        account: Account,
        rows: int,
        *,
        deadline_s: float = 600.0,
        is_fresh: bool = False,
        room: Path | None = None,
    ) -> ContestResult:
        """One contender, one manifest, a sandbox of its own; what they leave is in the room."""
        room = room or self.room(name, is_fresh=is_fresh)
        manifest = write_manifest(room / "shots.parquet", rows)
        with served(room / "sandbox", account) as server:
            command, env = self.command(name, server, room, manifest)
            before_s = server.cpu_s()
            took = measure(command, env, room, deadline_s=deadline_s)
            server_cpu_s, stats = server.cpu_s() - before_s, server.stats()
        takes = takes_of(room / "sandbox")
        if took.exit_code or not took.is_done:
            sys.stderr.write(f"{name}: exit {took.exit_code}, done: {took.is_done}\n{took.stderr[-1500:]}\n")
        return outcome(name, account, rows, took, takes, stats, server_cpu_s, completed_in(room / "out.parquet"))

    def command(
        self, name: str, server: Served, room: Path, manifest: Path, ledger: Path | None = None
    ) -> tuple[list[str], dict[str, str]]:
        """The command line and the environment of a contender."""
        account, out = server.account, room / "out.parquet"
        api = {"WAVESPEED_BASE_URL": server.url, "WAVESPEED_API_KEY": server.key}
        if name == "animatic":
            told = {
                "ANIMATIC_LEDGER": f"sqlite:///{ledger or room / 'ledger.sqlite'}",
                "ANIMATIC_STARTS_PER_MINUTE": str(account.starts_per_minute),
                "ANIMATIC_MAX_IN_FLIGHT": str(account.in_flight),
                "ANIMATIC_POLL_FLOOR_S": f"{account.floor_s:.3f}",
            }
            if any("ANIMATIC_NEW_LEDGER" in each.read_text() for each in self.code.glob("*/settings.py")):
                told["ANIMATIC_NEW_LEDGER"] = datetime.now(UTC).date().isoformat()
            command = [
                sys.executable,
                "-m",
                "flows.command.cli",
                "run",
                str(manifest),
                "--results",
                str(out),
                "--yes",
                "--json",
            ]
            typed = (path.read_text() for path in (self.code / "flows" / "command").glob("cli*.py"))
            if any("--no-archive" in text for text in typed):
                command.append("--no-archive")  # none of the others keeps clips
            return command, environment(room, self.code) | api | told
        command = [
            *_contender(name.removesuffix("_early")), str(manifest), str(out),
            "--in-flight", str(account.in_flight), "--starts-per-minute", str(account.starts_per_minute),
            "--median-s", str(account.median_s), "--floor-s", str(account.floor_s),
        ]  # fmt: skip
        return [*command, *(["--early"] if name.endswith("_early") else [])], environment(room) | api


def outcome(  # noqa: PLR0913, PLR0917 - all that there is to know
    name: str, account: Account, rows: int, took: Measured, takes: Sequence[Seen], stats: dict[str, int],
    server_cpu_s: float, completed: int,
) -> ContestResult:  # fmt: skip
    """Put together what the process, the server and the results say."""
    times = Counter(each.prompt for each in takes)
    latency_of = {each.prompt: each.latency_s for each in takes}
    ordered = [latency_of[prompt] for prompt in sorted(latency_of, key=_number_in)]
    lags_s = sorted(each.seen_at - each.final_at for each in takes if each.seen_at is not None)
    last_seen_at = max((each.seen_at for each in takes if each.seen_at is not None), default=0.0)
    first_at = min((each.accepted_at for each in takes), default=0.0)
    count = max(len(takes), 1)
    return ContestResult(
        contender=name,
        takes=rows,
        completed=completed,
        is_done=took.is_done,
        exit_code=took.exit_code,
        wall_s=took.wall_s,
        makespan_s=last_seen_at - first_at if lags_s else 0.0,
        ideal_s=ideal_makespan_s(ordered, account.starts_per_minute, account.in_flight),
        cpu_s=took.cpu_s,
        own_cpu_s=took.own_cpu_s,
        rss_mb=took.rss_mb,
        tree_rss_mb=took.tree_rss_mb,
        server_cpu_s=server_cpu_s,
        requests_a_take=(stats["polls"] + stats.get("submissions", 0) + stats.get("refused_rate", 0)) / count,
        looks_a_take=stats["polls"] / count,
        lag_mean_s=statistics.fmean(lags_s) if lags_s else 0.0,
        lag_p50_s=lags_s[len(lags_s) // 2] if lags_s else 0.0,
        lag_p95_s=lags_s[int(len(lags_s) * 0.95)] if lags_s else 0.0,
        refused=stats.get("refused_rate", 0),
        bought_twice=sum(number - 1 for number in times.values()),
        lost=rows - sum(each.seen_at is not None for each in takes),
        most_starts_a_minute=most_in_window(sorted(each.accepted_at for each in takes)),
        most_in_flight=most_at_once((each.accepted_at, each.final_at) for each in takes),
        first_post_s=first_at - took.began_at if takes else 0.0,
    )


def _number_in(prompt: str) -> tuple[str, int]:
    words, _, number = prompt.rpartition(" ")
    return words, int(number)


def _contender(module: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.contenders.{module}"]


def completed_in(results: Path) -> int:
    """Count the completed rows of a results table."""
    if not results.exists():
        return 0
    return pq.read_table(results, columns=["status"])["status"].to_pylist().count("completed")
