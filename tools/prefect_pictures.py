"""`python -m tools.prefect_pictures`: take the docs' pictures of Prefect's pages, filled by runs with the sandbox.

All that is started ends with it, and its files lie in a temporary folder. Needs Chromium.
"""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tools.fleet.parts import SANDBOX_KEY

ROOT = Path(__file__).parents[1]
ANIMATIC = Path(sys.executable).with_name("animatic")
USER, PASSWORD = "docs", "pictures"
ENDS_WITHIN_S = 30.0
WAITS_S = 240.0
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class Runs(NamedTuple):
    """Ids of what the pages show: a deployment, a run that waits for approval, a run that has ended and its summary."""

    deployment: str
    waiting: str
    ended: str
    summary: str


class Picture(NamedTuple):
    """A picture to take: its name, the page, what is done before, and the size of the window."""

    name: str
    path: Callable[[Runs], str]
    act: Callable[[Any], object] = lambda _: None
    width: int = 1_280
    height: int = 800


def _resume(page: Any) -> None:
    page.get_by_text("Resume", exact=True).first.click()


PICTURES: Sequence[Picture] = (
    Picture("prefect-deployments", lambda _: "/deployments"),
    Picture("prefect-form", lambda runs: f"/deployments/deployment/{runs.deployment}/run"),
    Picture("prefect-run", lambda runs: f"/runs/flow-run/{runs.ended}"),
    Picture("prefect-summary", lambda runs: f"/artifacts/artifact/{runs.summary}"),
    Picture("approval", lambda runs: f"/runs/flow-run/{runs.waiting}", _resume, 1_100, 900),
)


class Server:
    """A Prefect server's API."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=f"{url}/api", auth=(USER, PASSWORD), timeout=30)

    def ask(self, path: str, **body: Any) -> Any:
        """Return the reply to a POST. Raises httpx.HTTPError."""
        reply = self._client.post(path, json=body)
        reply.raise_for_status()
        return reply.json()

    def find_deployment(self) -> str | None:
        """Return the id of `animate/once`; None while it is not there."""
        try:
            found = self.ask("/deployments/filter", deployments={"name": {"any_": ["once"]}})
        except httpx.HTTPError:
            return None
        return found[0]["id"] if found else None

    def run(self, deployment: str, until: Callable[[Mapping[str, Any]], bool], **parameters: Any) -> str:
        """Start a run and wait for a state; return its id."""
        run = self.ask(f"/deployments/{deployment}/create_flow_run", parameters=parameters)["id"]

        def found() -> str | None:
            state = self._client.get(f"/flow_runs/{run}").raise_for_status().json()["state"]
            return run if until(state) else None

        return _wait(f"the run with {parameters}", found)

    def summary_of(self, run: str) -> str:
        """Return the id of the newest summary of a run."""
        chosen = {"flow_run_id": {"any_": [run]}, "type": {"any_": ["markdown"]}}
        return self.ask("/artifacts/filter", artifacts=chosen, sort="CREATED_DESC")[0]["id"]


def _wait(name: str, probe: Callable[[], str | None]) -> str:
    ends = time.monotonic() + WAITS_S
    while time.monotonic() < ends:
        if (found := probe()) is not None:
            return found
        time.sleep(0.5)
    raise SystemExit(f"{name}: not there within {WAITS_S:.0f} s")


@contextmanager
def _running(folder: Path, env: Mapping[str, str], *arguments: str) -> Generator[Path]:
    """Run `animatic` in a folder; yield the file that it prints to."""
    output = folder / f"{arguments[0]}.log"
    with output.open("w") as file:
        process = subprocess.Popen([ANIMATIC, *arguments], cwd=folder, env=dict(env), stdout=file, stderr=file)
        try:
            yield output
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _url_in(output: Path) -> str | None:
    return next((json.loads(line)["url"] for line in output.read_text().splitlines() if line.startswith("{")), None)


def _pages_in(output: Path) -> str | None:
    _, found, rest = output.read_text().partition("Prefect's UI: ")
    return rest.split()[0] if found and "\n" in rest else None


@contextmanager
def filled_server(folder: Path) -> Generator[tuple[str, Runs]]:
    """Serve the deployments from a folder, with the sandbox as WaveSpeed, and run one of them twice."""
    shutil.copytree(ROOT / "manifests", folder / "manifests")
    shutil.copy(ROOT / "deployments/prefect.yaml", folder)
    others = ("ANIMATIC_", "PREFECT_", "WAVESPEED_", "XDG_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(others)} | {"HOME": str(folder)}
    with ExitStack() as stack:
        sandbox = stack.enter_context(_running(folder, env, "sandbox", "--port", "0"))
        env |= {
            "WAVESPEED_BASE_URL": _wait("the sandbox", lambda: _url_in(sandbox)),
            "WAVESPEED_API_KEY": SANDBOX_KEY,
            "ANIMATIC_NEW_LEDGER": time.strftime("%Y-%m-%d", time.gmtime()),
            "ANIMATIC_ACCOUNT_LEVEL": "ultra",
            "PREFECT_SERVER_API_AUTH_STRING": f"{USER}:{PASSWORD}",
        }
        output = stack.enter_context(_running(folder, env, "serve", "prefect.yaml"))
        url = _wait("Prefect's server", lambda: _pages_in(output))
        server = Server(url)
        deployment = _wait("animate/once", server.find_deployment)
        film = {"manifest": "manifests/demo.csv", "max_usd": 40}
        waiting = server.run(
            deployment, lambda state: state["name"] == "Suspended", **film, results="trailer.csv", approve_above_usd=5
        )
        ended = server.run(deployment, lambda state: state["type"] in FINAL, **film, results="film.csv", limit=4)
        yield url, Runs(deployment, waiting, ended, server.summary_of(ended))


def take_pictures(url: str, runs: Runs, folder: Path) -> None:
    """Take all pictures into a folder."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - where help is asked for, it need not be there

    password = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--hide-scrollbars"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        for name, path, act, width, height in PICTURES:
            page: Any = browser.new_page(viewport={"width": width, "height": height})  # type: ignore[arg-type]
            page.add_init_script(f"localStorage.setItem('prefect-password', '{password}')")
            page.goto(f"{url}{path(runs)}")
            page.wait_for_timeout(4_000)
            act(page)
            page.wait_for_timeout(1_000)
            page.screenshot(path=folder / f"{name}.jpg", type="jpeg", quality=82)
            page.close()
        browser.close()


def main() -> int:
    """Take all pictures."""
    with tempfile.TemporaryDirectory() as folder, filled_server(Path(folder)) as (url, runs):
        take_pictures(url, runs, ROOT / "docs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
