"""Rules of an inbox: which files are manifests, where what belongs to one goes, and what is next for each. Pure.

Everything of ours that may lie beside a manifest has a name or columns by which it is told: results and the tables that
are written beside them, decisions, reports, histories and bills, review pages and archives.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from animatic.errors.text import counted
from animatic.manifest.file_form import says_form
from animatic.results import formats
from animatic.results.decisions import DECISIONS_NAME
from animatic.takes.inbox_files import FileState, InboxEnd, InboxFile
from animatic.takes.money.amounts import dollars

RESULTS, ERRORS, REVIEW, CLIPS = ".results", ".errors.txt", ".review", ".clips"
DATA_SET = "metadata.parquet"
"""Table of an archive, as `animatic.media.dataset` writes it."""

MOST_PROBLEM_CHARS = 300
LONGEST_WAIT = timedelta(hours=1)


SETTLED = frozenset({FileState.FOREIGN, FileState.DONE})
"""States of files that need no run until their contents change."""

WRITTEN = "still being written"
ELSEWHERE = "another run works on it"
HANDED_OVER = "handed over"
UNNAMED = "cannot be run under its name"
ON_ITS_WAY = frozenset({WRITTEN, ELSEWHERE, HANDED_OVER})
"""Words for a manifest that was not worked on in a round, and for which nothing is wrong."""

_LEFT = ("pending", "unknown", "held")
"""Statuses of takes for which there is more to do, or a person to wait for."""


class FileStep(StrEnum):
    """Next step for a file."""

    SKIP = "skip"
    LOOK_AGAIN = "look again"
    WORK = "work"


@dataclass(frozen=True, slots=True)
class RunFiles:
    """URIs of the files that runs of a manifest write.

    Attributes:
        results: its results table.
        report: why it could not be run.
        page: folder of its review page.
    """

    results: str
    report: str
    page: str

    @classmethod
    def at(cls, base: str, suffix: str) -> "RunFiles":
        """Return the files of a manifest; `base` is the URI of its own path, in the folder for results.

        The manifest's whole name is in each: `ep1.csv` and `ep1.xlsx` have results of their own.
        """
        return cls(f"{base}{RESULTS}{suffix}", f"{base}{ERRORS}", f"{base}{REVIEW}")


def is_candidate(path: str) -> bool:
    """Tell if a file may be a manifest by its path below the inbox: a table, not hidden, and not one of ours."""
    *folders, name = path.lower().split("/")
    if any(each.startswith(".") or each.endswith((REVIEW, CLIPS)) for each in (*folders, name)):
        return False
    return says_form(name) and name not in {DECISIONS_NAME, DATA_SET} and not _is_of_results(name)


def _is_of_results(name: str) -> bool:
    """Tell the name of a results table, or of one that was written beside it: `ep1.csv.results.RUN.parquet`."""
    return any(f"{RESULTS}." in name and name.endswith(suffix) for suffix in formats.SUFFIXES)


def is_of_ours(columns: Collection[str]) -> bool:
    """Tell a results table, decisions, a history or a bill by its columns, whatever its name is."""
    return "take" in columns and not {"fingerprint", "prediction_id"}.isdisjoint(columns)


def next_step(known: InboxFile | None, mark: str, results: str, now: datetime, quiet_s: float) -> FileStep:
    """Return what is next for a file that is listed with this mark; `results` is where its table is to be.

    A file whose mark has not stood for `quiet_s` may still be being written. One that only people can help is tried
    again after half as long as it has waited already: soon where its stills arrive after it, once an hour later on.
    """
    if known is None or known.mark != mark:
        return FileStep.LOOK_AGAIN if quiet_s > 0 else FileStep.WORK
    is_over = known.state == FileState.FOREIGN or (known.state == FileState.DONE and known.results == results)
    if is_over and known.ended_at is not None and known.ended_at >= known.marked_at:  # else it has changed since
        return FileStep.SKIP
    if _waits_for_people(known) and known.ended_at is not None:
        waited = known.ended_at - known.marked_at
        if now - known.ended_at < min(waited / 2, LONGEST_WAIT):
            return FileStep.SKIP
    return FileStep.WORK if now - known.marked_at >= timedelta(seconds=quiet_s) else FileStep.LOOK_AGAIN


def _waits_for_people(known: InboxFile) -> bool:
    """Tell if another run would most likely find the same: it was refused, or the takes that are left are held."""
    is_held = bool(known.counts.get("held")) and not (known.counts.get("pending") or known.counts.get("unknown"))
    return known.state == FileState.REFUSED or (known.state == FileState.OPEN and is_held)


def is_settled(known: InboxFile, content: str, results: str) -> bool:
    """Tell if there is nothing to do for a file with this content, though its mark may be another one."""
    is_same = known.content == content and (known.state == FileState.FOREIGN or known.results == results)
    return is_same and known.state in SETTLED


def end_of(
    counts: Mapping[str, int], spent_microusd: int | None, not_archived: int, stopped_by: str | None
) -> InboxEnd:
    """Return the end of a run that wrote its results; it is done when nothing is left that a later run could do."""
    is_left = not_archived or any(counts.get(status) for status in _LEFT)
    present = {status: count for status, count in counts.items() if count}
    return InboxEnd(FileState.OPEN if is_left else FileState.DONE, present, spent_microusd, stopped_by or "")


def refused_end(known: InboxFile, problem: str) -> InboxEnd:
    """Return the end of a run that wrote no results; the counts are those of the run before."""
    line = problem.strip().partition("\n")[0][:MOST_PROBLEM_CHARS]
    return InboxEnd(FileState.REFUSED, known.counts, known.spent_microusd, line)


_TO_CHANGE = "has to be changed before it can be run; nothing was bought for it in this round."
_NOT_RUN = "could not be run in this round; what was bought for it is in the ledger."
_GOES = "It is tried again when it changes, and every hour at least. This file goes once it could be run."


def report_text(name: str, problem: str, *, is_input: bool) -> str:
    """Return the report that is put beside a manifest that could not be run."""
    return f"{name} {_TO_CHANGE if is_input else _NOT_RUN}\n{_GOES}\n\n{problem.strip()}\n"


def is_report(name: str, content: bytes) -> bool:
    """Tell a report on a manifest from a file that people put in its place."""
    return any(content.startswith(f"{name} {line}\n".encode()) for line in (_TO_CHANGE, _NOT_RUN))


@dataclass(frozen=True, slots=True)
class Line:
    """A manifest in the summary of a round.

    Attributes:
        name: its path below the inbox.
        words: how far it is, such as `done`, `still being written`, `another run works on it`.
        known: as the ledger has it; None where it was never looked at for long enough.
        report: URI of the report beside it; empty where there is none.
        is_news: it was run in this round.
    """

    name: str
    words: str
    known: InboxFile | None = None
    report: str = ""
    is_news: bool = False

    @property
    def is_unclear(self) -> bool:
        """Tell if money may be at stake: a take may have been bought, or a person must settle it."""
        return self.known is not None and bool(self.known.counts.get("unknown") or self.known.counts.get("held"))

    @property
    def is_done(self) -> bool:
        """Tell if all its takes are completed."""
        counts = self.known.counts if self.known is not None else {}
        return self.known is not None and self.known.state is FileState.DONE and counts.keys() <= {"completed"}

    @property
    def is_on_its_way(self) -> bool:
        """Tell if it waits for nothing but time: it is being written, or another run has it."""
        return self.words in ON_ITS_WAY

    @property
    def rank(self) -> int:
        """Place among others: what needs a person first, what is done last."""
        is_refused = self.known is not None and self.known.state is FileState.REFUSED
        return (self.is_unclear, is_refused, not self.is_done, True).index(True)

    def as_row(self) -> dict[str, str | int]:
        """Return it as a row of Prefect's table."""
        counts = self.known.counts if self.known else {}
        spent = self.known.spent_microusd if self.known else None
        return {
            "manifest": self.name,
            "state": self.words,
            "takes": sum(counts.values()),
            "pending": counts.get("pending", 0),
            "spent": "" if spent is None else dollars(spent),
            "report": self.report or (self.known.problem if self.known else ""),
        }


def sentence(lines: Sequence[Line], stopped_by: str | None) -> str:
    """Return the round in a sentence: how many manifests are how far."""
    counts = Counter(line.words for line in lines)
    each = ", ".join(
        f"{count:,} {words}" for words, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    )
    found = f"{counted(len(lines), 'manifest')}" + (f": {each}" if each else "")
    return found + (f". Stopped: {stopped_by}" if stopped_by else "")
