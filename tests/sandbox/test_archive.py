"""Clips into folders on disk, in memory and on S3: each once, whatever happens to line, disk and archive."""

import asyncio
import contextlib
import errno
import hashlib
import io
import os
import shutil
import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from animatic.ledger import Clip, open_ledger
from animatic.media import archive as archiving
from animatic.media.archive import Archive, Output
from animatic.media.clip_names import ClipIdentity, ClipName
from animatic.media.dataset import FILE, SCHEMA, describe
from animatic.progress import ArchiveProgress
from animatic.storage.folder import Folder, Incoming

Shot = Any


class Gate:
    """A server between the archive and the sandbox, which counts downloads and gives the answers in `answers` first."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: list[web.Response] = []
        self.url = ""
        self.origin = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if self.answers:
            return self.answers.pop(0)
        async with aiohttp.ClientSession() as session, session.get(f"{self.origin}{request.path}") as reply:
            return web.Response(status=reply.status, body=await reply.read())


@pytest.fixture
async def gate() -> AsyncGenerator[Gate]:
    gate, app = Gate(), web.Application()
    app.router.add_get("/{path:.*}", gate.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses
    gate.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield gate
    await runner.cleanup()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiving, "BACKOFFS_S", (0.01, 0.02, 0.03))


@pytest.fixture(params=["disk", "memory", pytest.param("s3", marks=pytest.mark.services)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        request.getfixturevalue("bucket")
        return f"s3://bucket/{uuid4().hex}/clips"
    return str(tmp_path / "clips") if request.param == "disk" else f"memory://{uuid4().hex}/clips"


class Bought:
    """Takes that were bought, and archives of their clips."""

    def __init__(self, studio: Any, gate: Gate, takes: Sequence[Any], records: dict[str, Any]) -> None:
        self.studio, self.gate, self.takes, self.records = studio, gate, takes, records
        self.reported: list[str] = []

    def outputs(self, **changes: Any) -> list[Output]:
        found = []
        for take in self.takes:
            record = self.records[f"{take.shot.inputs['prompt']}/{take.number}"]
            names = {"storyboard": "board", "shot_id": take.shot.inputs["prompt"]} | changes
            identity = ClipIdentity(
                take.fingerprint, take=take.number, version=1, prediction_id=record.prediction_id, **names
            )
            url = record.outputs[0].replace(self.gate.origin, self.gate.url)
            found.append(Output(record.attempt_id, identity, take.name, url))
        return found

    @asynccontextmanager
    async def archive(
        self, uri: str, template: str = "", *, run_id: str = "a", is_listed: bool = True
    ) -> AsyncGenerator[Archive]:
        async def ask(prediction_id: str) -> Sequence[str]:
            return [f"{self.gate.url}/outputs/{prediction_id}/1.mp4"]

        with open_ledger(f"sqlite:///{self.studio.ledger}") as ledger:
            async with (
                ledger.run(f"{run_id}-{uuid4().hex[:6]}", "shots.csv") as run,
                Archive(
                    Folder(uri), ClipName(template) if template else ClipName(), ledger,
                    run_id=run.run_id, ask=ask, warn=self.reported.append, progress=ArchiveProgress(),
                    origin=self.gate.url, is_listed=is_listed,
                ) as archive,
            ):  # fmt: skip
                yield archive

    async def put(self, uri: str, template: str = "", **changes: Any) -> ArchiveProgress:
        async with self.archive(uri, template) as archive:
            await archive.add(self.outputs(**changes))
            return archive.progress

    async def clips(self) -> list[Clip]:
        with open_ledger(f"sqlite:///{self.studio.ledger}") as ledger:
            return [clip for _, clip in await ledger.clips_of([take.fingerprint for take in self.takes])]


@pytest.fixture
async def bought(studio: Any, gate: Gate) -> Bought:
    gate.origin = (await studio.open_sandbox(clip_bytes=60_000)).url
    takes = studio.takes("one", "two", "three")
    await studio.run(takes)
    return Bought(studio, gate, takes, await studio.records(takes))


def files_in(uri: str) -> dict[str, bytes]:
    system, path = fsspec.core.url_to_fs(uri)
    system.invalidate_cache()
    with contextlib.suppress(FileNotFoundError):
        return {name.rpartition("/")[2]: system.cat_file(name) for name in system.ls(path, detail=False)}
    return {}


async def test_clips_are_there_by_name_with_hash_size_and_probe(bought: Bought, place: str) -> None:
    progress = await bought.put(place)
    assert (progress.kept, progress.failed, progress.received_bytes) == (3, 0, 180_000)
    files = files_in(place)
    assert sorted(files) == [f"board_{name}_t01.mp4" for name in ("one", "three", "two")]
    for clip in await bought.clips():
        assert clip.file is not None
        data = files[clip.file]
        assert (clip.sha256, clip.size_bytes) == (hashlib.sha256(data).hexdigest(), 60_000)
        assert (clip.codec, clip.width, clip.height, clip.duration_s, clip.error) == ("h264", 1280, 720, 5.0, None)


async def test_what_is_there_is_not_fetched_again(bought: Bought, place: str) -> None:
    await bought.put(place)
    asked = len(bought.gate.asked)
    async with bought.archive(place) as archive:
        assert all(archive.has(each.attempt_id, each.identity) for each in bought.outputs())
        await archive.add(bought.outputs())
    assert len(bought.gate.asked) == asked == 3


async def test_another_name_or_archive_is_linked_or_copied(bought: Bought, place: str, tmp_path: Path) -> None:
    await bought.put(place)
    await bought.put(place, "{shot_id}_v{version:02}")
    await bought.put(place, storyboard="renamed")
    await bought.put(str(tmp_path / "elsewhere"))
    assert len(bought.gate.asked) == 3
    assert len(files_in(place)) == 9
    assert len(files_in(str(tmp_path / "elsewhere"))) == 3
    if (Path(place) / "one_v01.mp4").exists():
        assert (Path(place) / "one_v01.mp4").stat().st_ino == (Path(place) / "board_one_t01.mp4").stat().st_ino


async def test_a_deleted_clip_is_fetched_again_or_named_as_lost(bought: Bought, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    await bought.put(str(folder))
    (folder / "board_one_t01.mp4").unlink()
    (folder / "board_two_t01.mp4").write_bytes(b"cut")
    assert (await bought.put(str(folder))).kept == 3
    assert (folder / "board_two_t01.mp4").read_bytes() == b"cut", "another file has the name now, and keeps it"
    assert len(list(folder.glob("board_two_t01_*.mp4"))) == 1
    assert (folder / "board_one_t01.mp4").stat().st_size == 60_000
    (folder / "board_one_t01.mp4").unlink()
    bought.gate.answers = [web.Response(status=404) for _ in range(20)]
    assert (await bought.put(str(folder))).failed >= 1
    lost = [clip for clip in await bought.clips() if clip.name == "board_one_t01"]
    assert "is not in the archive any more" in str(lost[0].error)
    assert lost[0].file is None


async def test_clips_of_a_disk_that_was_away_are_found_again(bought: Bought, tmp_path: Path) -> None:
    folder, mounted = tmp_path / "clips", tmp_path / "mounted"
    await bought.put(str(folder))
    folder.rename(mounted)
    bought.gate.answers = [web.Response(status=404) for _ in range(40)]
    async with bought.archive(str(folder)) as archive:
        await archive.add(bought.outputs())
    assert archive.progress.failed == 3
    assert (
        "found none of the 3 clips that the ledger knows there; if it is a disk that is not mounted"
        in bought.reported[0]
    )
    shutil.rmtree(folder)
    mounted.rename(folder)
    asked = len(bought.gate.asked)
    assert (await bought.put(str(folder))).kept == 3
    assert len(bought.gate.asked) == asked, "no URL was asked for"
    assert [(clip.file is None, clip.error) for clip in await bought.clips()] == [(False, None)] * 3


async def test_a_store_that_cannot_be_asked_loses_no_clip(bought: Bought, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    await bought.put(str(folder))
    asked = len(bought.gate.asked)
    async with bought.archive(str(folder), is_listed=False) as archive:

        def size_of(name: str) -> int:
            raise PermissionError(13, f"no {name} for you")

        archive.folder.size_of = size_of
        await archive.add(bought.outputs())
    assert (archive.progress.failed, len(bought.gate.asked)) == (3, asked)
    assert ["cannot be asked for its clips: no board" in line for line in bought.reported] == [True] * 3
    assert [(clip.file is None, clip.error) for clip in await bought.clips()] == [(False, None)] * 3
    assert (await bought.put(str(folder))).kept == 3
    assert len(bought.gate.asked) == asked


async def test_a_clip_that_another_run_gave_up_is_fetched(bought: Bought, place: str) -> None:
    async with bought.archive(place, run_id="other") as other:
        booked = await other._ledger.book_clips(
            other.folder.uri, [*map(other._wanted, bought.outputs())], other._run_id
        )
        putting = asyncio.create_task(bought.put(place))
        await asyncio.sleep(0)
        for booking in booked:
            await other._ledger.give_up_clip(booking.clip, "stopped")
        assert (await putting).kept == 3
    assert len(bought.gate.asked) == 3
    assert [(clip.file is None, clip.error) for clip in await bought.clips()] == [(False, None)] * 3


async def test_a_clip_that_another_run_never_fetches_is_taken_over(
    bought: Bought, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "OTHERS_WITHIN_S", 0.2)
    async with bought.archive(place, run_id="other") as other:
        booked = await other._ledger.book_clips(
            other.folder.uri, [*map(other._wanted, bought.outputs())], other._run_id
        )
        assert (await bought.put(place)).kept == 3
        for booking in booked:
            await other._ledger.give_up_clip(booking.clip, "too late")
    assert [(clip.file is None, clip.error) for clip in await bought.clips()] == [(False, None)] * 3


async def test_a_foreign_file_keeps_its_name_and_our_own_orphan_is_adopted(bought: Bought, place: str) -> None:
    await bought.put(place)
    files = files_in(place)
    with sqlite3.connect(bought.studio.ledger) as ledger:  # as if killed before the ledger knew
        ledger.execute("UPDATE clip SET file = NULL, sha256 = NULL, archived_at = NULL")
    system, path = fsspec.core.url_to_fs(place)
    system.pipe_file(f"{path}/board_two_t01.mp4", b"another's")
    assert (await bought.put(place)).kept == 3
    after = files_in(place)
    assert after["board_one_t01.mp4"] == files["board_one_t01.mp4"]
    assert after["board_two_t01.mp4"] == b"another's"
    assert sum(name.startswith("board_two_t01_") for name in after) == 1


async def test_what_is_no_file_keeps_its_name_too(bought: Bought, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    (folder / "board_one_t01.mp4").mkdir(parents=True)
    (folder / "board_two_t01.mp4").symlink_to("/nonexistent/place")
    os.mkfifo(folder / "board_three_t01.mp4")
    assert (await bought.put(str(folder))).kept == 3
    assert len([path for path in folder.iterdir() if path.is_file()]) == 3


async def test_a_large_foreign_file_is_told_apart_by_its_size(bought: Bought, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    with (folder / "board_one_t01.mp4").open("wb") as foreign:
        foreign.truncate(300 << 30)
    async with asyncio.timeout(20):
        assert (await bought.put(str(folder))).kept == 3


async def test_names_that_other_clips_have_get_numbers(bought: Bought, tmp_path: Path) -> None:
    folder, (one, *_) = str(tmp_path / "clips"), bought.outputs()
    names = ["one", f"one_{one.identity.fingerprint[:8]}", f"one_{one.identity.fingerprint}"]
    with sqlite3.connect(bought.studio.ledger) as ledger:
        for number, name in enumerate(names, 100):
            ledger.execute(
                "INSERT INTO clip (attempt_id, output, archive, name, name_key, run_id) VALUES (?, ?, ?, ?, ?, ?)",
                (one.attempt_id, number, Folder(folder).uri, name, name, "a-run"),
            )
    assert (await bought.put(folder, "{shot_id}")).kept == 3
    assert f"one_{one.identity.fingerprint}_2.mp4" in files_in(folder)


async def test_a_dead_url_is_asked_for_anew(bought: Bought, place: str) -> None:
    bought.gate.answers = [web.Response(status=410)]
    assert (await bought.put(place)).kept == 3
    assert len(bought.gate.asked) == 4


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_what_may_pass_is_tried_again(bought: Bought, place: str, status: int) -> None:
    bought.gate.answers = [web.Response(status=status), web.Response(status=status)]
    assert (await bought.put(place)).kept == 3
    assert len(bought.gate.asked) == 5


async def test_what_never_comes_is_told_and_leaves_no_half_file(bought: Bought, place: str) -> None:
    bought.gate.answers = [web.Response(body=b"<html>please log in</html>") for _ in range(40)]
    progress = await bought.put(place)
    assert (progress.kept, progress.failed) == (0, 3)
    assert all("no video, picture or sound" in str(clip.error) for clip in await bought.clips())
    assert files_in(place) == {}
    bought.gate.answers = []
    assert (await bought.put(place)).kept == 3


async def test_a_file_that_is_no_video_inside_is_kept_and_told(bought: Bought, place: str) -> None:
    bought.gate.answers = [web.Response(body=b"\0\0\0\x20ftypisom" + bytes(5_000))]
    assert (await bought.put(place)).kept == 3
    (odd,) = [clip for clip in await bought.clips() if clip.error]
    assert "is not a playable video" in str(odd.error)
    assert odd.size_bytes == 5_012


async def test_two_runs_at_once_fetch_each_clip_once(bought: Bought, place: str) -> None:
    async with bought.archive(place) as one, bought.archive(place, run_id="b") as other:
        await asyncio.gather(one.add(bought.outputs()), other.add(bought.outputs()))
        assert one.progress.left == other.progress.left
    assert len(bought.gate.asked) == 3
    assert len(files_in(place)) == 3


async def test_a_full_disk_ends_archiving_and_is_told_once(
    bought: Bought, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: Incoming, _name: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Incoming, "put", full)
        progress = await bought.put(str(tmp_path / "clips"))
    assert (progress.kept, progress.failed) == (0, 3)
    assert len(bought.reported) == 1
    assert "No space left on device" in bought.reported[0]
    assert list((tmp_path / "clips").iterdir()) == []
    assert (await bought.put(str(tmp_path / "clips"))).kept == 3


async def test_a_stop_gives_up_what_is_on_its_way(bought: Bought, gate: Gate, tmp_path: Path) -> None:
    hangs = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        hangs.set()
        await asyncio.sleep(60)
        raise AssertionError

    gate.answer = hang  # type: ignore[method-assign]
    app = web.Application()
    app.router.add_get("/{path:.*}", hang)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gate.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with asyncio.timeout(10), bought.archive(str(tmp_path / "clips")) as archive:
        adding = asyncio.create_task(archive.add(bought.outputs()))
        await hangs.wait()
        archive.stop("not archived: interrupted")
        await adding
        assert archive.progress.failed == 3
    await runner.cleanup()
    assert list((tmp_path / "clips").iterdir()) == []
    assert {clip.error for clip in await bought.clips()} == {"not archived: interrupted"}


async def test_a_store_that_is_unwell_is_told_and_ends_nothing(
    bought: Bought, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwell(_self: Incoming, _name: str) -> None:
        raise RuntimeError("of a client of a store")

    with monkeypatch.context() as patch:
        patch.setattr(Incoming, "put", unwell)
        progress = await bought.put(str(tmp_path / "clips"))
    assert (progress.kept, progress.failed) == (0, 3)
    reason = "cannot write to it: RuntimeError: of a client of a store"
    assert [str(clip.error).endswith(reason) for clip in await bought.clips()] == [True] * 3
    assert bought.reported == []
    assert (await bought.put(str(tmp_path / "clips"))).kept == 3


async def test_a_store_that_is_away_for_a_moment_is_asked_again(
    bought: Bought, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, tries = Incoming.put, list[str]()

    def away(incoming: Incoming, name: str) -> None:
        tries.append(name)
        if tries.count(name) == 1:
            raise ConnectionResetError("by the store")
        put(incoming, name)

    monkeypatch.setattr(Incoming, "put", away)
    assert (await bought.put(str(tmp_path / "clips"))).kept == 3
    assert len(tries) == 6


async def test_names_of_people_are_uris_that_can_be_read_back(bought: Bought, tmp_path: Path) -> None:
    folder = tmp_path / "clips of küste"
    await bought.put(str(folder), storyboard="Straße 7 & more")
    for clip in await bought.clips():
        assert clip.uri is not None
        assert clip.uri.isascii()
        assert " " not in clip.uri
    await bought.put(str(tmp_path / "copies"), storyboard="b")
    assert len(bought.gate.asked) == 3


async def described(bought: Bought, uri: str) -> tuple[str | None, pa.Table]:
    """The note on describing a folder, and the table in it."""
    with open_ledger(f"sqlite:///{bought.studio.ledger}") as ledger:
        said = await describe(Folder(uri), ledger)
    return said, pq.read_table(io.BytesIO(files_in(uri)[FILE]))


async def test_a_table_describes_every_clip_that_is_in_the_folder(bought: Bought, place: str, tmp_path: Path) -> None:
    await bought.put(str(tmp_path / "elsewhere"))
    await bought.put(place)
    await bought.put(place, storyboard="Straße & 猫 'x'")
    said, table = await described(bought, place)
    assert (said, table.schema.equals(SCHEMA)) == (None, True)
    files = files_in(place)
    assert set(table["file_name"].to_pylist()) == files.keys() - {FILE}
    for row in table.to_pylist():
        assert row["sha256"] == hashlib.sha256(files[row["file_name"]]).hexdigest()
        assert (row["size_bytes"], row["width"], row["take"], row["output"]) == (60_000, 1280, 1, 1)
    assert set(table["prompt"].to_pylist()) == {"one", "two", "three"}


async def test_a_table_names_no_clip_that_is_gone_or_changed(bought: Bought, place: str) -> None:
    await bought.put(place)
    await described(bought, place)
    system, path = fsspec.core.url_to_fs(place)
    system.rm_file(f"{path}/board_one_t01.mp4")
    system.pipe_file(f"{path}/board_two_t01.mp4", b"another's")
    said, table = await described(bought, place)
    assert (said, table["file_name"].to_pylist()) == (None, ["board_three_t01.mp4"])


async def test_a_table_that_is_as_it_should_be_stays(bought: Bought, tmp_path: Path) -> None:
    await bought.put(str(tmp_path / "clips"))
    await described(bought, str(tmp_path / "clips"))
    before = (tmp_path / "clips" / FILE).stat()
    await described(bought, str(tmp_path / "clips"))
    after = (tmp_path / "clips" / FILE).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("name", [FILE, "metadata.csv", "metadata.jsonl"])
async def test_a_table_of_people_is_never_replaced(bought: Bought, place: str, name: str) -> None:
    await bought.put(place)
    system, path = fsspec.core.url_to_fs(place)
    own = io.BytesIO()
    pq.write_table(pa.table({"file_name": ["board_one_t01.mp4"], "caption": ["mine"]}), own)
    for data in (own.getvalue(), b"no table at all"):
        system.pipe_file(f"{path}/{name}", data)
        with open_ledger(f"sqlite:///{bought.studio.ledger}") as ledger:
            said = await describe(Folder(place), ledger)
        assert said is not None
        assert name in said
        files = files_in(place)
        assert files[name] == data
        assert len(files) == 4, "nothing else was put there"


async def test_a_folder_that_cannot_be_written_is_said_and_fails_nothing(bought: Bought, tmp_path: Path) -> None:
    await bought.put(str(tmp_path / "clips"))
    (tmp_path / "clips" / FILE).mkdir()
    with open_ledger(f"sqlite:///{bought.studio.ledger}") as ledger:
        said = await describe(Folder(str(tmp_path / "clips")), ledger)
    assert str(said).startswith(f"{FILE} was not written: ")
