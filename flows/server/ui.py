"""`animatic ui`: Prefect's pages on the records of past runs, served on loopback until Ctrl-C. Runs nothing."""

import base64
import os
import time
import webbrowser

from animatic.errors import SettingsError
from animatic.machine.home import log_folder, prefect_home
from flows.process import own_folder
from flows.server.child_processes import Companion
from flows.server.prefect_api import prefect_api
from flows.server.sign_in import SIGN_IN_PATH
from flows.terminal import PlainConsole, say, without_passwords

UI_PORT = 4200
"""Where Prefect's UI listens by custom; any other port if that is taken."""

STARTS_WITHIN_S = 60.0
_PAGES = {
    "PREFECT__SERVER_EPHEMERAL": "",  # with it, a server has no UI
    "PREFECT_SERVER_UI_ENABLED": "true",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}


def serve_ui(run_id: str, console: PlainConsole, *, opens_browser: bool) -> int:
    """Serve Prefect's pages until interrupted; 0. A server that PREFECT_API_URL names has its own, which are named.

    Raises:
        SettingsError: the server did not come up.
    """
    if url := os.environ.get("PREFECT_API_URL", ""):
        pages = without_passwords(url.rstrip("/").removesuffix("/api"))
        console.print("PREFECT_API_URL is set: runs are recorded there, and its own pages show them")
        say(pages)
        return 0
    static = own_folder(own_folder(prefect_home(os.environ)) / "ui")
    settings = {**_PAGES, "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(static)}
    with prefect_api(f"{run_id}-ui", port=UI_PORT, more=settings) as server:
        assert server is not None  # noqa: S101 - none is set, as asked above
        page = _page(_newest_run(server))
        address = f"{server.url.removesuffix('/api')}{SIGN_IN_PATH}#{_credentials()}{page}"
        console.print(f"Prefect's pages on the runs recorded in {prefect_home(os.environ)}; stop with Ctrl-C")
        console.print("open this address, which holds the password of this server and is good until then:")
        say(address)
        if opens_browser:
            webbrowser.open(address)
        while not server.is_dead:
            time.sleep(0.5)
    raise SettingsError(
        f"Prefect's server ended by itself; its log: {log_folder(os.environ)}/{run_id}-ui-prefect-server.log"
    )


def _credentials() -> str:
    """Return the password of the server as its pages keep it."""
    return base64.b64encode(os.environ["PREFECT_API_AUTH_STRING"].encode()).decode()


def _page(flow_run_id: str | None) -> str:
    return f"/runs/flow-run/{flow_run_id}" if flow_run_id else "/runs"


def _newest_run(server: Companion) -> str | None:
    """Wait until the server answers; return the newest flow run, None where there is none.

    Raises:
        SettingsError: it does not answer.
    """
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - once the server is on its way
    from prefect.client.schemas.sorting import FlowRunSort  # noqa: PLC0415 - the same

    until, problem = time.monotonic() + STARTS_WITHIN_S, ""
    while time.monotonic() < until and not server.is_dead:
        try:
            with get_client(sync_client=True, httpx_settings={"timeout": 10.0}) as client:
                runs = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)
        except Exception as error:  # noqa: BLE001 - it may come up yet
            problem = type(error).__name__
            time.sleep(0.2)
        else:
            return str(runs[0].id) if runs else None
    raise SettingsError(
        f"Prefect's server did not come up within {STARTS_WITHIN_S:.0f} s ({problem}); its log is in "
        f"{log_folder(os.environ)}"
    )
