"""Session: values that the command line knows and a schedule does not. A context variable hands it to the flow."""

from collections.abc import Callable, Container
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING

from animatic.errors import FixInputError
from animatic.progress import Progress

if TYPE_CHECKING:  # at run time they would import what the start of Prefect's server need not wait for
    from collections.abc import Mapping

    from animatic.manifest import Manifest
    from animatic.money.amounts import Quote
    from animatic.planning.plan import PriceClass
    from animatic.results.summary import RunSummary
    from animatic.settings import Settings
    from flows.server.child_processes import Companion
    from flows.stop_request import StopRequest


def new_run_id() -> str:
    """Return an id for a run that sorts by time: `20261122T164640Z-3f9a`."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{token_hex(2)}"


@dataclass(frozen=True, slots=True)
class Start:
    """Start of a run: its id, and the Prefect server that is ours, if one is."""

    run_id: str
    server: "Companion | None"


@dataclass(slots=True)
class Session:
    """One run of the flow in this process.

    Attributes:
        is_approved: a person saw the plan, or gave --yes.
        agreed: fingerprints of the takes that a person approved, or None where all may be bought.
        max_microusd: the sum that a person approved, in millionths of a dollar; the run's limit where none was given.
        share_microusd: what a take is reserved at whose price is not known, out of a limit that was agreed to.
        quotes: what takes cost when the plan was shown.
        is_attended: a person at a terminal sees what the run says before it buys.
        may_begin_ledger: a new ledger may be begun today.
        checked: the manifest as it was read and checked for the preview; good while the file is the same.
        progress: what a panel may show while the flow runs.
        server: the Prefect server that is ours, where there is one.
        task_runs: how many the flow has started, so that one can wait until the server has recorded them.
        summary, refusal: the summary, or the refusal of the run; set by the flow.
        stop_request: a suspension or cancellation in Prefect that the run obeyed.
        failure: what the flow itself raised, which Prefect may fail to hand on.
        is_judged: true once the flow came to its end, so that only the summary is left to show.
        is_hurried: a second signal said that the run must end at once.
        untold: why Prefect does not know how the run ended, where it does not.
        warn: where a line for the user goes.
    """

    settings: "Settings"
    is_approved: bool = False
    agreed: Container[str] | None = None
    max_microusd: int | None = None
    share_microusd: int | None = None
    quotes: "Mapping[PriceClass, Quote]" = field(default_factory=dict)
    is_attended: bool = False
    may_begin_ledger: bool = False
    checked: "Manifest | None" = None
    run_id: str = field(default_factory=new_run_id)
    progress: Progress = field(default_factory=Progress)
    server: "Companion | None" = None
    task_runs: int = 0
    flow_run_id: str | None = None
    summary: "RunSummary | None" = None
    refusal: FixInputError | None = None
    stop_request: "StopRequest | None" = None
    failure: Exception | None = None
    is_judged: bool = False
    is_hurried: bool = False
    untold: str | None = None
    warn: Callable[[str], None] | None = None

    @property
    def is_concluded(self) -> bool:
        """Tell that the flow's own part is over."""
        return self.is_judged or self.refusal is not None or self.failure is not None


SESSION: ContextVar[Session | None] = ContextVar("animatic_session", default=None)
