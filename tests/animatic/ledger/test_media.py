"""Batches of clips in the ledger: taken by one worker, ended by that worker only."""

from dataclasses import replace
from typing import Any

from animatic.ledger import open_ledger
from animatic.takes.media_batches import Backlog, BatchCounts, BatchState, BatchTake, MediaBatch

TAKE = BatchTake("f" * 64, "storm", "one", 1, 2, "one take 1", {"sha256:1": "one.png"})
BATCH = MediaBatch("run-1-0001", "run-1", "https://api.example", "s3://film/clips", "", "{shot_id}", "/m.csv", (TAKE,))


class SteppedClock:
    """The clock that these ledgers share. Time passes only by `advance`."""

    def __init__(self, *ledgers: Any) -> None:
        self.now_s = 1_000.0
        for each in ledgers:
            each.transactions.database.now = lambda *_: self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


async def known(ledger: Any) -> MediaBatch:
    found = await ledger.batches.find(BATCH.batch_id)
    assert found is not None
    return found


async def test_a_batch_is_read_as_it_was_handed_over(backend: Any) -> None:
    with open_ledger(backend.url) as ledger:
        await ledger.batches.hand_over(BATCH)
        assert await known(ledger) == BATCH
        assert await ledger.batches.find("run-1-0002") is None
        assert [each.takes for each in await ledger.batches.look_at([BATCH.batch_id, "another"])] == [()]


async def test_of_workers_that_read_the_same_batch_one_takes_it(backend: Any) -> None:
    with open_ledger(backend.url) as ledger, open_ledger(backend.url) as other:
        clock = SteppedClock(ledger, other)
        await ledger.batches.hand_over(BATCH)
        read = await known(other)
        assert [await ledger.batches.take(read, "one"), await other.batches.take(read, "two")] == [True, False]
        assert not await other.batches.note(BATCH.batch_id, "two", BatchCounts())
        assert not await other.batches.end(BATCH.batch_id, "two", BatchState.DONE, BatchCounts())
        clock.advance(20.0)
        assert await ledger.batches.note(BATCH.batch_id, "one", BatchCounts(kept=1))
        clock.advance(3.0)
        (seen,) = await other.batches.look_at([BATCH.batch_id])
        assert (seen.state, seen.holder, seen.times_taken, seen.counts.kept) == (BatchState.TAKEN, "one", 1, 1)
        assert seen.silent_s == 3.0, "since it last wrote, not since it was taken"


async def test_a_batch_that_is_given_back_is_taken_by_another(backend: Any) -> None:
    with open_ledger(backend.url) as ledger:
        await ledger.batches.hand_over(BATCH)
        assert await ledger.batches.take(await known(ledger), "dead")
        read = await known(ledger)
        assert await ledger.batches.give_back(read)
        assert not await ledger.batches.give_back(read), "it waits already"
        assert not await ledger.batches.note(BATCH.batch_id, "dead", BatchCounts()), "it has lost it"
        assert await ledger.batches.take(await known(ledger), "alive")
        assert (await known(ledger)).times_taken == 2


async def test_a_batch_whose_holder_is_dead_is_taken_over_as_it_is(backend: Any) -> None:
    with open_ledger(backend.url) as ledger:
        await ledger.batches.hand_over(BATCH)
        assert await ledger.batches.take(await known(ledger), "dead")
        read = await known(ledger)
        assert [await ledger.batches.take(read, name) for name in ("second", "third")] == [True, False]


async def test_an_ended_batch_forgets_its_takes_and_a_failed_one_keeps_them(backend: Any) -> None:
    with open_ledger(backend.url) as ledger:
        await ledger.batches.hand_over(BATCH)
        assert await ledger.batches.take(await known(ledger), "one")
        assert await ledger.batches.end(BATCH.batch_id, "one", BatchState.FAILED, BatchCounts(), "no such folder")
        failed = await known(ledger)
        assert (failed.state, failed.takes, failed.problem) == (BatchState.FAILED, (TAKE,), "no such folder")
        assert await ledger.batches.take(failed, "run-1")
        assert await ledger.batches.end(BATCH.batch_id, "run-1", BatchState.DONE, BatchCounts(is_archived=True))
        done = await known(ledger)
        assert (done.state, done.takes, done.problem, done.counts.is_archived) == (BatchState.DONE, (), "", True)


async def test_media_workers_are_quiet_until_one_of_them_writes(backend: Any) -> None:
    with open_ledger(backend.url) as ledger:
        clock = SteppedClock(ledger)
        await ledger.batches.hand_over(BATCH)
        assert await ledger.batches.quiet_s(BATCH.provider) is None
        assert await ledger.batches.take(await known(ledger), "run-1")
        assert await ledger.batches.quiet_s(BATCH.provider) is None, "the run itself is no worker"
        assert await ledger.batches.take(await known(ledger), "worker")
        clock.advance(7.0)
        assert await ledger.batches.quiet_s(BATCH.provider) == 7.0
        elsewhere = await ledger.batches.quiet_s("https://other.example")
        assert elsewhere is None, "workers of another account do not help"


async def test_the_backlog_has_the_waiting_and_taken_batches_of_all_runs(backend: Any) -> None:
    names = ("run-1-0001", "run-1-0002", "run-2-0001", "run-2-0002")
    with open_ledger(backend.url) as ledger:
        clock = SteppedClock(ledger)
        assert await ledger.batches.backlog() == Backlog([])
        for name in names:
            await ledger.batches.hand_over(replace(BATCH, batch_id=name, run_id=name[:5]))
        for name in names[1:3]:
            found = await ledger.batches.find(name)
            assert found is not None
            assert await ledger.batches.take(found, "worker")
            clock.advance(10.0)
        assert await ledger.batches.end("run-1-0002", "worker", BatchState.DONE, BatchCounts())
        clock.advance(1.0)
        backlog = await ledger.batches.backlog()
        assert [(each.batch_id, each.state.value, each.takes) for each in backlog.batches] == [
            ("run-1-0001", "waiting", ()),
            ("run-2-0001", "taken", ()),
            ("run-2-0002", "waiting", ()),
        ]
        assert backlog.served_s == {"run-1": 1.0, "run-2": 11.0}, "a batch that has ended counts too"


async def test_batches_of_long_ago_are_forgotten(backend: Any) -> None:
    with open_ledger(backend.url) as ledger:
        await ledger.batches.hand_over(BATCH)
        backend.write("UPDATE media SET handed_at = '2020-01-01 00:00:00'")
        await ledger.batches.hand_over(MediaBatch("run-2-0001", *(getattr(BATCH, each) for each in SAME)))
        assert [row[0] for row in backend.rows("SELECT batch_id FROM media")] == ["run-2-0001"]


SAME = ("run_id", "provider", "archive", "mark", "clip_name", "stills")
