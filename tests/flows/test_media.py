"""Clips that media workers archive and check: handed over by reference, once each, and never waited for in vain.

The worker of these tests polls the shared Prefect server as a real one does, and carries runs out in a thread.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from handed_over import waiting_batches

from animatic.errors import LedgerAwayError
from animatic.ledger import open_ledger
from animatic.storage.folder import Folder
from animatic.takes.media_batches import FEWEST_SCHEDULED, MOST_HELD, BatchState, MediaBatch
from flows.media_pool import MediaPool, _Handed
from flows.media_runs import MediaRuns
from flows.session import SESSION, Session
from flows.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@dataclass
class Deployed:
    """A deployment of the flow `media` on the shared server, and the runs of it that were started."""

    id: str
    name: str
    url: str
    client: Any

    @property
    def batches(self) -> list[str]:
        runs = self.client.read_flow_runs()
        return sorted(run.parameters["batch"] for run in runs if str(run.deployment_id) == self.id)

    def poll(self) -> list[dict[str, Any]]:
        """Return the runs that wait for a worker. Prefect takes who polls for a worker that lives."""
        reply = httpx.post(f"{self.url}/deployments/get_scheduled_flow_runs", json={"deployment_ids": [self.id]})
        return reply.raise_for_status().json()


@pytest.fixture
def deployed(prefect: Any, prefect_server: Any) -> Deployed:
    from flows.media import media  # noqa: PLC0415 - imports Prefect

    name = f"media-{uuid4().hex[:8]}"
    deployment = prefect.create_deployment(prefect.create_flow(media), name)
    return Deployed(str(deployment), f"media/{name}", prefect_server.url, prefect)


@dataclass
class Worker:
    """Carries out what waits for it.

    Attributes:
        states: final ones, by batch.
        before: is called before each batch.
    """

    deployed: Deployed
    settings: Settings
    states: dict[str, Any] = field(default_factory=dict[str, Any])
    before: Callable[[], Any] = lambda: None

    def work(self, is_over: threading.Event) -> None:
        while not is_over.is_set():
            with suppress(httpx.HTTPError):
                for run in self.deployed.poll():
                    batch = run["parameters"]["batch"]
                    if batch not in self.states:
                        self.before()
                        self.states[batch] = asyncio.run(carried_out(batch, self.settings))
            is_over.wait(0.5)


async def carried_out(batch: str, settings: Settings) -> Any:
    from flows.media import media  # noqa: PLC0415 - imports Prefect

    token = SESSION.set(Session(settings))
    try:
        running: Any = media(batch, return_state=True)
        return await running
    finally:
        SESSION.reset(token)


@contextmanager
def working(deployed: Deployed, settings: Settings) -> Generator[Worker]:
    worker, is_over = Worker(deployed, settings), threading.Event()
    thread = threading.Thread(target=copy_context().run, args=(worker.work, is_over))
    thread.start()
    try:
        until = time.monotonic() + 20
        while httpx.get(f"{deployed.url}/deployments/{deployed.id}").json()["status"] != "READY":
            assert time.monotonic() < until, "Prefect sees the worker"
            time.sleep(0.1)
        yield worker
    finally:
        is_over.set()
        thread.join()


async def batches_of(settings: Settings, ids: list[str]) -> list[MediaBatch]:
    with open_ledger(settings.ledger) as ledger:
        return await ledger.batches.look_at(ids)


@pytest.fixture
def shots(manifest: Callable[..., Path], tag: str) -> Path:
    return manifest(*({"prompt": f"{name} {tag}", "shot_id": name} for name in ("one", "two", "three")))


def settings_with(settings: Settings, deployed: Deployed) -> Settings:
    return settings.model_copy(update={"media_deployment": deployed.name})


def test_workers_archive_and_check_the_clips_of_a_run(
    run_flow: Any, settings: Settings, deployed: Deployed, shots: Path, tmp_path: Path
) -> None:
    ours = settings_with(settings, deployed)
    with working(deployed, settings) as worker:
        ran = run_flow(shots, settings=ours, archive=str(tmp_path / "clips"))
    assert ran.statuses == ["completed"] * 3
    assert [row["archive_error"] for row in ran.rows] == [None] * 3
    assert len({row["clip_uri"] for row in ran.rows}) == 3
    assert None not in [row["qa"] for row in ran.rows], "they were checked"
    (batch,) = asyncio.run(batches_of(settings, deployed.batches))
    assert (batch.state, batch.counts.kept, batch.counts.checked) == (BatchState.DONE, 3, 3)
    assert batch.holder != ran.session.run_id
    assert [state.name for state in worker.states.values()] == ["Completed"]
    again = asyncio.run(carried_out(batch.batch_id, settings))
    assert (again.name, again.message) == ("Completed", "the batch is done already")
    progress = ran.session.progress
    assert (progress.archive.kept, progress.archive.left, progress.checks.done) == (3, 0, 3)


def test_without_a_worker_a_run_does_it_itself(
    run_flow: Any, settings: Settings, deployed: Deployed, shots: Path, tmp_path: Path
) -> None:
    ran = run_flow(shots, settings=settings_with(settings, deployed), archive=str(tmp_path / "clips"))
    assert [row["archive_error"] for row in ran.rows] == [None] * 3
    assert all(row["clip_uri"] for row in ran.rows)
    assert deployed.batches == []


def test_a_batch_that_no_worker_can_do_is_done_by_the_run(
    run_flow: Any, settings: Settings, deployed: Deployed, shots: Path, tmp_path: Path
) -> None:
    clips = tmp_path / "clips"
    with working(deployed, settings) as worker:
        worker.before = lambda: (clips / ".animatic-folder").write_text("of another machine")
        ran = run_flow(shots, settings=settings_with(settings, deployed), archive=str(clips))
    assert [row["archive_error"] for row in ran.rows] == [None] * 3
    assert None not in [row["qa"] for row in ran.rows]
    (state,) = worker.states.values()
    assert (state.type, "another folder on this machine" in state.message) == ("FAILED", True)
    (batch,) = asyncio.run(batches_of(settings, deployed.batches))
    assert (batch.state, batch.holder) == (BatchState.DONE, ran.session.run_id)
    assert (ran.session.progress.archive.kept, ran.session.progress.archive.left) == (3, 0)


@pytest.fixture
def bought(run_flow: Any, settings: Settings, shots: Path) -> list[list[str]]:
    """Takes that were bought, and whose clips are in no archive: one for each batch."""
    return [[row["fingerprint"]] for row in run_flow(shots, settings=settings).rows]


@pytest.fixture
def waits_for_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow run ends at once when no batch waits."""
    monkeypatch.setattr("flows.media_backlog.WAITS_FOR_MORE_S", 0.0)


async def taken_and_ended(settings: Settings, batch_id: str) -> None:
    """Let the run that handed a batch over work on it itself."""
    with open_ledger(settings.ledger) as ledger:
        found = await ledger.batches.find(batch_id)
        assert found is not None
        assert await ledger.batches.take(found, found.run_id)
        assert await ledger.batches.end(batch_id, found.run_id, BatchState.DONE, found.counts)


@pytest.mark.usefixtures("waits_for_no_more")
@pytest.mark.parametrize(
    ("is_done", "said"),
    [
        (False, "3 batches: 3/3 clips archived, 3/3 clips checked, 3 fail"),
        (True, "2 batches: 2/2 clips archived, 2/2 clips checked, 2 fail"),
    ],
)
def test_a_flow_run_goes_on_to_the_batches_that_wait(
    bought: list[list[str]], settings: Settings, tmp_path: Path, is_done: bool, said: str
) -> None:
    ids = asyncio.run(waiting_batches(settings, bought, tmp_path / "clips"))
    if is_done:
        asyncio.run(taken_and_ended(settings, ids[1]))
    state = asyncio.run(carried_out(ids[1], settings))
    assert (state.name, state.message) == ("Completed", said)
    found = asyncio.run(batches_of(settings, ids))
    assert {each.state for each in found} == {BatchState.DONE}
    assert len({each.holder for each in found}) == 1 + is_done
    again = asyncio.run(carried_out(ids[0], settings))
    assert (again.name, again.message) == ("Completed", "the batch is done already")


async def held_at_once(settings: Settings, ids: list[str]) -> tuple[str, int]:
    """Carry a flow run out; return its message, and the most batches that it held at once."""
    running, most = asyncio.create_task(carried_out(ids[0], settings)), 0
    with open_ledger(settings.ledger) as ledger:
        while not running.done():
            found = await ledger.batches.look_at(ids)
            most = max(most, sum(each.state is BatchState.TAKEN for each in found))
            await asyncio.sleep(0.01)
    return (await running).message, most


@pytest.mark.usefixtures("waits_for_no_more")
def test_the_next_batch_is_taken_while_the_last_one_is_checked(
    bought: list[list[str]], settings: Settings, tmp_path: Path
) -> None:
    ids = asyncio.run(waiting_batches(settings, bought, tmp_path / "clips"))
    said, most = asyncio.run(held_at_once(settings, ids))
    assert (said, most) == ("3 batches: 3/3 clips archived, 3/3 clips checked, 3 fail", MOST_HELD)


@pytest.mark.usefixtures("waits_for_no_more")
def test_batches_of_the_same_take_are_worked_on_one_after_the_other(
    bought: list[list[str]], settings: Settings, tmp_path: Path
) -> None:
    ids = asyncio.run(waiting_batches(settings, bought[:1] * 3, tmp_path / "clips"))
    said, most = asyncio.run(held_at_once(settings, ids))
    assert (said, most) == ("3 batches: 3/3 clips archived, 1/1 clips checked, 1 fails", 1)


def test_a_flow_run_that_has_gone_on_for_long_leaves_the_rest(
    bought: list[list[str]], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("animatic.takes.media_batches.GOES_ON_S", 0.0)
    ids = asyncio.run(waiting_batches(settings, bought, tmp_path / "clips"))
    asyncio.run(carried_out(ids[1], settings))
    states = {each.batch_id: each.state for each in asyncio.run(batches_of(settings, ids))}
    assert states == {ids[0]: BatchState.WAITING, ids[1]: BatchState.DONE, ids[2]: BatchState.WAITING}


@pytest.mark.usefixtures("waits_for_no_more")
def test_a_folder_that_is_another_here_is_passed_over(
    bought: list[list[str]], settings: Settings, tmp_path: Path
) -> None:
    there = asyncio.run(waiting_batches(settings, bought[:1], tmp_path / "there"))
    (tmp_path / "there" / ".animatic-folder").write_text("of another machine")

    async def hand_over() -> None:
        with open_ledger(settings.ledger) as ledger:
            found = await ledger.batches.find(there[0])
            assert found is not None
            archive = Folder(str(tmp_path / "clips"))
            of_here = replace(found, batch_id="run-9-0001", run_id="run-9", archive=archive.uri, mark=archive.mark())
            await ledger.batches.hand_over(of_here)

    asyncio.run(hand_over())
    state = asyncio.run(carried_out("run-9-0001", settings))
    assert (state.name, state.message) == ("Completed", "1/1 clips archived, 1/1 clips checked, 1 fails")
    (found,) = asyncio.run(batches_of(settings, there))
    assert (found.state, found.times_taken) == (BatchState.WAITING, 0)


async def test_fewer_flow_runs_than_batches_await_workers_and_those_left_are_cancelled(deployed: Deployed) -> None:
    batches = [MediaBatch(f"run-1-{number:04}", "run-1", "p", "/a", "", "n", "/") for number in range(9)]
    runs = MediaRuns(deployed.name)
    for _ in range(2):
        await runs.schedule(batches, 0)
        assert deployed.batches == [each.batch_id for each in batches[:FEWEST_SCHEDULED]]
    await runs.schedule(batches, FEWEST_SCHEDULED + 2)
    assert len(deployed.batches) == FEWEST_SCHEDULED + 2
    assert [runs.is_started(each) for each in batches] == [True] * 6 + [False] * 3
    await runs.cancel_rest()
    assert {
        run.state_type.value for run in deployed.client.read_flow_runs() if str(run.deployment_id) == deployed.id
    } == {"CANCELLED"}
    await runs.schedule(batches[-1:], 1)
    assert len(deployed.batches) == FEWEST_SCHEDULED + 3


@pytest.mark.parametrize(
    ("batch", "base_url", "said"),
    [
        ("run-1-0002", None, "batch: found no run-1-0002 in the ledger"),
        ("run-1-0001", "http://127.0.0.1:9", "batch run-1-0001: it was bought at https://api.example"),
    ],
)
def test_a_worker_that_cannot_know_a_batch_is_refused(
    prefect: Any, settings: Settings, batch: str, base_url: str | None, said: str
) -> None:
    async def hand_over() -> None:
        with open_ledger(settings.ledger) as ledger:
            await ledger.batches.hand_over(MediaBatch("run-1-0001", "run-1", "https://api.example", "/a", "", "n", "m"))

    asyncio.run(hand_over())
    at = settings if base_url is None else settings.model_copy(update={"base_url": base_url})
    state = asyncio.run(carried_out(batch, at))
    assert (state.type, state.name) == ("FAILED", "Refused")
    assert state.message.startswith(said)


async def test_a_watch_that_died_long_ago_is_told_and_not_waited_for() -> None:
    session = SimpleNamespace(progress=None)
    pool = MediaPool(SimpleNamespace(ledger=SimpleNamespace(batches=None), session=session), "media/media", None, None)  # type: ignore[arg-type]

    async def die() -> None:
        raise LedgerAwayError("the ledger's server did not answer")

    pool._handed["run-1-0001"] = _Handed()
    pool._watch = asyncio.create_task(die())
    await asyncio.sleep(0)
    with pytest.raises(LedgerAwayError):
        async with asyncio.timeout(5):
            await pool.archived()
