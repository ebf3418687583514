"""Run the flow in this process: with Prefect's embedded server if no other is set, a panel, and a proper end."""

import gc
import importlib
import os
import re
import secrets
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from animatic.errors import AnimaticError, SettingsError
from animatic.machine.home import prefect_home
from flows.companions import Companion, prefect_server
from flows.imports import uncollected
from flows.logs import log_path, quieten
from flows.panel import panel
from flows.process import child_folder, own_folder
from flows.session import SESSION, Session
from flows.terminal import PlainConsole, error_line, without_passwords

_IMPORTED_LATE = ("fastapi.encoders", "prefect.flow_engine", "prefect.task_engine", "encodings.idna")
"""What a flow's first steps import, each while everybody waits for it; we import it while we wait for the server."""

_COLLECTED_AFTER = 10_000
"""Objects that live on, before the youngest are looked through: thousands of takes wait at once, none is garbage."""

_SERVERS_CSRF = "PREFECT_SERVER_CSRF_PROTECTION_ENABLED"
_SERVERS_PASSWORD = "PREFECT_SERVER_API_AUTH_STRING"  # noqa: S105 - the name of a variable


class FlowError(AnimaticError):
    """The flow ended in a way that nobody foresaw."""


@contextmanager
def prefect_api(
    run_id: str, *, port: int = 0, settings: Mapping[str, str] | None = None
) -> Generator[Companion | None]:
    """Prefect's API for the length of the block: the server that is set, else an embedded one.

    The embedded one wants a password, which is set, or made for the occasion: on loopback alone, any web page and any
    user of this machine could read the Secret block with the key, and start runs. Without `settings` it is for one run,
    and all of Prefect's settings come from here, whatever the environment, a profile, or a file in some folder says;
    only the place of its home may be said. With `settings` it is a server that lasts, set up by its operator too.
    """
    if os.environ.get("PREFECT_API_URL"):
        _take_password_out_of_url()
        os.environ.setdefault("PREFECT_HOME", str(own_folder(prefect_home(os.environ))))
        yield None
        return
    before = {name: value for name, value in os.environ.items() if name.startswith("PREFECT_")}
    password = before.get(_SERVERS_PASSWORD) or f"animatic:{secrets.token_urlsafe(24)}"
    common = _of_one_run() if settings is None else before
    asked = {**common, **(settings or {}), _SERVERS_PASSWORD: password}
    with prefect_server(log_path(f"{run_id}-prefect-server"), port=port, settings=asked) as server:
        ours = {
            **common,
            "PREFECT_API_URL": server.url,
            "PREFECT_API_AUTH_STRING": password,
            "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",  # it is the Prefect of this installation
        }
        if not asked.get(_SERVERS_CSRF):  # a client that expects no token need not ask for one
            ours["PREFECT_CLIENT_CSRF_SUPPORT_ENABLED"] = "false"
        try:
            _replace_prefect_variables(ours)
            yield server
        finally:
            _replace_prefect_variables(before)


def _take_password_out_of_url() -> None:
    """Hand a password in `PREFECT_API_URL` on as `PREFECT_API_AUTH_STRING`: Prefect logs the URL of every run."""
    found = re.match(r"(https?://)([^/?#@]*:[^/?#@]*)@(.*)", os.environ["PREFECT_API_URL"], re.DOTALL)
    if found is not None:
        os.environ["PREFECT_API_URL"] = found[1] + found[3]
        os.environ.setdefault("PREFECT_API_AUTH_STRING", unquote(found[2]))


def _of_one_run() -> dict[str, str]:
    """Return the settings that keep Prefect from looking for others."""
    nowhere = child_folder() / "no-such-file"
    return {
        "PREFECT_HOME": str(own_folder(prefect_home(os.environ))),
        "PREFECT_PROFILES_PATH": str(nowhere),
        "PREFECT_LOGGING_SETTINGS_PATH": str(nowhere),
    }


def _replace_prefect_variables(settings: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        del os.environ[name]
    os.environ.update(settings)


def run_flow(session: Session, parameters: dict[str, Any], console: PlainConsole, *, debug: bool) -> None:
    """Run `flows.animate` to its end; the result is in the session. Needs `prefect_api` around it.

    Once the results are written, Prefect that died, hangs or refuses holds the run up for a minute at most, and changes
    nothing but what its own page shows.

    Raises:
        FixInputError: nothing was bought because the input must be changed first.
        FlowError: anything unforeseen; the message is one line.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with uncollected():
        from flows.animate import animate  # noqa: PLC0415 - imports Prefect, which only a run should wait for
        from flows.prefect_end import conclude, require_reachable  # noqa: PLC0415 - the same

        for name in _IMPORTED_LATE:
            importlib.import_module(name)
    gc.set_threshold(_COLLECTED_AFTER)
    log = log_path(session.run_id)
    quieten(log, debug=debug)
    if session.server is None:
        require_reachable(os.environ["PREFECT_API_URL"], console)
    token = SESSION.set(session)
    try:
        name = Path(parameters["manifest"]).name
        with panel(console, session.tally, name, lambda: session.is_concluded):
            ending: Any = animate(**parameters, return_state=True)  # Prefect's types forget that this is awaitable
            end = conclude(ending, session, console)
    finally:
        SESSION.reset(token)
    session.untold = end.untold
    if session.refusal is not None:
        raise session.refusal
    if session.is_judged:
        return
    problem = session.failure or end.problem
    if session.flow_run_id is None and session.server is None and problem is not None:
        raise SettingsError(
            f"PREFECT_API_URL: the server at {without_passwords(os.environ['PREFECT_API_URL'])} took no run "
            f"({error_line(problem)}); nothing was bought. Start it, or correct the variable, and run again"
        )
    if isinstance(problem, AnimaticError):
        raise problem
    said = error_line(problem) if problem is not None else without_passwords(end.message or "it has no state")
    if session.server is not None and session.server.is_dead:
        log = log.with_name(f"{session.run_id}-prefect-server.log")
    raise FlowError(f"the run ended unforeseen: {said[:500]} (the whole story is in {log})")
