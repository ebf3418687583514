"""Prefect's API for the length of a run: the server that is set, else an embedded one."""

import os
import re
import secrets
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote

from animatic.machine.home import prefect_home
from flows.logs import log_path
from flows.process import child_folder, own_folder
from flows.server.child_processes import ServerProcess, prefect_server


@dataclass(frozen=True, slots=True)
class Start:
    """Start of a run: its id, and the Prefect server that is ours, if one is."""

    run_id: str
    server: ServerProcess | None


_SERVERS_CSRF = "PREFECT_SERVER_CSRF_PROTECTION_ENABLED"
_SERVERS_PASSWORD = "PREFECT_SERVER_API_AUTH_STRING"  # noqa: S105 - the name of a variable


@contextmanager
def prefect_api(
    run_id: str, *, port: int = 0, settings: Mapping[str, str] | None = None, more: Mapping[str, str] | None = None
) -> Generator[ServerProcess | None]:
    """Prefect's API for the length of the block: the server that is set, else an embedded one.

    The embedded one wants a password, which is set, or made for the occasion: on loopback alone, any web page and any
    user of this machine could read the Secret block with the key, and start runs. Without `settings` it is for one run,
    and all of Prefect's settings come from here, whatever the environment, a profile, or a file in some folder says;
    only the place of its home may be said, and `more`. With `settings` it lasts, set up by its operator too.
    """
    if os.environ.get("PREFECT_API_URL"):
        _take_password_out_of_url()
        os.environ.setdefault("PREFECT_HOME", str(own_folder(prefect_home(os.environ))))
        yield None
        return
    before = {name: value for name, value in os.environ.items() if name.startswith("PREFECT_")}
    password = before.get(_SERVERS_PASSWORD) or f"animatic:{secrets.token_urlsafe(24)}"
    common = _of_one_run() if settings is None else before
    asked = {**common, **(settings or more or {}), _SERVERS_PASSWORD: password}
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
