"""The doctor's checks of Prefect: of the server that is set, else of an embedded one that it starts."""

import os
import time
from collections.abc import Generator

import prefect
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client

from animatic.machine.home import log_folder, prefect_home
from flows.command.doctor.findings import Finding, fault, note, ok
from flows.schedule import KEY_BLOCK
from flows.server.child_processes import ServerProcess
from flows.server.first_answer import ANSWERS_WITHIN_S, first_answer
from flows.terminal import error_line, without_passwords

STARTS_WITHIN_S = 60.0
LARGE_BYTES = 2_000_000_000


def look_at_prefect(embedded: ServerProcess | None) -> Generator[Finding]:
    """Yield whether Prefect can carry a run out, and what its records take. `embedded` is the server, if it is ours."""
    url, began = os.environ["PREFECT_API_URL"], time.monotonic()
    problem = _problem(STARTS_WITHIN_S if embedded else 0.0)
    took_s = time.monotonic() - began
    if embedded is not None:
        yield _embedded(problem)
        yield from _records()
    elif problem is None:
        yield from _of_server(url, took_s)
    else:
        yield fault(
            "Prefect",
            f"PREFECT_API_URL: the server at {without_passwords(url)} does not answer as one should "
            f"({error_line(problem)}). Start it, correct the variable (or PREFECT_API_AUTH_STRING), or unset it to use "
            "an embedded one",
        )


def _problem(within_s: float) -> Exception | None:
    """Return why a call that needs the password and the database fails, if it does for so long."""
    try:
        first_answer(lambda client: client.read_flows(limit=1), within_s)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return error
    return None


def _embedded(problem: Exception | None) -> Finding:
    if problem is None:
        return ok("Prefect", f"its embedded server works, with its records in {prefect_home(os.environ)}")
    place = f"its log is in {log_folder(os.environ)}"
    return fault("Prefect", f"its embedded server does not come up ({error_line(problem)}); {place}")


def _records() -> Generator[Finding]:
    """Yield the size of the records of past runs, where they have grown large."""
    database = prefect_home(os.environ) / "prefect.db"
    if database.exists() and database.stat().st_size > LARGE_BYTES:
        size = f"{database.stat().st_size / 1e9:,.1f} GB"
        yield note("Prefect", f"{database}: the records of past runs take {size}; they may be deleted between runs")


def _of_server(url: str, took_s: float) -> Generator[Finding]:
    with get_client(sync_client=True, httpx_settings={"timeout": ANSWERS_WITHIN_S}) as client:
        theirs = client.api_version()
    yield ok("Prefect", f"{without_passwords(url)} answered in {took_s * 1_000:,.0f} ms; it is Prefect {theirs}")
    ours = prefect.__version__
    if theirs.split(".")[:2] != ours.split(".")[:2]:
        yield note("Prefect", f"the server is Prefect {theirs}, and this is {ours}; a server should not be older")
    if os.environ.get("WAVESPEED_API_KEY"):
        return
    try:
        Secret.load(KEY_BLOCK)
    except Exception:  # noqa: BLE001 - there is none that can be read
        yield note("Prefect", f"it has no Secret block {KEY_BLOCK}, which scheduled runs take the key from")
    else:
        yield ok("Prefect", f"its Secret block {KEY_BLOCK} holds a key for scheduled runs")
