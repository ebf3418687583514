"""Session: values that the command knows and a schedule does not. A context variable hands them down to the flow.

One value comes back, when the flow has come to its end. It does not go through Prefect, which may die or hang before it
hands on a state.
"""

from collections.abc import Container
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING

from animatic.progress import Progress

if TYPE_CHECKING:  # at run time they would import what the start of Prefect's server need not wait for
    from collections.abc import Mapping

    from animatic.manifest import Manifest
    from animatic.media.still_copies import StillCopies
    from animatic.planning.purchases import Purchases
    from animatic.results.summary import RunSummary
    from animatic.takes.money.amounts import Quote
    from animatic.takes.schemas import PriceClass
    from animatic.wavespeed.client import Wrap
    from flows.settings import Settings


def new_run_id() -> str:
    """Return an id for a run that sorts by time: `20261122T164640Z-3f9a`."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{token_hex(2)}"


@dataclass(frozen=True, slots=True)
class RunEnd:
    """End of the flow's own part of a run.

    Attributes:
        flow_run_id: the run's id in Prefect.
        task_runs: how many the flow has started, so that one can wait until the server has recorded them.
        summary: what the results table says, if it was written.
        problem: the error or signal that ended the flow, if one did.
        is_hurried: a second signal said that the run must end at once.
    """

    flow_run_id: str | None = None
    task_runs: int = 0
    summary: "RunSummary | None" = None
    problem: BaseException | None = None
    is_hurried: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """One run of the flow in this process.

    Attributes:
        is_approved: a person saw the plan, or gave --yes.
        agreed: fingerprints of the takes that a person approved, or None where all may be bought.
        max_microusd: the sum that a person approved, in millionths of a dollar; the run's limit where none was given.
        share_microusd: what a take is reserved at whose price is not known, out of a limit that was agreed to.
        quotes: what takes cost when the plan was shown.
        purchases: the takes that the file of a plan names, none else is bought; None where no such plan is carried out.
        stand_ins: the most that a take may cost where no quote can be had, by price class.
        may_begin_ledger: a new ledger may be begun today, or a person at a terminal sees that it is new.
        checked: the manifest as it was read and checked for the preview; good while the file is the same.
        damages: what is wrong with stills that were decoded for the preview, by SHA-256; None where nothing is.
        still_copies: of stills that were read from an object store for the preview.
        wrap: puts something around the client's transports, such as a recorder.
        progress: what a panel may show while the flow runs.
        end: runs once the flow has begun, and gets its end.
    """

    settings: "Settings"
    is_approved: bool = False
    agreed: Container[str] | None = None
    max_microusd: int | None = None
    share_microusd: int | None = None
    quotes: "Mapping[PriceClass, Quote]" = field(default_factory=dict)
    purchases: "Purchases | None" = None
    stand_ins: "Mapping[PriceClass, int]" = field(default_factory=dict)
    may_begin_ledger: bool = False
    checked: "Manifest | None" = None
    damages: "Mapping[str, str | None]" = field(default_factory=dict)
    run_id: str = field(default_factory=new_run_id)
    still_copies: "StillCopies | None" = None
    wrap: "Wrap | None" = None
    progress: Progress = field(default_factory=Progress)
    end: Future[RunEnd] = field(default_factory=Future[RunEnd])

    @property
    def is_begun(self) -> bool:
        """Tell that Prefect has begun the flow run."""
        return self.end.running() or self.end.done()

    @property
    def is_concluded(self) -> bool:
        """Tell that the flow's own part is over, and not because of a signal."""
        return self.end.done() and isinstance(self.end.result().problem, Exception | None)


SESSION: ContextVar[Session | None] = ContextVar("animatic_session", default=None)
