"""`animatic ui`: Prefect's pages on the records of past runs, served on loopback until Ctrl-C. Runs nothing."""

import base64
import os
import time
import webbrowser

from animatic.errors import SettingsError
from animatic.machine.home import log_folder, prefect_home
from flows.server.child_processes import ServerProcess
from flows.server.pages import UI_PORT, pages_settings
from flows.server.prefect_api import prefect_api
from flows.server.sign_in import SIGN_IN_PATH
from flows.terminal import PlainConsole, say, without_passwords

STARTS_WITHIN_S = 60.0
_PROMOTION = "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT"


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
    with prefect_api(f"{run_id}-ui", port=UI_PORT, more={**pages_settings(), _PROMOTION: "false"}) as server:
        assert server is not None  # noqa: S101 - none is set, as asked above
        page = _page(_newest_run(server))
        address = f"{server.url.removesuffix('/api')}{SIGN_IN_PATH}#{_credentials()}{page}"
        console.print(f"Prefect's pages on the runs recorded in {prefect_home(os.environ)}; stop with Ctrl-C")
        console.print("open this address, which holds the password of this server and is good until then:")
        say(address)
        if opens_browser:
            webbrowser.open(address)
        try:
            while not server.is_dead:
                time.sleep(0.5)
        except KeyboardInterrupt:  # as it says how to stop it
            return 0
    raise SettingsError(
        f"Prefect's server ended by itself; its log: {log_folder(os.environ)}/{run_id}-ui-prefect-server.log"
    )


def _credentials() -> str:
    """Return the password of the server as its pages keep it."""
    return base64.b64encode(os.environ["PREFECT_API_AUTH_STRING"].encode()).decode()


def _page(flow_run_id: str | None) -> str:
    return f"/runs/flow-run/{flow_run_id}" if flow_run_id else "/runs"


def _newest_run(server: ServerProcess) -> str | None:
    """Wait until the server answers; return the newest flow run, None where there is none.

    Raises:
        SettingsError: it does not answer.
    """
    from prefect.client.schemas.sorting import FlowRunSort  # noqa: PLC0415 - once the server is on its way

    from flows.server.first_answer import first_answer  # noqa: PLC0415 - the same

    newest = FlowRunSort.EXPECTED_START_TIME_DESC
    try:
        runs = first_answer(
            lambda client: client.read_flow_runs(sort=newest, limit=1), STARTS_WITHIN_S, lambda: server.is_dead
        )
    except Exception as error:  # noqa: BLE001 - whatever a client raises of a server that is away
        raise SettingsError(
            f"Prefect's server did not come up within {STARTS_WITHIN_S:.0f} s ({type(error).__name__}); its log is in "
            f"{log_folder(os.environ)}"
        ) from None
    return str(runs[0].id) if runs else None
