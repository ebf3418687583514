"""The inbox flow: rounds over a folder of manifests, in this process, against the sandbox and a real Prefect server."""

import asyncio
import os
import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from recent import newest_runs
from workbooks import packed, spoiled

from animatic import storage
from animatic.ledger import open_ledger
from animatic.manifest.source import MAX_FILE_BYTES
from animatic.planning.inbox import Line
from animatic.takes.inbox_files import FileState, InboxFile
from flows import inbox_round
from flows.interrupts import Interrupts
from flows.session import SESSION, Session
from flows.settings import Settings

# Prefect leaves some of its sockets to the garbage collector, which says so.
pytestmark = [
    pytest.mark.usefixtures("prefect", "collected"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
BROKEN = "image,prompt\nhttps://stills.example/a.png,\n"


@dataclass
class Box:
    """A folder of manifests, and the account and ledger of its rounds."""

    folder: Path
    settings: Settings
    sandbox: Any
    tools: Any
    tag: str

    def add(self, name: str, words: str = "") -> Path:
        """Put a manifest of one shot into the folder."""
        return self.tools.write_manifest(self.folder / name, [{"prompt": f"{self.tag}{words}"}])

    def play(self, **parameters: Any) -> Any:
        """Play a round over the folder to its end; return the final state of its flow run."""
        given = {"settings": self.settings, "prefix": self.folder} | parameters
        return asyncio.run(play_round(**given))

    @property
    def names(self) -> list[str]:
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.folder).as_posix() for path in found)

    @property
    def bought(self) -> dict[str, int]:
        """Purchases of each prompt, without the tag."""
        return {prompt.removeprefix(self.tag): count for prompt, count in self.sandbox.submitted(self.tag).items()}


@pytest.fixture
def box(tmp_path: Path, settings: Settings, sandbox: Any, tools: Any, tag: str) -> Box:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return Box(folder, settings, sandbox, tools, tag)


async def play_round(settings: Settings, prefix: Any, **parameters: Any) -> Any:
    """Play a round to its end; return the final state of its flow run."""
    from flows.inbox import inbox  # noqa: PLC0415 - imports Prefect

    chosen: dict[str, Any] = {"max_usd": 20, "quiet_s": 0, "options": {"archive": ""}} | parameters
    token = SESSION.set(Session(settings))
    try:
        playing: Any = inbox(prefix=str(prefix), **chosen, return_state=True)
        return await playing
    finally:
        SESSION.reset(token)


async def files_of(settings: Settings, *uris: str) -> list[InboxFile]:
    with open_ledger(settings.ledger) as ledger:
        found = await ledger.find_in_inbox(settings.origin, uris)
    return [found[uri] for uri in uris]


async def held(settings: Settings, uri: str, run_id: str) -> None:
    """Let a run hold a manifest as it stands there."""
    with open_ledger(settings.ledger) as ledger:
        await ledger.note_marks(settings.origin, {uri: "of another round"})
        known = (await ledger.find_in_inbox(settings.origin, [uri]))[uri]
        assert await ledger.hold_manifest(known, "of another time", "", run_id)


def test_ten_rounds_leave_results_and_reports_and_buy_each_take_once(box: Box) -> None:
    for number in range(2):
        box.add(f"ep{number}.csv", f" {number}")
    (box.folder / "broken.csv").write_text(BROKEN)
    (box.folder / "decisions.csv").write_text("shot_id,take,fingerprint,decision\n")
    (box.folder / "notes.txt").write_text("not a table")
    before = {*box.names}
    first = box.play(suffix=".csv")
    shutil.copy(box.folder / "ep0.csv.results.csv", box.folder / "table.csv")  # one of ours, whatever its name is
    later = [box.play(suffix=".csv") for _ in range(9)]
    added = {"ep0.csv.results.csv", "ep1.csv.results.csv", "table.csv", "broken.csv.errors.txt"}
    assert {*box.names} == before | added
    assert {state.name for state in (first, *later)} == {"CompletedWithFailures"}
    assert later[-1].message == "3 manifests: 2 done, 1 refused"
    assert box.bought == {" 0": 1, " 1": 1}
    assert "broken.csv:2: prompt: found nothing" in (box.folder / "broken.csv.errors.txt").read_text()


def test_a_take_that_is_pending_is_looked_after_in_the_next_round(box: Box) -> None:
    manifest, out = box.add("ep.csv"), {"results_prefix": str(box.folder / "out")}
    hasty = box.play(settings=box.settings.model_copy(update={"take_deadline_s": 0.01}), **out)
    assert (hasty.name, hasty.message) == ("CompletedWithFailures", "1 manifest: 1 open")
    whole = box.play(**out)
    assert (whole.name, whole.message) == ("Completed", "1 manifest: 1 done")
    assert box.names == ["ep.csv", "out/ep.csv.results.parquet"]
    manifest.write_text(manifest.read_text().replace(box.tag, f"{box.tag} again"))
    assert box.play(**out).message == "1 manifest: 1 done"
    assert box.bought == {"": 1, " again": 1}
    assert [row["prompt"] for row in box.tools.read_rows(box.folder / "out/ep.csv.results.parquet")] == [
        f"{box.tag} again"
    ]


def test_a_report_goes_once_its_manifest_could_be_run(box: Box) -> None:
    (box.folder / "ep.csv").write_text(BROKEN)
    assert box.play().message == "1 manifest: 1 refused"
    assert box.names == ["ep.csv", "ep.csv.errors.txt"]
    box.add("ep.csv")
    assert box.play().message == "1 manifest: 1 done"
    assert box.names == ["ep.csv", "ep.csv.results.parquet"]


def test_a_name_leads_nowhere_else_and_stops_no_other_manifest(box: Box) -> None:
    names = ["a b.csv", "a%20b.csv", "in%2f..%2f..%2fup.csv", "hash#tag.csv", "new\nline.csv", "rtl\u202e.csv"]
    for name in names:
        box.add(name, f" {name!r}")
    Path(os.fsdecode(os.fsencode(box.folder) + b"/latin\xff.csv")).write_text(BROKEN)
    before = {*box.names}
    state = box.play()
    assert state.message == "7 manifests: 6 done, 1 cannot be run under its name"
    assert {*box.names} == before | {f"{name}.results.parquet" for name in names}
    assert set(box.bought.values()) == {1}


def test_a_manifest_with_a_chain_in_its_name_stops_no_other(box: Box) -> None:
    for name in ("a::b.csv", "ep.csv"):
        box.add(name, name)
    box.play()
    assert box.bought["ep.csv"] == 1
    assert len(box.names) == 4


def test_a_manifest_that_cannot_be_read_gets_a_report(box: Box) -> None:
    with (box.folder / "sparse.csv").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    box.add("ep.csv")
    assert box.play().message == "2 manifests: 1 done, 1 left to the next round"
    assert "sparse.csv.errors.txt" in box.names


def test_two_rounds_at_once_buy_each_take_once(box: Box) -> None:
    for number in range(4):
        box.add(f"ep{number}.csv", f" {number}")

    async def both() -> Any:
        return await asyncio.gather(*(play_round(box.settings, box.folder, at_once=2) for _ in range(2)))

    assert {state.name for state in asyncio.run(both())} == {"Completed"}
    assert box.play().message == "4 manifests: 4 done"
    assert box.bought == {f" {number}": 1 for number in range(4)}


def test_a_file_that_is_being_written_is_left_to_the_next_round(box: Box) -> None:
    box.add("whole.csv")
    half = box.folder / "half.csv"
    half.write_text("image,prom")

    async def write() -> None:
        while True:
            half.write_text(f"{half.read_text()}x")
            await asyncio.sleep(0.02)

    async def written() -> Any:
        writing = asyncio.create_task(write())
        state = await play_round(box.settings, box.folder, quiet_s=0.5)
        writing.cancel()
        return state

    assert asyncio.run(written()).message == "2 manifests: 1 done, 1 still being written"
    assert box.names == ["half.csv", "whole.csv", "whole.csv.results.parquet"]
    box.add("half.csv", " half")
    assert box.play(quiet_s=0.1).message == "2 manifests: 2 done"


def test_a_file_changed_before_its_turn_is_left_to_the_next_round(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.add("a.csv", " a")
    box.add("z.csv", " z")
    whole = inbox_round.read_whole

    def read_while_another_is_written(uri: str, mark: str) -> Any:
        if uri.endswith("a.csv"):
            box.add("z.csv", " z, cut sho")
        return whole(uri, mark)

    monkeypatch.setattr(inbox_round, "read_whole", read_while_another_is_written)
    assert box.play().message == "2 manifests: 1 done, 1 still being written"
    assert box.bought == {" a": 1}


def test_a_workbook_that_nothing_can_unpack_stops_no_other_manifest(box: Box) -> None:
    box.add("ep.csv")
    (box.folder / "a.xlsx").write_bytes(spoiled(packed({"xl/_rels/workbook.xml.rels": "x", "xl/workbook.xml": "<a/>"})))
    assert box.play().message == "2 manifests: 1 done, 1 refused"
    assert "a.xlsx" in (box.folder / "a.xlsx.errors.txt").read_text()


def test_a_key_that_is_refused_ends_the_round_and_blames_no_manifest(box: Box, serve_sandbox: Any) -> None:
    for name in ("a.csv", "b.csv"):
        box.add(name)
    without_quotes = {"base_url": serve_sandbox().url, "price_usd": None}  # none of this account is kept yet
    right = box.settings.model_copy(update=without_quotes)
    state = box.play(settings=right.model_copy(update={"api_key": SecretStr("revoked-key")}))
    assert (state.type, state.name) == ("FAILED", "Failed")
    assert "WaveSpeed answered 401" in state.message
    assert box.names == ["a.csv", "b.csv"]
    assert box.play(settings=right).message == "2 manifests: 2 done"


def test_manifests_are_taken_over_from_dead_runs_but_not_from_live_ones(box: Box) -> None:
    uris = [storage.absolute_uri(str(box.add(f"{name}.csv", f" {name}"))) for name in ("dead", "live")]

    async def scene() -> Any:
        for uri, run_id in zip(uris, ("dead-run", "live-run"), strict=True):
            await held(box.settings, uri, run_id)
        with open_ledger(box.settings.ledger) as ledger:
            async with ledger.run("live-run", uris[1]):
                return await play_round(box.settings, box.folder)

    assert asyncio.run(scene()).message == "2 manifests: 1 another run works on it, 1 done"
    assert box.bought == {" dead": 1}
    assert box.play().message == "2 manifests: 2 done"  # the live run has ended without a word
    assert [each.state for each in asyncio.run(files_of(box.settings, *uris))] == [FileState.DONE] * 2


def test_a_signal_ends_the_round_and_the_run_inside_it(box: Box, serve_sandbox: Any) -> None:
    slow = serve_sandbox("--inference-s", "30")
    settings = box.settings.model_copy(update={"base_url": slow.url})
    for number in range(2):
        box.add(f"ep{number}.csv", f" {number}")

    async def signalled() -> Any:
        playing = asyncio.create_task(play_round(settings, box.folder))
        while not slow.submitted(box.tag):
            await asyncio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)
        return await asyncio.wait_for(playing, 30)

    before = signal.getsignal(signal.SIGTERM)
    state = asyncio.run(signalled())
    assert (state.type, state.name) == ("CANCELLED", "Interrupted")
    assert state.message == "2 manifests: 1 left to the next round, 1 open. Stopped: interrupted by SIGTERM"
    assert box.names == ["ep0.csv", "ep0.csv.results.parquet", "ep1.csv"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_manifests_elsewhere_get_their_results_under_another_prefix(box: Box, tmp_path: Path) -> None:
    prefix = f"memory://{tmp_path.name}"
    storage.replace_bytes(f"{prefix}/ep.csv", f"image,prompt\nhttps://stills.example/a.png,{box.tag}\n".encode())
    storage.replace_bytes(f"{prefix}/broken.csv", BROKEN.encode())
    assert box.play(prefix=prefix, results_prefix=str(box.folder)).message == "2 manifests: 1 done, 1 refused"
    assert box.names == ["broken.csv.errors.txt", "ep.csv.results.parquet"]
    assert {*storage.marks_below(prefix, "*")} == {"broken.csv", "ep.csv"}


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"max_usd": None}, "max_usd: not set"),
        ({"options": {"rows": 3}}, "options: found rows; allowed: accept_estimates, "),
        ({"options": {"results": "x.csv"}}, "options: found results"),
        ({"options": {"credentials": "north"}}, "options: found credentials"),
        ({"prefix": "/there/is/none"}, "prefix: found no folder at"),
        ({"suffix": ".txt"}, 'suffix: found ".txt"'),
        ({"at_once": 0}, "at_once: found 0; allowed: 1 to 16"),
        ({"deployment": "fleet"}, 'deployment: found "fleet"; allowed: FLOW/NAME'),
        ({"pattern": "**"}, "found the pattern"),
    ],
)
def test_a_round_that_cannot_be_meant_is_refused(box: Box, parameters: dict[str, Any], said: str) -> None:
    state = box.play(**parameters)
    assert (state.type, state.name) == ("FAILED", "Refused")
    assert said in state.message


def test_a_manifest_that_is_handed_over_is_run_once(box: Box, prefect: Any) -> None:
    from flows.inbox import run_manifest  # noqa: PLC0415 - imports Prefect

    uri, name = storage.absolute_uri(str(box.add("ep.csv"))), f"fleet-{box.folder.parent.name}"
    deployment = prefect.create_deployment(prefect.create_flow(run_manifest), name)
    chosen = {"deployment": f"inbox-manifest/{name}"}
    assert [box.play(**chosen).message for _ in range(2)] == ["1 manifest: 1 handed over"] * 2
    runs = [run for run in newest_runs(prefect) if run.deployment_id == deployment]
    assert len(runs) == 1

    async def carried_out() -> Any:
        token = SESSION.set(Session(box.settings))
        try:
            running: Any = run_manifest(**runs[0].parameters, return_state=True)
            return await running
        finally:
            SESSION.reset(token)

    assert [asyncio.run(carried_out()).message for _ in range(2)] == ["1 manifest: 1 done"] * 2
    assert box.bought == {"": 1}
    assert box.play(**chosen).message == "1 manifest: 1 done"
    assert [each.runs for each in asyncio.run(files_of(box.settings, uri))] == [1]


def test_takes_that_wait_for_a_person_ring_in_the_round_that_ran_them(box: Box) -> None:
    from flows.inbox import _final_state  # noqa: PLC0415 - imports Prefect

    uri = storage.absolute_uri(str(box.add("ep.csv")))
    box.play()
    (known,) = asyncio.run(files_of(box.settings, uri))
    held = replace(known, counts={"held": 1})
    states = [
        _final_state([Line("ep.csv", "open", held, is_news=is_news)], None, Interrupts()).name
        for is_news in (True, False)
    ]
    assert states == ["Failed", "CompletedWithFailures"]
