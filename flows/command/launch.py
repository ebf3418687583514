"""Run the flow in this process: with Prefect's embedded server if no other is set, a panel, and a proper end."""

import gc
import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from animatic.errors import AnimaticError, FixInputError, SettingsError
from flows.command.panel import panel
from flows.json_log import write_json
from flows.logs import log_path, redirect_logs
from flows.server.child_processes import ServerProcess
from flows.server.gc_pause import gc_paused
from flows.session import SESSION, RunEnd, Session
from flows.terminal import PlainConsole, begin, error_line, without_passwords

if TYPE_CHECKING:
    from animatic.results.summary import RunSummary  # pandas, which the start of a run need not wait for

_IMPORTED_LATE = ("fastapi.encoders", "prefect.flow_engine", "prefect.task_engine", "encodings.idna")
"""Modules that a flow's first steps import, which would delay them; imported while the server starts instead."""

_COLLECTED_AFTER = 10_000
"""Objects that live on, before the youngest are looked through: thousands of takes wait at once, none is garbage."""


class FlowError(AnimaticError):
    """The flow ended with an unexpected error."""


def run_flow(
    session: Session, server: ServerProcess | None, parameters: dict[str, Any], console: PlainConsole, *, debug: bool
) -> "tuple[RunSummary, str | None]":
    """Run `flows.animate` to its end; return its summary, and why Prefect does not know the end, where it does not.

    Needs `prefect_api` around it; `server` is the one that it yields. Once the results are written, Prefect that died,
    hangs or refuses holds the run up for a minute at most, and changes nothing but what its own page shows.

    Raises:
        FixInputError: nothing was bought because the input must be changed first.
        FlowError: any unexpected error; the message is one line.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")
    begin("starting …")
    with gc_paused():
        from flows.animate import animate  # noqa: PLC0415 - imports Prefect, which only a run should wait for
        from flows.command.prefect_end import conclude, require_reachable  # noqa: PLC0415 - the same

        for name in _IMPORTED_LATE:
            importlib.import_module(name)
    gc.set_threshold(_COLLECTED_AFTER)
    log = _begin_log(session, debug=debug)
    if server is None:
        require_reachable(os.environ["PREFECT_API_URL"], console)
    token = SESSION.set(session)
    try:
        name = Path(parameters["manifest"]).name
        with panel(console, session.progress, name, lambda: session.is_concluded):
            ending: Any = animate(**parameters, return_state=True)  # Prefect's types forget that this is awaitable
            end = conclude(ending, session, server, console)
    finally:
        SESSION.reset(token)
    progress = session.progress
    for problem in (progress.archive.problem, progress.page_problem, progress.metrics_problem):
        if problem:
            console.print(problem)
    run = session.end.result() if session.end.done() else RunEnd()
    if isinstance(run.problem, FixInputError):
        raise run.problem
    if run.summary is not None and run.problem is None:
        return run.summary, end.untold
    problem = run.problem if isinstance(run.problem, Exception) else end.problem
    if not session.is_begun and server is None and problem is not None:
        raise SettingsError(
            f"PREFECT_API_URL: the server at {without_passwords(os.environ['PREFECT_API_URL'])} took no run "
            f"({error_line(problem)}); nothing was bought. Start it, or correct the variable, and run again"
        )
    if isinstance(problem, AnimaticError):
        raise problem
    said = error_line(problem) if problem is not None else without_passwords(end.message or "it has no state")
    if server is not None and server.is_dead:
        log = log.with_name(f"{session.run_id}-prefect-server.log")
    raise FlowError(f"the run ended with an unexpected error: {said[:500]} (details are in {log})")


def _begin_log(session: Session, *, debug: bool) -> Path:
    """Send the log of the run to a file, in the form that is set; return its path."""
    log = log_path(session.run_id)
    redirect_logs(log, debug=debug)
    if session.settings.log_format == "json":
        write_json(session.run_id)
    return log
