"""Manifests of inboxes in the ledger: held by one run, released by that run only."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from animatic.ledger import open_ledger
from animatic.takes.inbox_files import FileState, InboxEnd, InboxFile

PROVIDER, URI = "https://api.example", "s3://film/ep.csv"


async def known(ledger: Any, provider: str = PROVIDER) -> InboxFile:
    return (await ledger.find_in_inbox(provider, [URI]))[URI]


async def test_of_runs_that_read_the_same_row_one_holds_it(backend: Any) -> None:
    with open_ledger(backend.url) as ledger, open_ledger(backend.url) as other:
        await ledger.note_marks(PROVIDER, {URI: "a"})
        read = await known(ledger)
        held = [
            await each.hold_manifest(read, "sha", "out.csv", name) for each, name in ((ledger, "one"), (other, "two"))
        ]
        assert held == [True, False]
        assert not await other.release_manifest(read, "two", InboxEnd(FileState.DONE))
        assert await ledger.release_manifest(read, "one", InboxEnd(FileState.DONE, {"completed": 2}, 5))
        assert not await other.hold_manifest(read, "sha", "out.csv", "two"), "it was read before the other run"
        found = await known(other)
        assert (found.state, found.counts, found.spent_microusd, found.runs) == (FileState.DONE, {"completed": 2}, 5, 1)
        assert (found.holder, found.content, found.results) == (None, "sha", "out.csv")


async def test_a_dead_run_loses_what_it_held_to_one_other(backend: Any) -> None:
    with open_ledger(backend.url) as ledger:
        await ledger.note_marks(PROVIDER, {URI: "a"})
        assert await ledger.hold_manifest(await known(ledger), "sha", "out.csv", "dead")
        read = await known(ledger)
        assert await ledger.hold_manifest(read, "sha", "out.csv", "second")
        assert not await ledger.hold_manifest(read, "sha", "out.csv", "third")
        assert not await ledger.release_manifest(read, "dead", InboxEnd(FileState.DONE))
        assert (await known(ledger)).holder == "second"


async def test_a_mark_counts_from_when_it_was_first_seen(backend: Any) -> None:
    with open_ledger(backend.url) as ledger:
        await ledger.note_marks(PROVIDER, {URI: "a"})
        first = await known(ledger)
        await ledger.note_marks(PROVIDER, {URI: "a"})
        assert await known(ledger) == first
        await ledger.note_marks(PROVIDER, {URI: "b"})
        moved = await known(ledger)
        assert (moved.mark, moved.state) == ("b", FileState.NEW)
        assert moved.marked_at - first.marked_at >= timedelta(0)


async def test_providers_know_nothing_of_each_others_manifests(backend: Any) -> None:
    with open_ledger(backend.url) as ledger:
        for provider in (PROVIDER, "sandbox"):
            await ledger.note_marks(provider, {URI: "a"})
        await ledger.note_foreign("sandbox", URI, "sha")
        assert (await known(ledger)).state is FileState.NEW
        assert (await known(ledger, "sandbox")).state is FileState.FOREIGN


async def test_a_manifest_that_is_held_does_not_become_foreign(backend: Any) -> None:
    with open_ledger(backend.url) as ledger:
        await ledger.note_marks(PROVIDER, {URI: "a"})
        assert await ledger.hold_manifest(await known(ledger), "sha", "out.csv", "one")
        await ledger.note_foreign(PROVIDER, URI, "other")
        assert (await known(ledger)).content == "sha"


async def test_a_manifest_that_changed_while_it_was_run_is_not_done(backend: Any) -> None:
    with open_ledger(backend.url) as ledger:
        await ledger.note_marks(PROVIDER, {URI: "a"})
        read = await known(ledger)
        assert await ledger.hold_manifest(read, "sha", "out.csv", "one")
        await ledger.note_marks(PROVIDER, {URI: "b"})
        assert await ledger.release_manifest(read, "one", InboxEnd(FileState.DONE, {"completed": 2}))
        found = await known(ledger)
        assert (found.state, found.mark, found.holder) == (FileState.OPEN, "b", None)


async def test_a_settled_file_whose_mark_moved_need_be_read_once(backend: Any) -> None:
    with open_ledger(backend.url) as ledger:
        await ledger.note_marks(PROVIDER, {URI: "a"})
        read = await known(ledger)
        assert await ledger.hold_manifest(read, "sha", "out.csv", "one")
        assert await ledger.release_manifest(read, "one", InboxEnd(FileState.DONE, {"completed": 2}))
        await ledger.note_marks(PROVIDER, {URI: "b"})
        moved = await known(ledger)
        assert moved.ended_at is not None
        assert moved.ended_at < moved.marked_at
        await ledger.note_settled(replace(moved, mark="c"))
        assert (await known(ledger)).ended_at == moved.ended_at, "it has changed again"
        await ledger.note_settled(moved)
        settled = await known(ledger)
        assert settled.ended_at is not None
        assert settled.ended_at >= settled.marked_at
