"""Media workers as processes of their own, killed in the middle of a batch: another one goes on with it.

Two real workers of Prefect work on the clips of a run that buys from the sandbox.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
import s3_server
from deployed import reply_of, running
from handed_over import waiting_batches

from animatic.takes.media_batches import MOST_HELD
from flows.settings import Settings
from tests.animatic.ledger.conftest import BACKENDS

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

TESTS = Path(__file__).parents[1]
PREFECT = Path(sys.executable).with_name("prefect")
TAKES, MANY = 40, 120
WITHIN_S = 60.0
"""A dead worker's batch is another's after no more than this."""


@dataclass
class Fleet:
    """Media workers, a deployment of their own pool, and the ledger that they share with a run."""

    shell: Any
    tools: Any
    api: str
    deployment: str
    rows: Callable[[str], list[Any]]
    archive: str

    @contextmanager
    def running(self, manifest: Path) -> Generator[None]:
        """Run a manifest, beside the block and after it to its end, which must be a good one."""
        options = ("--results", "out.parquet", "--yes", "--json", "--archive", self.archive)
        process = self.shell.start("run", str(manifest), *options)
        try:
            yield
            stdout, stderr = process.communicate(timeout=250)
        finally:
            self.tools.kill_group(process)
        assert process.returncode == 0, stderr
        assert json.loads(stdout.splitlines()[-1])["submitted"] == manifest.read_text().count("\n") - 1

    def require_whole(self, count: int, *, by_workers: bool = True) -> list[dict[str, Any]]:
        """Return the rows of the table, so many, each with a clip that was archived and checked."""
        rows = self.tools.read_rows(self.shell.home / "out.parquet")
        assert [row["archive_error"] for row in rows] == [None] * count
        assert None not in [row["qa"] for row in rows]
        assert len({row["clip_uri"] for row in rows}) == count
        if by_workers:
            assert self.rows("SELECT count(*) FROM media WHERE holder = run_id") == [(0,)], "workers did all of it"
        return rows

    def taken(self) -> dict[str, tuple[str, int, str]]:
        """Return those of the `holders` whose batches are worked on."""
        return {batch: held for batch, held in self.holders().items() if held[2] == "taken"}

    def holders(self) -> dict[str, tuple[str, int, str]]:
        """Return the run that holds each batch, the pid of that, and the batch's state."""
        found = self.rows("SELECT batch_id, holder, pid, state FROM media JOIN run ON run.run_id = media.holder")
        return {batch: (holder, pid, state) for batch, holder, pid, state in found}

    def find_later_holder(self) -> tuple[str, str, int] | None:
        """Return a batch, the run that holds it and has ended another before, and the pid of that."""
        held = self.holders()
        ended = {holder for holder, _, state in held.values() if state == "done"}
        found = (
            (batch, holder, pid) for batch, (holder, pid, state) in held.items() if state == "taken" and holder in ended
        )
        return next(found, None)

    def start(self, batch: str) -> str:
        """Start a flow run for a batch; return its id."""
        body = {"parameters": {"batch": batch}, "state": {"type": "SCHEDULED"}, "idempotency_key": str(uuid4())}
        path = f"{self.api}/deployments/{self.deployment}/create_flow_run"
        return self.tools.wait_until(lambda: reply_of(path, body), 60)["id"]

    def end_of(self, run_id: str) -> dict[str, Any]:
        """Wait for the end of a flow run; return its final state."""
        return self.tools.wait_until(lambda: self._final(run_id), 120)

    def flow_runs(self) -> dict[str, str | None]:
        """Return the idempotency keys of the deployment's flow runs, by id."""
        body = {"deployments": {"id": {"any_": [self.deployment]}}}
        return {run["id"]: run["idempotency_key"] for run in reply_of(f"{self.api}/flow_runs/filter", body) or ()}

    def hand_over(self, manifest: Path, batches: int) -> list[str]:
        """Buy the takes of a manifest, and hand them over as runs that are no more; return the batches."""
        shell = self.shell
        ended = shell.run("run", str(manifest), "--results", "out.parquet", "--no-archive")
        assert ended.code == 0, ended.stderr
        takes = [row["fingerprint"] for row in self.tools.read_rows(shell.home / "out.parquet")]
        settings = Settings(base_url=shell.more["WAVESPEED_BASE_URL"], ledger=shell.more["ANIMATIC_LEDGER"])
        parts = [takes[number::batches] for number in range(batches)]
        return asyncio.run(waiting_batches(settings, parts, shell.home / self.archive))

    def are_done(self) -> bool:
        """Tell if all batches have ended well, and each clip of them is checked."""
        return {state for (state,) in self.rows("SELECT state FROM media")} == {"done"}

    def _final(self, run_id: str) -> dict[str, Any] | None:
        run = reply_of(f"{self.api}/flow_runs/{run_id}")
        return run["state"] if run and run["state"]["type"] in {"COMPLETED", "FAILED", "CRASHED"} else None


@dataclass(frozen=True)
class Place:
    """A ledger, an archive, and the flow that workers run."""

    ledger: str = "sqlite"
    archive: str = "clips"
    flow: str = "flows.media.media"

    def __str__(self) -> str:
        return self.ledger


@pytest.fixture(params=[Place(), Place("postgresql")], ids=str)
def fleet(request: Any, shell_with_server: Any, prefect_server: Any, tools: Any, tmp_path: Path) -> Iterator[Fleet]:
    place: Place = request.param
    shell, api, pool = shell_with_server, prefect_server.url, f"media-{uuid4().hex[:8]}"
    shell.archives = True
    with ExitStack() as stack:
        url, rows = _ledger(stack, place.ledger, tmp_path)
        shell.more |= {"ANIMATIC_LEDGER": url, "ANIMATIC_MEDIA_DEPLOYMENT": f"media/{pool}"}
        if place.archive.startswith("s3:"):
            request.getfixturevalue("bucket")
            shell.more |= s3_server.environment(request.getfixturevalue("s3_url"))
        httpx.post(f"{api}/work_pools/", json={"name": pool, "type": "process"}, timeout=60).raise_for_status()
        environment = shell.environment | {"PREFECT_WORKER_QUERY_SECONDS": "1", "PYTHONPATH": str(TESTS)}
        deployment = _deploy(api, pool, environment, tmp_path, place.flow)
        for name in ("one", "two"):
            command = [PREFECT, "worker", "start", "--pool", pool, "--type", "process", "--limit", "1", "--name", name]
            output = stack.enter_context((tmp_path / f"{name}.log").open("wb"))
            stack.enter_context(running(command, environment, output))
        tools.wait_until(lambda: reply_of(f"{api}/deployments/{deployment}")["status"] == "READY", 90)
        yield Fleet(shell, tools, api, deployment, rows, place.archive)


def _ledger(stack: ExitStack, kind: str, folder: Path) -> tuple[str, Callable[[str], list[Any]]]:
    """Return the URL of a new ledger, and what reads its rows from outside; no row before there is a ledger."""
    made = BACKENDS[kind](folder)
    stack.callback(made.end)

    def rows(sql: str) -> list[Any]:
        with contextlib.suppress(sqlite3.OperationalError, psycopg.errors.UndefinedTable):
            return made.rows(sql)
        return []

    return made.url, rows


def _deploy(api: str, pool: str, environment: dict[str, str], folder: Path, flow: str) -> str:
    """Deploy the project's own entry, or a test's, under the pool's name."""
    entry = {"name": pool, "entrypoint": flow, "work_pool": {"name": pool}}
    file = folder / "prefect.yaml"
    file.write_text(json.dumps({"name": "animatic", "deployments": [entry]}))
    command = [PREFECT, "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=90)
    return reply_of(f"{api}/deployments/name/media/{pool}")["id"]


def _kill_session_of(pid: int) -> None:
    """Kill a process and all of its session: the worker that started it, and what it started."""
    session = os.getsid(pid)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int(stat.read_text().rpartition(")")[2].split()[3]) == session:
                os.kill(int(stat.parent.name), signal.SIGKILL)


@pytest.fixture
def shots(manifest: Any, tag: str) -> Callable[[int], Path]:
    """Writes a manifest of so many shots."""
    return lambda count: manifest(*({"prompt": f"{tag} {number}", "shot_id": f"s{number}"} for number in range(count)))


def kill_one_at_work(fleet: Fleet) -> str:
    """Kill a worker that has a batch; return that, once all that it held is another's."""
    batch, (holder, pid, _) = next(iter(fleet.tools.wait_until(fleet.taken, 120).items()))
    _kill_session_of(pid)
    fleet.tools.wait_until(lambda: holder not in {by for by, _, _ in fleet.taken().values()}, WITHIN_S)
    return batch


def test_the_batch_of_a_killed_worker_is_gone_on_with_by_another(fleet: Fleet, shots: Callable[[int], Path]) -> None:
    with fleet.running(shots(TAKES)):
        batch = kill_one_at_work(fleet)
    fleet.require_whole(TAKES)
    assert any("the next free media worker has it" in path.read_text() for path in fleet.shell.logs())
    assert fleet.rows(f"SELECT state, times_taken FROM media WHERE batch_id = '{batch}'") == [("done", 2)]
    again = fleet.end_of(fleet.start(batch))
    assert (again["type"], again["message"]) == ("COMPLETED", "the batch is done already")


def test_a_worker_killed_with_a_later_batch_loses_only_what_it_holds(
    fleet: Fleet, shots: Callable[[int], Path]
) -> None:
    with fleet.running(shots(MANY)):
        batch, holder, pid = fleet.tools.wait_until(fleet.find_later_holder, 180)
        done = {name for name, (by, _, state) in fleet.holders().items() if (by, state) == (holder, "done")}
        _kill_session_of(pid)
        fleet.tools.wait_until(lambda: holder not in {by for by, _, _ in fleet.taken().values()}, WITHIN_S)
    fleet.require_whole(MANY)
    batches = fleet.rows("SELECT batch_id, state, times_taken, holder FROM media")
    assert {state for _, state, _, _ in batches} == {"done"}
    lost = {name for name, _, times, _ in batches if times > 1}
    assert batch in lost
    assert len(lost) <= MOST_HELD
    assert {name for name, _, _, by in batches if by == holder} >= done, "what it had ended is left alone"
    assert len({by for _, _, _, by in batches}) < len(batches), "flow runs went on to other batches"


def test_a_run_whose_workers_are_all_killed_does_it_itself(fleet: Fleet, shots: Callable[[int], Path]) -> None:
    with fleet.running(shots(TAKES)):
        for _ in range(2):
            for _, pid, _ in fleet.tools.wait_until(fleet.taken, 120).values():
                with contextlib.suppress(ProcessLookupError):
                    _kill_session_of(pid)
    fleet.require_whole(TAKES, by_workers=False)


@pytest.mark.services
@pytest.mark.parametrize("fleet", [Place(archive="s3://bucket/clips")], indirect=True, ids=["s3"])
def test_clips_land_whole_in_a_bucket_though_a_worker_is_killed(
    fleet: Fleet, shots: Callable[[int], Path], bucket: Any
) -> None:
    with fleet.running(shots(TAKES)):
        kill_one_at_work(fleet)
    rows = fleet.require_whole(TAKES)
    bucket.invalidate_cache()
    there = {f"s3://{path}": bucket.cat_file(path) for path in bucket.find("bucket")}
    clips = {row["clip_uri"]: row["sha256"] for row in rows}
    assert {uri: hashlib.sha256(there[uri]).hexdigest() for uri in clips} == clips
    assert {*there} - {*clips} == {"s3://bucket/clips/metadata.parquet"}, "nothing else is there"
    assert "Uploads" not in bucket.call_s3("list_multipart_uploads", Bucket="bucket"), "no upload is left half done"


@pytest.mark.parametrize("fleet", [Place(flow="media_soon_over.media")], indirect=True, ids=["sqlite"])
def test_a_flow_run_that_ends_starts_its_successor(fleet: Fleet, shots: Callable[[int], Path]) -> None:
    first = fleet.start(fleet.hand_over(shots(TAKES), 3)[0])
    fleet.tools.wait_until(fleet.are_done, 200)
    assert fleet.rows("SELECT count(*) FROM quality") == [(TAKES,)]
    runs = fleet.flow_runs()
    for each in runs:
        fleet.end_of(each)
    followed = {key.removeprefix("animatic-media-after-") for key in runs.values() if key and "-after-" in key}
    assert len(followed) == len(runs) - 1 >= 1, "each was started by another one, but for the first"
    assert first in followed
    assert followed <= {*runs}


def test_the_batch_of_a_dead_runs_dead_worker_is_still_finished(fleet: Fleet, shots: Callable[[int], Path]) -> None:
    batches = fleet.hand_over(shots(MANY), 6)
    for batch in batches[:2]:
        fleet.start(batch)
    fleet.tools.wait_until(lambda: len({by for by, _, _ in fleet.taken().values()}) > 1, 120)
    holder, pid, _ = next(iter(fleet.taken().values()))
    _kill_session_of(pid)
    fleet.tools.wait_until(lambda: holder not in {by for by, _, _ in fleet.taken().values()}, WITHIN_S)
    fleet.tools.wait_until(fleet.are_done, 120)
    assert fleet.rows("SELECT count(*) FROM quality") == [(MANY,)]
    assert len(fleet.flow_runs()) == 2, "no other flow run was started"
