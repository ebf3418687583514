"""Writes the tables and pictures of docs/performance.md from performance.json; the words around them are its own."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

from benchmarks.server import ROOT
from benchmarks.sizes import Result
from benchmarks.targets import judge

DOCS = ROOT / "docs"
OURS, OTHER, FAINT = "#c0392b", "#2c3e50", "#7f8c8d"
NAMES = {
    "limit": "the limit: bare asyncio and aiohttp",
    "limit_early": "the limit, looking from the start",
    "animatic": "animatic",
    "sdk": "the SDK in threads",
    "naive_prefect": "naive Prefect: SDK, `.map`",
    "prefect_async": "Prefect, async tasks, httpx",
}


def write_page(parts: Result, docs: Path = DOCS) -> None:
    """Replace what stands between the markers of every part that was run; draw the pictures."""
    page = docs / "performance.md"
    text = replaced(page.read_text(), "targets", targets_table(parts))
    for name, made in _TABLES.items():
        if name in parts:
            text = replaced(text, name, f"{made(parts[name])}\n\n{_when(parts[name])}")
    page.write_text(text)
    readme = docs.parent / "README.md"
    if "cpu" in parts and readme.exists():
        readme.write_text(replaced(readme.read_text(), "cpu in short", _cpu_in_short(parts["cpu"])))
    for name, draw in _PICTURES.items():
        if name in parts:
            draw(parts[name], docs / f"performance-{name}.png")


def write_quality_page(parts: Result, docs: Path = DOCS) -> None:
    """Replace the figures of docs/quality.md."""
    page, found = docs / "quality.md", parts["quality"]
    page.write_text(replaced(page.read_text(), "quality", f"{quality_table(found)}\n\n{_when(found)}"))


def write_hosts_page(parts: Result, docs: Path = DOCS) -> None:
    """Replace the figures of docs/hosts.md, of those parts that were run."""
    page = docs / "hosts.md"
    text = page.read_text()
    for name, made in (("hosts", hosts_table), ("faults", faults_table)):
        if name in parts:
            text = replaced(text, name, f"{made(parts[name])}\n\n{_when(parts[name])}")
    page.write_text(text)


def hosts_table(found: Result) -> str:
    """Counts at the witness of several hosts on one account, each beside its bound."""
    rows = [
        ("takes that the sandbox accepted twice", found["bought_twice"], 0),
        ("takes that it never accepted", found["lost"], 0),
        ("takes without `completed` in the results", found["takes"] - found["statuses"].get("completed", 0), 0),
        ("most starts in any 60 s", f"{found['most_starts_a_minute']:,}", f"{found['starts_per_minute']:,}"),
        ("most takes in flight", f"{found['most_in_flight']:,}", f"{found['in_flight']:,}"),
        ("429s", found.get("refused", "-"), "-"),
        ("first start to last take seen, s", found["makespan_s"], f"{found['ideal_s']} is ideal"),
        ("CPU a take on the hosts, ms", found["cpu_ms_a_take"], "-"),
    ]
    return f"{found['hosts']} hosts, {found['manifests']} manifests, {found['takes']:,} takes:\n\n" + table(
        ["", "is", "at most"], rows
    )


def faults_table(found: Result) -> str:
    """Counts at the witness after all faults, and how soon runs were taken over."""
    faults, taken = found["faults"], found["taken_over_within_s"]
    rows = [
        ("takes that the sandbox accepted twice", found["bought_twice"], 0),
        ("takes that are not `completed` in the end", found["lost"], 0),
        ("predictions of which the ledger knows nothing", found["silent"], 0),
        ("most starts in any 60 s", found["most_starts_a_minute"], found["starts_per_minute"]),
        ("most takes in flight", found["most_in_flight"], found["in_flight"]),
        (f"taken over, median of {taken['count']}, s", taken["median"], "-"),
        ("taken over, longest, s", taken["longest"], 120),
    ]
    what = (
        f"{faults.get('kill', 0)} kills, {faults.get('cut', 0)} cut lines, {faults.get('database', 0)} restarts of "
        f"PostgreSQL and {faults.get('prefect', 0)} of Prefect's server in {found['wall_s']:,} s"
    )
    return f"{found['hosts']} workers, {found['takes']:,} takes, {what}:\n\n" + table(["", "is", "at most"], rows)


def quality_table(found: Result) -> str:
    """Precision and recall of each check, and the CPU of a clip."""
    rows = [
        (f"`{name}`", each["positives"], each["negatives"], _interval(each["precision"]), _interval(each["recall"]))
        for name, each in found["checks"].items()
    ]
    cpu = found["cpu_s"]
    return (
        table(["check", "clips that should fail", "that should not", "precision", "recall"], rows)
        + f"\n\nAmong those that should not are {found['clean']} clean ones. CPU of a clip of 5 to 8 s at 720p "
        f"({cpu['mb']:.1f} MB): {cpu['median']:.2f} s (median of {cpu['clips']}), {cpu['most']:.2f} s at most."
    )


def _interval(share: list[float]) -> str:
    middle, low, top = share
    return f"{middle:.3f} ({low:.3f} to {top:.3f})"


def replaced(text: str, name: str, by: str) -> str:
    """The text with what is between the two markers of this name replaced. Raises ValueError where they are not."""
    begin, end = f"<!-- measured: {name} -->", f"<!-- end of {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"docs/performance.md: the markers of {name} are gone")
    return f"{before}{begin}\n{by}\n{end}{after}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, texts: int = 1) -> str:
    """Markdown; the first `texts` columns to the left, the others to the right."""
    rules = ["---"] * texts + ["---:"] * (len(head) - texts)
    lines = [head, rules, *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def targets_table(parts: Result) -> str:
    """Each target beside what was reached."""
    rows = [(each.what, each.wanted, each.reached or "", each.result) for each in judge(parts)]
    return table(["what", "must be", "is", ""], rows, texts=4)


def _when(part: Result) -> str:
    of = part["measured"]
    versions = ", ".join(f"{name} {number}" for name, number in of["versions"].items())
    return (
        f"Measured {of['at'][:16]} UTC at commit {of['commit']}, {of['cores']} cores "
        f"({of['system']}, {of['machine']}), load {of['load']}, Python {of['python']}, {versions}; "
        f"{part['seconds']:,} s."
    )


def _sandbox(part: Result) -> str:
    return table(
        ["request", "a second", "a second of a whole core", "CPU each, µs", "99th percentile, ms", "failed"],
        (
            (
                row["what"], f"{row['a_second']:,}", f"{row['a_second_of_a_core']:,}", row["cpu_us"],
                row["wait_p99_ms"], row["failed"],
            )
            for row in part["rows"]
        ),
    )  # fmt: skip


def _cpu(part: Result) -> str:
    head = [
        "contender", "CPU a take, ms", "makespan, s", "× ideal", "wall, s", "done", "requests a take", "lag, s",
        "RSS, MB", "tree, MB",
    ]  # fmt: skip
    return table(head, (_contender(row) for row in part["contenders"]))


def _cpu_in_short(part: Result) -> str:
    head = ["", "CPU a take, ms", "time against the ideal", "requests a take", "memory, MB"]
    columns = (0, 1, 3, 6, 9)
    return table(head, ([_contender(row)[column] for column in columns] for row in part["contenders"]))


def _contender(row: Result) -> Sequence[object]:
    name = NAMES[row["contender"]]
    return (
        f"**{name}**" if row["contender"] == "animatic" else name,
        f"{row['cpu_ms_a_take']:.1f}",
        f"{row['makespan_s']:.0f}" if row["is_done"] else "not done",
        f"{row['ratio']:.2f}",
        f"{row['wall_s']:.0f}",
        f"{row['takes'] - row['lost']:,} of {row['takes']:,}",
        f"{row['requests_a_take']:.1f}",
        f"{row['lag_mean_s']:.1f}",
        f"{row['rss_mb']:.0f}",
        f"{row['tree_rss_mb']:.0f}",
    )


def _makespan(part: Result) -> str:
    head = [
        "case",
        "contender",
        "takes",
        "ideal, s",
        "makespan, s",
        "× ideal",
        "each run",
        "looks a take",
        "lag, s",
        "429",
    ]
    return table(
        head,
        (
            (
                row["case"], NAMES[row["contender"]], f"{row['takes']:,}", f"{row['ideal_s']:.1f}",
                f"{row['makespan_s']:.1f}", f"{row['ratio']:.3f}",
                ", ".join(f"{each:.3f}" for each in row["ratio_of_each_run"]), f"{row['looks_a_take']:.1f}",
                f"{row['lag_mean_s']:.1f}", row["refused"],
            )
            for row in part["rows"]
        ),
        texts=2,
    )  # fmt: skip


def _ultra(part: Result) -> str:
    head = [
        "contender", "takes", "starts in full minutes", "most in 60 s", "most in flight", "429", "CPU a take, ms",
        "looks a take", "lag, s", "RSS, MB",
    ]  # fmt: skip
    return table(
        head,
        (
            (
                NAMES[row["contender"]], f"{row['takes']:,}", ", ".join(f"{each:,}" for each in row["starts_a_minute"]),
                f"{row['most_starts_a_minute']:,}", f"{row['most_in_flight']:,}", row["refused"],
                f"{row['cpu_ms_a_take']:.1f}", f"{row['looks_a_take']:.1f}", f"{row['lag_mean_s']:.1f}",
                f"{row['rss_mb']:.0f}",
            )
            for row in part["rows"]
        ),
    )  # fmt: skip


def _growth(part: Result) -> str:
    head = ["rows", "CPU a take, ms", "wall, s", "RSS, MB", "tree, MB", "completed", "lost"]
    return table(
        head,
        (
            (
                f"{row['takes']:,}", f"{row['cpu_ms_a_take']:.1f}", f"{row['wall_s']:.0f}", f"{row['rss_mb']:.0f}",
                f"{row['tree_rss_mb']:.0f}", f"{row['completed']:,}", row["lost"],
            )
            for row in part["rows"]
        ),
        texts=0,
    )  # fmt: skip


def _cached(part: Result) -> str:
    row = (
        f"{part['rows']:,}", part["run_s"], part["pyarrow_s"], part["empty_s"], f"{part['ratio']:.2f}", part["rss_mb"],
        part["bought_again"],
    )  # fmt: skip
    head = ["rows", "animatic, s", "pyarrow, s", "empty flow, s", "×", "RSS, MB", "bought again"]
    return table(head, [row], texts=0)


def _models(part: Result) -> str:
    rows = [
        (name, f"{part['rows']:,}", part["cpu_s"][kind], f"{part['rss_mb'][kind]:.0f}")
        for name, kind in (("veo2-i2v", "veo2"), ("a model with 12 inputs", "twelve"))
    ]
    return table(["rows of", "rows", "CPU, s", "RSS, MB"], rows, texts=1)


def _ledgers(part: Result) -> str:
    rows = [
        (
            name,
            found["cpu_ms_a_take"],
            found["server_ms_a_take"] or "",
            f"{found['most_starts_a_minute']:,.0f}",
            f"{found['completed']:,.0f} of {part['takes']:,}",
            f"{found['rss_mb']:.0f}",
            found["wall_s"],
        )
        for name, found in (
            ("a file", part["kinds"]["sqlite"]),
            ("PostgreSQL, over TLS", part["kinds"]["postgresql"]),
        )
    ]
    head = [
        "the ledger",
        "CPU a take, ms",
        "the server's, ms",
        "most starts in 60 s",
        "completed",
        "RSS, MB",
        "wall, s",
    ]
    return table(head, rows)


def _million(part: Result) -> str:
    kinds = ("plan", "plan_cached", "cached_first", "cached")
    rows = [
        (
            f"{each['rows']:,}",
            *(each[f"{name}_{unit}"] for name in kinds for unit in ("s", "rss_mb")),
            each["bought_again"],
        )
        for each in part["rows"]
    ]
    timed = ("`plan` of all new, s", "of all cached, s", "first run of all cached, s", "the next run, s")
    head = ["rows", *(name for each in timed for name in (each, "RSS, MB")), "bought again"]
    return table(head, rows, texts=0)


def _review(part: Result) -> str:
    rows = [
        ("the review page", part["usable_s"], part["scroll_p95_ms"], f"{part['size_bytes'] / 1e6:.1f}"),
        ("the same pictures and texts as plain HTML", part["bare_s"], part["bare_scroll_p95_ms"], ""),
    ]
    return table(["", "usable after, s", "scroll, p95 of a frame, ms", "MB without media"], rows, texts=1)


def _inbox(part: Result) -> str:
    head = [
        "manifests",
        "rounds",
        "kills",
        "takes",
        "bought twice",
        "never bought",
        "with results",
        "with a report",
        "s",
    ]
    names = ("kills", "takes", "bought_twice", "not_bought", "with_results", "with_report", "wall_s")
    rounds = " and ".join(map(str, part["rounds"]))
    return table(head, [(part["manifests"], rounds, *(part[name] for name in names))], texts=0)


def _media(part: Result) -> str:
    head = [
        "workers",
        "clips",
        "batches",
        "flow runs",
        "first after, s",
        "s",
        "clips a second",
        "MB a second",
        "of linear",
        "CPU s a clip",
        "cores used by each",
        "cores used by all",
    ]
    names = ("seconds", "clips_per_s", "mb_per_s", "of_linear", "cpu_s_a_clip")
    rows = [
        (
            *(row["workers"], row["clips"], row["batches"], len(row["flow_runs_after_s"]), row["flow_runs_after_s"][0]),
            *(row[name] for name in names),
            *(", ".join(f"{each:.2f}" for each in row["cores"]), row["machine_cores"]),
        )
        for row in part["rows"]
    ]
    return table(head, rows, texts=0)


def _reel(part: Result) -> str:
    rows = [
        (name, part["shots"], part[f"{kind}_s"], part[f"{kind}_cpu_s"])
        for name, kind in (("first", "first"), ("one shot changed", "changed"))
    ]
    return table(["build", "shots", "seconds", "CPU, s"], rows)


def _archive(part: Result) -> str:
    head = [
        "starts a minute", "with clips", "makespan, s", "with clips, s", "account's pace, MB/s", "archive, MB/s",
        "bare, MB/s", "RSS, MB", "with clips, MB", "CPU, s", "bare CPU, s", "probing CPU, s",
    ]  # fmt: skip
    names = (
        "starts_without", "starts_with", "makespan_without_s", "makespan_with_s", "pace_mb_per_s", "mb_per_s",
        "bare_mb_per_s", "rss_without_mb", "rss_with_mb", "cpu_s", "bare_cpu_s", "probing_cpu_s",
    )  # fmt: skip
    return table(head, ([f"{row[name]:,g}" for name in names] for row in part["rows"]), texts=0)


def _profile(part: Result) -> str:
    return table(["package", "CPU a take, ms"], ((row["package"], f"{row['ms_a_take']:.2f}") for row in part["rows"]))


def _startup(part: Result) -> str:
    rows = ((row["home"], row["empty_s"], row["first_post_s"], f"{row['ratio']:.2f}") for row in part["rows"])
    return table(["Prefect home", "empty flow's first line, s", "our first POST, s", "×"], rows)


def _places(part: Result) -> str:
    head = [
        "takes",
        "in flight",
        "places filled",
        "half within, ms",
        "95 % within, ms",
        "99 % within, ms",
        "longest, ms",
    ]
    row = (
        f"{part['takes']:,}", part["in_flight"], part["filled"], part["p50_ms"], part["p95_ms"], part["p99_ms"],
        part["longest_ms"],
    )  # fmt: skip
    return table(head, [row], texts=0)


def _processes(part: Result) -> str:
    head = [
        "runs",
        "starts a minute, told",
        "takes",
        "completed",
        "most starts in 60 s",
        "most in flight",
        "429",
        "bought twice",
        "lost",
        "wall, s",
    ]
    return table(
        head,
        (
            (
                row["runs"], row["told_starts_a_minute"], row["takes"], row["completed"],
                f"{row['most_starts_a_minute']} of {part['starts_per_minute']}",
                f"{row['most_in_flight']} of {part['in_flight']}", row["refused"], row["bought_twice"], row["lost"],
                row["wall_s"],
            )
            for row in part["rows"]
        ),
        texts=0,
    )  # fmt: skip


def _polls(part: Result) -> str:
    head = ["spread", "which takes", "takes", "looks a take", "lag, s", "looks × lag", "× bound"]
    rows = (
        (
            f"{row['spread']:g}",
            row["which"],
            f"{row['takes']:,}",
            row["looks"],
            row["lag_s"],
            row["cost"],
            f"{row['ratio']:.2f}",
        )
        for row in part["rows"]
    )
    return table(head, rows, texts=2)


def _draw_cpu(part: Result, path: Path) -> None:
    rows = part["contenders"][::-1]
    figure, (costs, makespans) = plt.subplots(1, 2, figsize=(11, 3.4), sharey=True)
    colors = [OURS if row["contender"] == "animatic" else OTHER for row in rows]
    names = [NAMES[row["contender"]].replace("`", "") for row in rows]
    bars = costs.barh(names, [row["cpu_ms_a_take"] for row in rows], color=colors)
    costs.bar_label(bars, fmt="%.1f", padding=3, fontsize=8)
    costs.set(xscale="log", xlabel="CPU a take, ms")
    costs.margins(x=0.15)
    bars = makespans.barh(names, [row["ratio"] for row in rows], color=colors)
    makespans.bar_label(
        bars, [f"{row['ratio']:.2f}" if row["is_done"] else "not done" for row in rows], padding=3, fontsize=8
    )
    makespans.axvline(1.0, color=FAINT, lw=1)
    makespans.margins(x=0.15)
    makespans.set(xlabel="makespan, × ideal")
    _finish(figure, path, f"{part['takes']:,} takes, {part['in_flight']:,} in flight, latency {part['median_s']:g} s")


def _draw_ultra(part: Result, path: Path) -> None:
    row = next(each for each in part["rows"] if each["contender"] == "animatic")
    seconds, starts, in_flight, unseen = zip(*row["curve"], strict=True)
    figure, (pace, places) = plt.subplots(2, 1, figsize=(9, 4.6), sharex=True)
    pace.step(seconds, [each / 2 for each in starts], where="post", color=OURS, lw=1)
    pace.set(ylabel="starts a second")
    places.plot(seconds, in_flight, color=OURS, label="in flight at the server")
    places.plot(seconds, unseen, color=OTHER, lw=1, label="done, not seen yet")
    places.axhline(part["in_flight"], color=FAINT, lw=1)
    places.set(ylabel="takes", xlabel="seconds after the first start")
    places.legend(frameon=False, fontsize=8)
    _finish(figure, path, f"{row['takes']:,} takes at {part['starts_per_minute']:,} starts a minute")


def _draw_growth(part: Result, path: Path) -> None:
    rows = part["rows"]
    sizes = [row["takes"] for row in rows]
    figure, (costs, memory) = plt.subplots(1, 2, figsize=(9, 3.2))
    costs.plot(sizes, [row["cpu_ms_a_take"] for row in rows], "o-", color=OURS)
    costs.set(xscale="log", xlabel="rows", ylabel="CPU a take, ms", ylim=(0, None))
    memory.plot(sizes, [row["rss_mb"] for row in rows], "o-", color=OURS, label="animatic")
    memory.plot(sizes, [row["tree_rss_mb"] for row in rows], "o-", color=OTHER, lw=1, label="with Prefect's server")
    memory.set(xscale="log", xlabel="rows", ylabel="peak RSS, MB", ylim=(0, None))
    memory.legend(frameon=False, fontsize=8)
    _finish(figure, path, f"{part['in_flight']:,} in flight, latency {part['median_s']:g} s")


def _finish(figure: plt.Figure, path: Path, title: str) -> None:
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


_TABLES: dict[str, Callable[[Result], str]] = {
    "sandbox": _sandbox,
    "cpu": _cpu,
    "ultra": _ultra,
    "makespan": _makespan,
    "looks": _polls,
    "growth": _growth,
    "cached": _cached,
    "models": _models,
    "ledgers": _ledgers,
    "million": _million,
    "review": _review,
    "reel": _reel,
    "archive": _archive,
    "profile": _profile,
    "startup": _startup,
    "places": _places,
    "processes": _processes,
    "inbox": _inbox,
    "media": _media,
}
_PICTURES: dict[str, Callable[[Result, Path], None]] = {"cpu": _draw_cpu, "ultra": _draw_ultra, "growth": _draw_growth}
