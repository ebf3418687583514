"""News for people when a run ends, beside its state: takes that are held, and a budget that is reached."""

import logging

from animatic.errors import BudgetError
from animatic.errors.text import counted
from animatic.results.summary import RunSummary
from tasks.alerts import BUDGET_REACHED, TAKES_HELD, alert, is_spoken_for
from tasks.logs import line_logger


def alert_of_end(summary: RunSummary | None, problem: BaseException | None) -> None:
    """Emit the events that fit the end of this flow run; none for a run without a deployment.

    A manifest of an inbox, which is run again round after round, says once that a budget is reached: when it spent it.
    """
    warn = line_logger(logging.WARNING)
    if isinstance(problem, BudgetError):
        alert(BUDGET_REACHED, str(problem), warn)
    if summary is None:
        return
    if held := summary.counts["held"]:
        alert(TAKES_HELD, f"{counted(held, 'take')} held for a person to settle: {summary.sentence}", warn)
    if summary.spent is not None and (summary.submitted or not is_spoken_for()):
        alert(BUDGET_REACHED, summary.sentence, warn)
