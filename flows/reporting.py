"""Reporting: the results table, out of what the ledger knows, and the summary of it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from animatic.errors import LocationError, ResultsUnwrittenError
from animatic.errors.text import command, positional
from animatic.ledger import no_run_is_dead
from animatic.planning.lookup import find_open
from animatic.planning.plan import Plan
from animatic.results import formats
from animatic.results.stats import TableStats
from animatic.results.summary import RunSummary, run_summary_of
from animatic.results.writer import ResultsWriter
from animatic.takes.money.funds import Funds
from flows.interrupts import Interrupts
from flows.run import Run
from tasks.begun import begin
from tasks.results import publish_summary, write_results

PUBLISHES_WITHIN_S = 10.0


@dataclass(slots=True)
class Reporting:
    """Writes the results of one run, before anything is bought and at the end.

    Attributes:
        archive: URI of its archive.
        max_microusd: the most that the run may reserve, in millionths of a dollar; None where nothing bounds it.
        reasons: why takes are not bought that wait for others, by fingerprint; beside those that the plan knows.
    """

    run: Run
    plan: Plan
    interrupts: Interrupts
    archive: str = ""
    max_microusd: int | None = None
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])
    _notes: dict[str, None] = field(default_factory=dict[str, None])

    async def report(
        self,
        stopped_by: str | None,
        *,
        is_account_refused: bool = False,
        funds: Funds | None = None,
        spent: str | None = None,
    ) -> RunSummary:
        """Write the results table from what the ledger knows now, and publish its summary.

        `spent` is the option or variable whose limit ended the purchase.

        Raises:
            LocationError, ResultsUnwrittenError: it cannot be written; the latter if there was something to do.
        """
        run, session, settings = self.run, self.run.session, self.run.session.settings
        place = run.order.results
        try:
            stats = await self.write(place)
        except LocationError as error:
            if not self.plan.to_do:
                raise
            place = formats.beside(place, session.run_id)
            stats = await self._write_beside(place, error)
        dropped, elsewhere = await find_open(run.ledger, self.plan.manifest, run.order.uri, settings.ledger)
        session.progress.reserved = await run.ledger.reserved_by(session.run_id)
        later = self.plan.later
        if later is not None and not self.interrupts.is_stopped:
            stopped_by, spent = stopped_by or later.reason, spent or later.limit
        summary = await asyncio.to_thread(
            run_summary_of,
            stats,
            run_id=session.run_id,
            results=place,
            submitted=session.progress.submissions,
            reserved=session.progress.reserved,
            orphans=await run.ledger.orphans(settings.origin),
            dropped=dropped,
            open_elsewhere=elsewhere,
            stopped_by=stopped_by,
            is_account_refused=is_account_refused,
            funds=funds,
            is_interrupted=self.interrupts.is_stopped,
            archive=self.archive,
            is_of_sandbox=not settings.is_real,
            resumed=self.plan.resumable,
            review=self.run.order.review or "",
            spent=spent,
            day=await run.day_budget(),
        )
        if not self.interrupts.hurried.is_set():
            await self._publish(summary)
        return summary

    async def report_again(self, summary: RunSummary) -> RunSummary:
        """Write the table that a summary is of once more, with what checks have found since; return it with that.

        Raises:
            LocationError: it cannot be written; the one that is there is good.
        """
        stats = await self.write(summary.results)
        summary = replace(summary, failing_checks=stats.failing_checks, unchecked=stats.unchecked)
        await self._publish(summary)
        return summary

    async def write(self, place: str) -> TableStats:
        """Write the table, log its notes as warnings, and keep them for the summary.

        Raises:
            LocationError: it cannot be written.
        """
        writer = self.new_writer()
        stats = await (begin(write_results(writer, place)) if self._has_tasks else write_results.fn(writer, place))
        for note in stats.notes:
            self.run.warn(note)
        self._notes.update(dict.fromkeys(stats.notes))
        stats.notes = list(self._notes)  # also of the table that was replaced when the run began
        return stats

    def new_writer(self) -> ResultsWriter:
        """Return a writer of the table as the ledger has it whenever it is read."""
        mine = self.run.session.run_id
        is_dead = mine.__eq__ if self.interrupts.hurried.is_set() else no_run_is_dead  # its own replies go unheard then
        reasons = {**self.plan.blocked(), **self.reasons}
        attempts = self.plan.final_attempts()
        later = self.plan.later
        more = (reasons, None if later is None else (later.is_later, later.reason))
        return ResultsWriter(self.plan.manifest, attempts, mine, self.run.ledger, is_dead, self.archive, *more)

    async def _write_beside(self, place: str, problem: LocationError) -> TableStats:
        """Write the table beside its place, where something is in the way that was not there when the run began.

        Raises:
            ResultsUnwrittenError: it cannot be written there either.
        """
        try:
            stats = await self.write(place)
        except LocationError:
            order = self.run.order
            of_sandbox = [] if self.run.session.settings.is_real else ["--sandbox"]
            again = command(
                "results", positional(order.manifest), "--results", order.results, *order.rows.typed, *of_sandbox
            )
            raise ResultsUnwrittenError(
                f"{problem}. What was bought is in the ledger; once that is mended, write the table:\n    {again}"
            ) from None
        stats.note_beside(place, str(problem))
        return stats

    async def _publish(self, summary: RunSummary) -> None:
        """Show the summary in Prefect; the table is written, so a failure changes nothing."""
        try:
            async with asyncio.timeout(PUBLISHES_WITHIN_S):
                published = (summary, self.run.order.uri)
                await (begin(publish_summary(*published)) if self._has_tasks else publish_summary.fn(*published))
        except Exception as error:  # noqa: BLE001 - see above
            self.run.warn(f"the summary could not be published: {error}")

    @property
    def _has_tasks(self) -> bool:
        """Tell that Prefect begins tasks; it begins none once the run is to stop."""
        return self.interrupts.stop_request is None
