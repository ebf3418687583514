"""Rules of an inbox: names, steps, ends and words."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from animatic.planning.inbox import (
    WRITTEN,
    FileStep,
    Line,
    RunFiles,
    end_of,
    is_candidate,
    is_of_ours,
    is_report,
    is_settled,
    next_step,
    refused_end,
    report_text,
    sentence,
)
from animatic.takes.inbox_files import FileState, InboxFile

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
RESULTS = "s3://film/ep.csv.results.parquet"
KNOWN = InboxFile("p", "s3://film/ep.csv", "mark", NOW - timedelta(hours=5), "sha", RESULTS)


@pytest.mark.parametrize(
    "path", ["ep.csv", "EP.CSV", "ep.tsv.gz", "ep.xlsx", "ep.jsonl", "ep.parquet", "monday/ep.csv", "results.csv"]
)
def test_tables_may_be_manifests(path: str) -> None:
    assert is_candidate(path)


@pytest.mark.parametrize(
    "path",
    [
        *("ep.txt", "ep", ".ep.csv", ".hidden/ep.csv", "decisions.csv", "Decisions.CSV", "metadata.parquet"),
        *("ep.csv.results.parquet", "ep.csv.results.20261127T120000Z-0a1b.csv", "monday/ep.csv.results.csv"),
        *("ep.csv.errors.txt", "ep.csv.review/data.csv", "ep.csv.results.clips/metadata.csv"),
    ],
)
def test_what_is_ours_is_never_a_manifest(path: str) -> None:
    assert not is_candidate(path)


def test_what_belongs_to_a_manifest_is_never_a_manifest_itself() -> None:
    files = RunFiles.at("s3://film/out/monday/ep.csv", ".csv")
    assert files == RunFiles(
        "s3://film/out/monday/ep.csv.results.csv",
        "s3://film/out/monday/ep.csv.errors.txt",
        "s3://film/out/monday/ep.csv.review",
    )
    assert not any(map(is_candidate, (files.results, files.report, f"{files.page}/x.csv")))


@pytest.mark.parametrize(
    ("columns", "is_ours"),
    [
        ({"shot_id", "take", "fingerprint", "decision"}, True),
        ({"prediction_id", "take", "charged_usd"}, True),
        ({"image", "prompt", "takes"}, False),
        ({"image", "prompt", "take"}, False),
    ],
)
def test_tables_of_ours_are_told_by_their_columns(columns: set[str], is_ours: bool) -> None:
    assert is_of_ours(columns) is is_ours


def step(known: InboxFile | None, mark: str = "mark", results: str = RESULTS, quiet_s: float = 10) -> FileStep:
    return next_step(known, mark, results, NOW, quiet_s)


def test_a_file_is_run_once_it_has_been_unchanged_for_long_enough() -> None:
    assert step(None) is FileStep.LOOK_AGAIN
    assert step(KNOWN, mark="another") is FileStep.LOOK_AGAIN
    assert step(replace(KNOWN, marked_at=NOW - timedelta(seconds=9))) is FileStep.LOOK_AGAIN
    assert step(replace(KNOWN, marked_at=NOW - timedelta(seconds=10))) is FileStep.WORK
    assert step(None, quiet_s=0) is FileStep.WORK


def test_only_what_is_done_or_foreign_needs_no_run() -> None:
    over = replace(KNOWN, ended_at=KNOWN.marked_at)
    assert step(replace(over, state=FileState.DONE)) is FileStep.SKIP
    assert step(replace(over, state=FileState.DONE), results="elsewhere.csv") is FileStep.WORK
    assert step(replace(over, state=FileState.FOREIGN), results="elsewhere.csv") is FileStep.SKIP
    assert step(replace(KNOWN, state=FileState.OPEN, counts={"pending": 1, "held": 1})) is FileStep.WORK
    assert step(replace(KNOWN, state=FileState.DONE), mark="another") is FileStep.LOOK_AGAIN


@pytest.mark.parametrize(
    ("waited", "ago", "found"),
    [
        *(
            (timedelta(minutes=2), timedelta(seconds=59), FileStep.SKIP),
            (timedelta(minutes=2), timedelta(minutes=1), FileStep.WORK),
        ),
        *(
            (timedelta(days=9), timedelta(minutes=59), FileStep.SKIP),
            (timedelta(days=9), timedelta(hours=1), FileStep.WORK),
        ),
    ],
)
@pytest.mark.parametrize(
    "known", [replace(KNOWN, state=FileState.REFUSED), replace(KNOWN, state=FileState.OPEN, counts={"held": 1})]
)
def test_what_waits_for_people_is_tried_more_and_more_rarely(
    known: InboxFile, waited: timedelta, ago: timedelta, found: FileStep
) -> None:
    assert step(replace(known, ended_at=NOW - ago, marked_at=NOW - ago - waited)) is found


@pytest.mark.parametrize("state", [FileState.DONE, FileState.FOREIGN])
def test_a_file_that_changed_after_its_end_is_looked_at_however_long_ago(state: FileState) -> None:
    changed = replace(KNOWN, state=state, ended_at=KNOWN.marked_at - timedelta(microseconds=1))
    assert step(changed) is FileStep.WORK, "an earlier round noted its mark, and did not come to run it"


def test_a_touched_file_with_the_same_content_is_settled() -> None:
    done = replace(KNOWN, state=FileState.DONE)
    assert is_settled(done, "sha", RESULTS)
    assert not is_settled(done, "other", RESULTS)
    assert not is_settled(done, "sha", "elsewhere.csv")
    assert not is_settled(replace(KNOWN, state=FileState.OPEN), "sha", RESULTS)


@pytest.mark.parametrize(
    ("counts", "not_archived", "state"),
    [
        ({"completed": 2, "failed": 1, "pending": 0}, 0, FileState.DONE),
        ({"completed": 2, "invalid": 1}, 0, FileState.DONE),
        *(({"completed": 2, status: 1}, 0, FileState.OPEN) for status in ("pending", "unknown", "held")),
        ({"completed": 2}, 1, FileState.OPEN),
    ],
)
def test_a_manifest_is_done_when_no_later_run_could_do_more(
    counts: dict[str, int], not_archived: int, state: FileState
) -> None:
    end = end_of(counts, 5_000_000, not_archived, None)
    assert end.state is state
    assert end.counts == {status: count for status, count in counts.items() if count}


def test_a_refused_run_keeps_the_counts_of_the_run_before() -> None:
    end = refused_end(replace(KNOWN, counts={"completed": 3}, spent_microusd=7), "ep.csv:2: bad\nep.csv:3: worse")
    assert (end.state, end.counts, end.spent_microusd, end.problem) == (
        FileState.REFUSED, {"completed": 3}, 7, "ep.csv:2: bad",
    )  # fmt: skip


@pytest.mark.parametrize("is_input", [True, False])
def test_a_report_is_told_from_a_file_of_peoples(is_input: bool) -> None:
    report = report_text("ep.csv", "ep.csv:2: bad\nep.csv:3: worse\n", is_input=is_input)
    assert report.endswith("\n\nep.csv:2: bad\nep.csv:3: worse\n")
    assert is_report("ep.csv", report.encode())
    assert not is_report("other.csv", report.encode())
    assert not is_report("ep.csv", b"my own notes on ep.csv")


def test_the_summary_has_first_what_needs_a_person() -> None:
    done = Line(
        "done.csv", "done", replace(KNOWN, state=FileState.DONE, counts={"completed": 2}, spent_microusd=5_000_000)
    )
    failed = Line("failed.csv", "done", replace(KNOWN, state=FileState.DONE, counts={"failed": 1}))
    refused = Line(
        "refused.csv", "refused", replace(KNOWN, state=FileState.REFUSED, problem="bad"), "s3://r.errors.txt"
    )
    held = Line("held.csv", "open", replace(KNOWN, state=FileState.OPEN, counts={"held": 1, "pending": 2}))
    half = Line("half.csv", WRITTEN)
    assert [each.rank for each in (held, refused, failed, done)] == [0, 1, 2, 3]
    assert [each.is_done for each in (held, refused, failed, done)] == [False, False, False, True]
    assert [half.is_on_its_way, held.is_on_its_way] == [True, False]
    assert done.as_row() == {
        "manifest": "done.csv", "state": "done", "takes": 2, "pending": 0, "spent": "$5.00", "report": "",
    }  # fmt: skip
    assert refused.as_row()["report"] == "s3://r.errors.txt"
    assert (held.as_row()["takes"], held.as_row()["pending"], half.as_row()["spent"]) == (3, 2, "")
    assert sentence([done, failed, half], None) == "3 manifests: 2 done, 1 still being written"
    assert sentence([], "no money") == "0 manifests. Stopped: no money"
