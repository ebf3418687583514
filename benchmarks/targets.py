"""Promises of speed, and the figures reached. Pure: from the JSON of the parts."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.sizes import Result


@dataclass(frozen=True, slots=True)
class Target:
    """One line: what, what it must be, what it is; None where its part was not run."""

    what: str
    wanted: str
    reached: str | None = None
    is_met: bool | None = None

    @property
    def result(self) -> str:
        """For the table."""
        if self.is_met is None:
            return "not measured"
        return "met" if self.is_met else "**not met**"


Judge = Callable[[Result], Iterator[Target]]


def judge(parts: Result) -> list[Target]:
    """Every target, in the order of the page."""
    return [
        target
        for part, judged, unmeasured in _JUDGES
        for target in (judged(parts[part]) if part in parts else (Target(*each) for each in unmeasured))
    ]


def _sandbox(part: Result) -> Iterator[Target]:
    share = part["ultra_share"]
    yield Target(*_SANDBOX, f"{share:.0%} of a core", share < 0.5)


def _ultra(part: Result) -> Iterator[Target]:
    row = next(each for each in part["rows"] if each["contender"] == "animatic")
    limit = part["starts_per_minute"]
    minutes = row["starts_a_minute"]
    shares = [each / limit for each in minutes]
    yield Target(
        _ULTRA[0][0], _ULTRA[0][1], ", ".join(f"{share:.3f}" for share in shares),
        len(shares) >= 3 and all(0.97 <= share <= 1.0 for share in shares),
    )  # fmt: skip
    most = row["most_starts_a_minute"]
    yield Target(*_ULTRA[1], f"{most:,} in any 60 s, {row['refused']} × 429", most <= limit and not row["refused"])
    yield Target(*_ULTRA[2], f"{row['late_intents']} of {row['takes']:,} not so", row["late_intents"] == 0)
    yield Target(*_ULTRA[3], f"{row['rss_mb']:.0f} MB", row["rss_mb"] < 600)


def _makespan(part: Result) -> Iterator[Target]:
    ours = [row for row in part["rows"] if row["contender"] == "animatic"]
    for (what, wanted), row in zip(_MAKESPAN, ours, strict=True):
        each = ", ".join(f"{ratio:.3f}" for ratio in row["ratio_of_each_run"])
        yield Target(what, wanted, f"{row['ratio']:.3f} × (median of {each})", row["ratio"] <= 1.02)


def _cpu(part: Result) -> Iterator[Target]:
    cpu = {row["contender"]: row["cpu_ms_a_take"] for row in part["contenders"]}
    ours = cpu["animatic"]
    for (what, wanted), other, most in zip(_CPU, ("limit", "sdk", "naive_prefect"), (2.5, 0.1, 0.05), strict=True):
        ratio = ours / cpu[other]
        shown = f"{ratio:.2f} ×" if other == "limit" else f"1/{1 / ratio:.1f}"
        yield Target(what, wanted, f"{shown} ({ours:.1f} against {cpu[other]:.1f} ms)", ratio <= most)


def _polls(part: Result) -> Iterator[Target]:
    later = [row for row in part["rows"] if row["which"] != "all"]
    shown = ", ".join(f"{row['ratio']:.2f}" for row in later)
    yield Target(*_LOOKS[0], f"{shown} ×", all(row["ratio"] <= 1.3 for row in later))
    looks = {row["spread"]: row["looks"] for row in part["rows"] if row["which"] == "all"}
    yield Target(*_LOOKS[1], ", ".join(f"{each:.1f}" for each in looks.values()), max(looks.values()) <= 7)


def _growth(part: Result) -> Iterator[Target]:
    rss = {row["takes"]: row["rss_mb"] for row in part["rows"]}
    if 1_000 in rss and 100_000 in rss:
        ratio = rss[100_000] / rss[1_000]
        yield Target(*_MEMORY, f"{ratio:.2f} × ({rss[100_000]:.0f} against {rss[1_000]:.0f} MB)", ratio <= 1.3)
    else:
        yield Target(*_MEMORY)


def _cached(part: Result) -> Iterator[Target]:
    most_s = 3 * part["pyarrow_s"] + part["empty_s"]
    said = f"{part['run_s']:.1f} s against 3 × {part['pyarrow_s']:.2f} + {part['empty_s']:.1f} s"
    yield Target(*_CACHED, said, part["run_s"] <= most_s)


def _models(part: Result) -> Iterator[Target]:
    cpu_s = part["cpu_s"]
    said = f"{part['ratio']:.2f} × ({cpu_s['twelve']:.2f} against {cpu_s['veo2']:.2f} s of CPU)"
    yield Target(*_MODELS, said, part["ratio"] <= 1.5)


def _ledgers(part: Result) -> Iterator[Target]:
    file, server = part["kinds"]["sqlite"], part["kinds"]["postgresql"]
    said = f"{part['ratio']:.2f} × ({server['cpu_ms_a_take']:.2f} against {file['cpu_ms_a_take']:.2f} ms)"
    yield Target(*_LEDGERS[0], said, part["ratio"] <= 1.3)
    share = server["most_starts_a_minute"] / part["starts_per_minute"]
    yield Target(*_LEDGERS[1], f"{share:.3f}", 0.97 <= share <= 1.0)


def _million(part: Result) -> Iterator[Target]:
    smaller, larger = part["rows"]
    for at, name in ((0, "plan"), (2, "cached")):
        took_s, memory = larger[f"{name}_s"], larger[f"{name}_rss_mb"] / smaller[f"{name}_rss_mb"]
        yield Target(*_MILLION[at], f"{took_s:.1f} s", took_s <= 60)
        rss = f"{larger[f'{name}_rss_mb']:,} against {smaller[f'{name}_rss_mb']:,} MB"
        yield Target(*_MILLION[at + 1], f"{memory:.2f} × ({rss})", memory <= 1.5)


def _reel(part: Result) -> Iterator[Target]:
    seconds = f"{part['changed_s']:.1f} against {part['first_s']:.1f} s"
    said = f"{part['ratio']:.3f} × ({seconds}; CPU {part['cpu_ratio']:.3f} ×)"
    yield Target(*_REEL, said, part["ratio"] <= 0.1)


def _startup(part: Result) -> Iterator[Target]:
    for (what, wanted), row in zip(_STARTUP, part["rows"], strict=True):
        said = f"{row['ratio']:.2f} × ({row['first_post_s']:.1f} against {row['empty_s']:.1f} s)"
        yield Target(what, wanted, said, row["ratio"] <= 0.75)


def _places(part: Result) -> Iterator[Target]:
    said = f"half within {part['p50_ms']:.0f} ms, 95 % within {part['p95_ms']:.0f} ms"
    yield Target(*_PLACES, said, part["p95_ms"] < 100)


def _processes(part: Result) -> Iterator[Target]:
    for (what, wanted), row in zip(_PROCESSES, part["rows"], strict=True):
        is_met = (
            row["most_starts_a_minute"] <= part["starts_per_minute"]
            and row["most_in_flight"] <= part["in_flight"]
            and not any((row["lost"], row["bought_twice"]))
            and bool(row["refused"]) is (row["told_starts_a_minute"] > part["starts_per_minute"])
            and row["completed"] == row["takes"]
        )
        said = (
            f"{row['most_starts_a_minute']} starts in 60 s of {part['starts_per_minute']}, "
            f"{row['most_in_flight']} in flight of {part['in_flight']}, {row['refused']} × 429, "
            f"{row['lost']} lost, {row['bought_twice']} bought twice"
        )
        yield Target(what, wanted, said, is_met)


def _archive(part: Result) -> Iterator[Target]:
    """Ratios are medians of those of the rounds, since the speed of a shared machine changes from round to round."""
    rows = part["rows"]
    reached = [_of_rounds(row, lambda each: each["mb_per_s"] / _allowed_mb_per_s(each)) for row in rows]
    said = ", ".join(f"{share:.2f} ({row['mb_per_s']:.0f} MB/s)" for share, row in zip(reached, rows, strict=True))
    yield Target(*_ARCHIVE[0], said, min(reached) >= 0.9)
    starts = [(row["starts_with"], row["starts_without"]) for row in rows]
    said = ", ".join(f"{ours:,.0f} and {without:,.0f}" for ours, without in starts)
    yield Target(*_ARCHIVE[1], said, all(ours >= 0.99 * without for ours, without in starts))
    more = [row["rss_with_mb"] - row["rss_without_mb"] for row in rows]
    yield Target(*_ARCHIVE[2], ", ".join(f"{each:+.0f} MB" for each in more), max(more) <= 100)
    ratios = [_of_rounds(row, lambda each: each["cpu_s"] / each["bare_cpu_s"]) for row in rows]
    yield Target(*_ARCHIVE[3], ", ".join(f"{each:.2f} ×" for each in ratios), max(ratios) <= 1.5)


def _allowed_mb_per_s(found: Result) -> float:
    return min(found["bare_mb_per_s"], found["pace_mb_per_s"])


def _review(part: Result) -> Iterator[Target]:
    usable_s, filter_ms, scroll_ms = part["usable_s"], part["filter_ms"]["p50"], part["scroll_p95_ms"]
    beside = f"{usable_s:.2f} s, {part['ratio']:.1f} × plain HTML"
    yield Target(*_REVIEW[0], beside, usable_s <= 1.5)
    yield Target(*_REVIEW[1], f"{filter_ms} ms, at most {part['filter_ms']['max']} ms", filter_ms <= 100)
    yield Target(*_REVIEW[2], f"{scroll_ms} ms, plain HTML {part['bare_scroll_p95_ms']} ms", scroll_ms < 50)
    yield Target(*_REVIEW[3], f"{part['size_bytes'] / 1e6:.1f} MB", part["size_bytes"] < 3_000_000)


def _inbox(part: Result) -> Iterator[Target]:
    twice, missing = part["bought_twice"], part["not_bought"]
    shown = f"{part['takes']:,} takes, {twice} bought twice, {missing} never, {part['kills']} kills"
    yield Target(*_INBOX[0], shown, not twice and not missing)
    shown = (
        f"{part['with_results']} with results, {part['with_report']} with a report, {part['other_files']} other files"
    )
    yield Target(*_INBOX[1], shown, not part["with_neither"] and not part["other_files"])


def _media(part: Result) -> Iterator[Target]:
    ratios = [row["of_linear"] for row in part["rows"]]
    yield Target(*_MEDIA[0], ", ".join(f"{each:.2f}" for each in ratios), min(ratios) >= 0.9)


def _of_rounds(row: Result, ratio: Callable[[Result], float]) -> float:
    return statistics.median(ratio(each) for each in row["rounds"])


_SANDBOX = ("The sandbox is not the bottleneck: at an ultra account's load it needs", "well under half of a core")
_ULTRA = (
    ("Ultra: starts in every full minute, of the limit", "0.97 to 1.00"),
    ("Ultra: never above the limit", "no 429"),
    ("Ultra: each intent in the ledger before its POST", "all"),
    ("Ultra: memory of the animatic process", "under 600 MB"),
)
_MAKESPAN = (
    ("Makespan at silver, pace binds", "1.02 × ideal"),
    ("Makespan at silver, places bind", "1.02 × ideal"),
    ("Makespan at gold, pace binds", "1.02 × ideal"),
)
_CPU = (
    ("CPU per take against the limit", "2.5 ×"),
    ("CPU per take against the SDK in threads", "1/10"),
    ("CPU per take against the naive Prefect flow", "1/20"),
)
_LOOKS = (
    ("Looks × lag against the bound, spread 0.1, 0.2, 0.4, once latencies are known", "1.3 ×"),
    ("Result queries a take, latency 60 s, floor 5 s, the same spreads, whole runs", "7"),
)
_MEMORY = ("Memory at 100,000 rows against 1,000", "1.3 ×")
_MODELS = ("`plan` of 100,000 rows of a model with 12 inputs, against rows of veo2-i2v", "1.5 ×")
_LEDGERS = (
    ("CPU a take with the ledger on PostgreSQL, against a file", "1.3 ×"),
    ("The account's starts with the ledger on PostgreSQL, in a full minute", "0.97 to 1.00 of the limit"),
)
_MILLION = (
    ("`plan` of 1,000,000 rows", "60 s"),
    ("Its memory against 100,000 rows", "1.5 ×"),
    ("1,000,000 rows, all cached", "60 s"),
    ("Its memory against 100,000 rows", "1.5 ×"),
)
_REEL = ("Reel of 40 shots with one changed, against its first build", "at most 0.1 ×")
_REVIEW = (
    ("Review page of 2,000 shots: usable", "1.5 s"),
    ("Review page of 2,000 shots: a search shows its shots", "0.1 s"),
    ("Review page of 2,000 shots: p95 of a frame while it scrolls", "under 50 ms"),
    ("Review page of 2,000 shots: size without media", "under 3 MB"),
)
_CACHED = ("100,000 rows, all cached: no longer than pyarrow thrice and an empty flow", "that")
_STARTUP = (
    ("First POST against an empty Prefect flow's first line, warm", "0.75 ×"),
    ("The same with a new PREFECT_HOME", "0.75 ×"),
)
_PLACES = ("From the look that shows a place to be free to the next start, nothing queued ahead", "tens of ms")
_PROCESSES = (
    ("2 runs on one ledger", "one account's limits, nothing lost"),
    ("4 runs on one ledger", "one account's limits, nothing lost"),
    ("2 runs that believe in twice the account's starts: 429", "the same"),
)
_MEDIA = (("Media on 1, 2 and 4 workers of a quarter of a core each, of linear", "at least 0.9"),)
_INBOX = (
    ("Inbox of 200 manifests, two schedulers that are killed, ten rounds: each take bought", "once"),
    ("The same: every manifest has", "results or a report"),
)
_ARCHIVE = (
    ("Clips archived beside a run, of what a bare script reaches alone or the account's pace, if that is less", "0.9"),
    ("Starts in the fullest minute with the archive, and without", "the same"),
    ("Memory that the archive takes", "at most 100 MB"),
    ("CPU that the archive takes, against the bare script, probing apart", "1.5 ×"),
)
_JUDGES: tuple[tuple[str, Judge, tuple[tuple[str, str], ...]], ...] = (
    ("sandbox", _sandbox, (_SANDBOX,)),
    ("ultra", _ultra, _ULTRA),
    ("makespan", _makespan, _MAKESPAN),
    ("cpu", _cpu, _CPU),
    ("looks", _polls, _LOOKS),
    ("growth", _growth, (_MEMORY,)),
    ("cached", _cached, (_CACHED,)),
    ("models", _models, (_MODELS,)),
    ("ledgers", _ledgers, _LEDGERS),
    ("million", _million, _MILLION),
    ("review", _review, _REVIEW),
    ("startup", _startup, _STARTUP),
    ("places", _places, (_PLACES,)),
    ("processes", _processes, _PROCESSES),
    ("inbox", _inbox, _INBOX),
    ("media", _media, _MEDIA),
    ("reel", _reel, (_REEL,)),
    ("archive", _archive, _ARCHIVE),
)
