"""Summary of a run in numbers and words: for the terminal, the JSON line, Prefect's summary and the exit code.

pandas is imported when there is something to sum up: a run must not wait for it before it buys.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from animatic import storage
from animatic.errors.text import command, counted, one_line, positional, reason_of
from animatic.ledger import Open, Orphan
from animatic.results.columns import STATUSES
from animatic.results.exit_codes import DONE, INCOMPLETE, INTERRUPTED, UNCLEAR
from animatic.results.reason_groups import ReasonGroup
from animatic.results.stats import TableStats
from animatic.results.text_table import text_table
from animatic.storage.folder import Folder
from animatic.takes.money.amounts import as_number, cost_in_words, dollars
from animatic.takes.money.budgets import DayBudget, Reserved
from animatic.takes.money.funds import Funds

if TYPE_CHECKING:
    import pandas as pd

MOST_ORPHANS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Summary of a run.

    Attributes:
        counts: rows of the results table by status, all statuses named.
        submitted: submissions that the API accepted in this run.
        cached: rows whose take was final before this run began.
        resumed: takes that an earlier run had bought and this one polled again.
        reserved: what this run has reserved, as the ledger says.
        manifest_cost_microusd: the sum of the table's column `quoted_usd`; None where no price is known.
        summary: what `animatic.summarise` says of the table.
        not_completed: the first rows that are not `completed`, as plain values that survive JSON.
        orphans: predictions of the account, found while reconciling, that belong to no take.
        dropped: open takes that dead runs of this manifest left and that are not in it any more.
        open_elsewhere: open takes of the same provider that runs of other manifests left.
        made_by: takes that another model made than was asked for, by what made them and what was asked for.
        expired, expiring: completed takes whose output URLs are dead, or die within a day.
        of_before: notes on the table that was replaced.
        stopped_by: why the run stopped early, if it did.
        is_account_refused: whether that was because WaveSpeed refused the key or the account.
        funds: what the account had then beside what was left to buy; None where that is not known.
        not_archived: rows of completed takes with a clip that is not archived, or not as it should be.
        failing_checks: rows whose clip fails a quality check.
        unchecked: rows with a clip in the archive that was not checked yet.
        not_chosen: rows that --only or --limit left out.
        reason_groups: rows that are not completed or not archived, by reason, the largest group first.
        archive: URI of the folder with the clips; empty without one.
        review: URI of the folder with the review page; empty without one.
        spent: the option or variable whose limit left takes for a later run; None where none did.
        day: the day's budget at the end of the run; None where there is none.
        is_of_sandbox: whether the takes are the embedded sandbox's, so that commands about them need `--sandbox`.
    """

    run_id: str
    results: str
    counts: Mapping[str, int]
    submitted: int
    cached: int
    reserved: Reserved
    manifest_cost_microusd: int | None
    summary: "pd.DataFrame"
    not_completed: Sequence[Mapping[str, Any]] = ()
    orphans: Sequence[Orphan] = ()
    dropped: Sequence[Open] = ()
    open_elsewhere: Sequence[Open] = ()
    expired: int = 0
    expiring: int = 0
    made_by: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    of_before: Sequence[str] = ()
    stopped_by: str | None = None
    is_account_refused: bool = False
    funds: Funds | None = None
    is_interrupted: bool = False
    not_archived: int = 0
    failing_checks: int = 0
    unchecked: int = 0
    not_chosen: int = 0
    resumed: int = 0
    reason_groups: Sequence[ReasonGroup] = ()
    archive: str = ""
    is_of_sandbox: bool = False
    review: str = ""
    spent: str | None = None
    day: DayBudget | None = None

    @property
    def exit_code(self) -> int:
        """Exit code of the command."""
        if self.is_interrupted:
            return INTERRUPTED
        if self.is_unclear:
            return UNCLEAR
        is_whole = self.counts["completed"] == sum(self.counts.values()) and not self.not_archived
        return DONE if is_whole else INCOMPLETE

    @property
    def is_unclear(self) -> bool:
        """Tell if money may be at stake: something is unknown or held, in the table or left by an earlier version."""
        return bool(self.counts["unknown"] or self.counts["held"] or self.dropped)

    @property
    def sentence(self) -> str:
        """One line for people: what is not completed, and why the run stopped if it did."""
        total = sum(self.counts.values())
        missing = ", ".join(f"{n:,} {status}" for status, n in self.counts.items() if n and status != "completed")
        line = f"{self.counts['completed']:,} of {total:,} completed" + (f"; {missing}" if missing else "")
        if self.not_chosen:
            line += f"; {self.not_chosen:,} more rows not chosen by --only or --limit"
        if self.not_archived:
            line += f"; {self.not_archived:,} not archived (column archive_error)"
        if self.stopped_by:
            line += f". Stopped: {self.stopped_by}"
            line += "" if self.funds is None else f"{'' if line.endswith('.') else '.'} {self.funds.left_in_words}"
        if self.is_unclear:
            line += ". Money may be at stake: some takes may have been bought, and are not sent again"
        return line

    @property
    def money(self) -> str:
        """One line: what this run bought and reserved, and what the manifest has cost so far."""
        cost = cost_in_words(*self.reserved)
        cost += " with what may have been bought" if self.counts["unknown"] or self.counts["held"] else ""
        again = f"{self.resumed:,} taken up again, " if self.resumed else ""
        line = f"this run: {self.submitted:,} bought, {again}{self.cached:,} from earlier runs, {cost}"
        if self.manifest_cost_microusd is None:
            return line if self.day is None else f"{line}; {self.day.words}"
        line = f"{line}; this manifest so far: {dollars(self.manifest_cost_microusd)}"
        return line if self.day is None else f"{line}; {self.day.words}"

    @property
    def clips(self) -> str:
        """One line: how many takes have their clips in the archive, and where that is; empty where none has."""
        completed = self.counts["completed"]
        kept = completed - self.not_archived
        if not self.archive or not kept:
            return ""
        place = Folder(self.archive).place
        return (
            f"clips: {place}" if kept == completed else f"clips of {kept:,} of {completed:,} completed takes: {place}"
        )

    def as_json(self, step: Mapping[str, Any] | None = None) -> str:
        """Return the last line of stdout with `--json`; `step` is what to do next."""
        line = {
            "run_id": self.run_id,
            **self.counts,
            "submitted": self.submitted,
            "cached": self.cached,
            "cost_usd": as_number(self.reserved.known_microusd),
            "manifest_cost_usd": as_number(self.manifest_cost_microusd),
            "balance_usd": as_number(self.funds.balance if self.funds else None),
            "missing_usd": as_number(self.funds.missing if self.funds else None),
            "failing_checks": self.failing_checks,
            "unchecked": self.unchecked,
            "dropped": [_as_dict(each) for each in self.dropped[:MOST_OPEN_NAMED]],
            "open_elsewhere": [_as_dict(each) for each in self.open_elsewhere[:MOST_OPEN_NAMED]],
            "results": self.results,
            "limit_reached": self.spent,
            **({} if self.day is None else {"day_budget": self.day.as_dict()}),
            **({"review": self.review} if self.review else {}),
            **(step or {}),
        }
        return json.dumps(line)

    def as_text(self, columns: int | None = None) -> str:
        """Return the summary as a plain table that is no wider than the screen, as far as that goes.

        Columns that say least are left out first. The last row is left out where there is one storyboard only.
        """
        names, found = self._columns_shown(), self.summary.to_dict("records")
        rows = [
            {
                _SHORT.get(name, name): _label(row[name]) if name in {"storyboard", "model"} else _cell(row[name])
                for name in names
            }
            for row in (found[:1] if len(found) == 2 else found)
        ]
        return text_table([_SHORT.get(name, name) for name in names], rows, columns, _LEAST)

    def _columns_shown(self) -> list[str]:
        """Return the columns of the summary that say something: none of zeros, or of one model."""
        shown = self.summary
        hidden_if_zero = {*STATUSES, "not_judged", "nsfw"} - {"completed"}
        hidden = {name for name in hidden_if_zero & {*shown.columns} if not any(shown[name])}
        hidden |= {str(name) for name in shown.columns if not any(_cell(value) for value in shown[name])}
        if len({*shown["model"].tolist()}) <= 2:  # one, and `all`
            hidden.add("model")
        if not any(shown["nsfw"].tolist()):
            hidden.add("nsfw_rate")
        return [str(name) for name in shown.columns if name not in hidden]

    def as_markdown(self) -> str:
        """Return a summary for Prefect's UI."""
        columns, this_run = self._columns_shown(), self.money.removeprefix("this run: ")
        lines = [
            f"**{plain(self.sentence)}**",
            "",
            f"Run `{self.run_id}`: {plain(this_run)}.",
            f"Results: `{_code(self.results)}`",
            "",
            "| " + " | ".join(columns) + " |",
            "| " + " | ".join("---" for _ in columns) + " |",
        ]
        rows: list[dict[str, Any]] = self.summary.to_dict("records")  # pyright: ignore[reportAssignmentType]
        lines += ["| " + " | ".join(_cell(row[name]) for name in columns) + " |" for row in rows]
        more = [*self.notes(), *orphan_lines(self.orphans)]
        lines += ["", *(f"- {plain(line.strip())}" for line in more)] if more else []
        return "\n".join(lines) + "\n"

    @property
    def _sandbox(self) -> list[str]:
        return ["--sandbox"] if self.is_of_sandbox else []

    def notes(self) -> list[str]:
        """Return other notes for people, one line each."""
        settling = command("reconcile", *self._sandbox)
        lines = [f"note: {line}" for line in self.of_before]
        lines += open_lines(self.dropped, "is not in this manifest any more", settling)
        lines += open_lines(self.open_elsewhere, "", settling)
        lines += [
            f"another model: {count:,} takes were made by {one_line(found, 200)}, not by {one_line(asked, 200)} "
            "(column prediction_model)"
            for (found, asked), count in list(self.made_by.items())[:MOST_OPEN_SHOWN]
        ]
        if self.failing_checks:
            clips, fail = counted(self.failing_checks, "clip"), "fails" if self.failing_checks == 1 else "fail"
            lines.append(f"quality: {clips} {fail} a check (column qa)")
        if self.unchecked and self.archive:
            lines.append(
                f"quality: {counted(self.unchecked, 'clip')} not checked yet; the next run goes on, or animatic results"
            )
        if self.expired:
            lines.append(
                f"expired: the output URLs of {self.expired:,} completed takes are dead, and their clips are not "
                "archived; WaveSpeed deletes outputs after 7 days"
            )
        if self.expiring:
            folder = self.archive or f"{storage.stem_of(self.results)}.clips"
            fetching = command("archive", positional(self.results), "--to", folder, *self._sandbox)
            lines.append(
                f"expiring: the output URLs of {counted(self.expiring, 'completed take')} die within a day (column "
                "outputs_expire_at); fetch the clips now:"
            )
            lines.append(f"    {fetching}")
        return lines


MOST_OPEN_NAMED = 100
MOST_OPEN_SHOWN = 20


def open_lines(takes: Sequence[Open], why: str, settling: str) -> list[str]:
    """One line for each open take that the table does not show, after 20 the rest counted; and how to settle them."""
    lines = [
        f"{each.state}: {f'{one_line(each.name)}, ' if each.name else ''}{each.fingerprint[:12]}"
        f"{f', which {why}' if why else ''}: left by run {each.run_id} of {one_line(each.manifest, 300)}; "
        f"{one_line(reason_of(each.error), 300)}"
        for each in takes[:MOST_OPEN_SHOWN]
    ]
    more = len(takes) - MOST_OPEN_SHOWN
    lines += [f"and {more:,} more"] if more > 0 else []
    return [*lines, "settle them, or see all of them:", f"    {settling}"] if lines else []


def _as_dict(take: Open) -> dict[str, str]:
    return {
        "fingerprint": take.fingerprint,
        "name": take.name,
        "state": take.state,
        "manifest": take.manifest,
        "error": take.error,
    }


def orphan_lines(orphans: Sequence[Orphan]) -> list[str]:
    """One line for people for each prediction that belongs to no take; after 20 the rest counted."""
    lines = [
        f"orphan: prediction {each.prediction_id} of {one_line(each.model, 200) or 'an unknown model'}, created "
        f"{f'{each.created_at:%Y-%m-%d %H:%M:%S} UTC' if each.created_at else 'at an unknown time'}, "
        "belongs to no take of this ledger"
        for each in orphans[:MOST_ORPHANS_SHOWN]
    ]
    more = len(orphans) - MOST_ORPHANS_SHOWN
    return [*lines, f"orphans: and {more:,} more"] if more > 0 else lines


def run_summary_of(  # noqa: PLR0913 - the parts of a summary
    stats: TableStats,
    *,
    run_id: str,
    results: str,
    submitted: int,
    reserved: Reserved,
    orphans: Sequence[Orphan] = (),
    dropped: Sequence[Open] = (),
    open_elsewhere: Sequence[Open] = (),
    stopped_by: str | None = None,
    is_account_refused: bool = False,
    funds: Funds | None = None,
    is_interrupted: bool = False,
    archive: str = "",
    is_of_sandbox: bool = False,
    resumed: int = 0,
    review: str = "",
    spent: str | None = None,
    day: DayBudget | None = None,
) -> RunSummary:
    """Summarise a results table from its stats, and from what only the run itself knows."""
    from animatic.results.analysis import summary_of  # noqa: PLC0415 - pandas

    expired, expiring = stats.expiring(datetime.now(UTC), timedelta(days=1))
    return RunSummary(
        run_id=run_id,
        results=results,
        counts={status: stats.counts[status] for status in STATUSES},
        submitted=submitted,
        cached=stats.cached,
        reserved=reserved,
        manifest_cost_microusd=stats.manifest_cost_microusd,
        summary=summary_of(stats),
        not_completed=stats.not_completed,
        orphans=orphans,
        dropped=dropped,
        open_elsewhere=open_elsewhere,
        expired=expired,
        expiring=expiring,
        made_by=stats.made_by,
        not_archived=stats.not_archived,
        failing_checks=stats.failing_checks,
        unchecked=stats.unchecked,
        not_chosen=stats.not_chosen,
        resumed=resumed,
        reason_groups=stats.reason_groups.largest_first(),
        archive=archive,
        is_of_sandbox=is_of_sandbox,
        of_before=stats.notes,
        stopped_by=stopped_by,
        is_account_refused=is_account_refused,
        funds=funds,
        is_interrupted=is_interrupted,
        review=review,
        spent=spent,
        day=day,
    )


_SHORT = {"inference_p50_s": "p50 s", "inference_p95_s": "p95 s", "cost_usd": "cost $", "nsfw_rate": "NSFW rate"}
_LEAST = ("NSFW rate", "not_judged", "p95 s", "p50 s", "nsfw")
"""Columns in the order in which a narrow screen does without them."""

_LABEL_CHARS = 30


def _label(name: Any) -> str:
    text = "" if name is None or name != name else one_line(str(name), 200)  # noqa: PLR0124 - NaN
    return text if len(text) <= _LABEL_CHARS else f"{text[: _LABEL_CHARS - 1]}…"


def _cell(value: Any) -> str:
    import pandas as pd  # noqa: PLC0415 - imported long before: the value is from a frame

    if value is None or value is pd.NA or value != value:  # noqa: PLR0124 - NaN
        return ""
    return f"{value:,.2f}" if isinstance(value, float | Decimal) else plain(str(value))


def plain(text: str) -> str:
    """Text that stays text inside Markdown, also in a table: no links, no pictures, no HTML."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return re.sub(r"([\\`|\[\]<>!*_~&])", r"\\\1", printable)


def _code(text: str) -> str:
    """Return the text between backticks, where nothing but a backtick has a meaning."""
    return "".join(char if char.isprintable() else " " for char in text).replace("`", "'")
