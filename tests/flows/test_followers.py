"""Takes that wait for others are fed as the clips of those come in, and released where they cannot be."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from animatic.errors import SourceError
from animatic.manifest import check, find_links, read_table
from animatic.planning.lookup import plan_takes
from animatic.planning.plan import Batch, Plan
from animatic.progress import Progress
from animatic.takes.chains import Chains
from animatic.takes.states import BuyingPolicy
from animatic.takes.stills import LocalFile
from flows.followers import Followers, Waiting

ROWS = """shot_id,image,prompt,start_from
c,,third,b
d,https://e.example/d.png,alone,
a,https://e.example/a.png,first,
b,,second,a
e,,another,a
"""


async def planned(rows: str = ROWS) -> Plan:
    manifest = check(read_table("shots.csv", rows.encode()), stills={}, storyboard_default="x", provider="sandbox")
    links, problems = find_links(manifest)
    assert not problems
    return await plan_takes(None, replace(manifest, chains=Chains(links)), BuyingPolicy())


class Feed:
    """Followers of a plan; `asked` are the last frames that were fetched, together or one by one."""

    def __init__(self, plan: Plan, *, are_few: bool = True, refuses: Sequence[str] = ()) -> None:
        self.plan, self.refuses = plan, refuses
        self.asked: list[list[str]] = []
        self.warned: list[str] = []
        self.progress = Progress()
        takes = [take for waiting in plan.followers().values() for take in waiting]
        heights = dict(zip((take.fingerprint for take in takes), plan.heights(takes), strict=True))
        waiting = Waiting(plan.followers(), heights, are_few)
        self.followers = Followers(waiting, self._fetch, self.warned.append, self.progress)
        self.batches = self.followers.batches(plan.batches())

    async def _fetch(self, files: Sequence[LocalFile]) -> None:
        names = [file.path.removeprefix("last frame of shot ") for file in files]
        self.asked.append(names)
        if set(names) & set(self.refuses):
            raise SourceError(f"the clip of {names} is gone")

    async def next(self) -> list[str]:
        batch: Batch = await asyncio.wait_for(anext(self.batches), 5.0)
        self.last = batch
        return [take.shot.shot_id for take in batch.takes]

    def handled(self) -> None:
        for take in self.last.takes:
            self.followers.clip_handled(take.fingerprint)


async def test_heads_of_chains_come_first_and_followers_before_other_heads() -> None:
    feed = Feed(await planned())
    assert (await feed.next(), feed.progress.chained) == (["a"], 2)
    feed.handled()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [await feed.next() for _ in range(2)] == [["b"], ["e"]]
    assert feed.progress.chained == 1
    assert await feed.next() == ["d"]


async def test_the_feed_ends_once_nothing_can_follow() -> None:
    feed = Feed(await planned())
    heads = [await feed.next() for _ in range(2)]
    assert heads == [["a"], ["d"]]
    (take,) = [take for take in feed.plan.takes_to_buy() if take.shot.shot_id == "a"]
    feed.followers.ended(take)
    with pytest.raises(StopAsyncIteration):
        await feed.next()
    assert sorted(feed.followers.reasons.values()) == [
        *itertools.repeat("waits for the last frame of a take 1, which is not completed", 2),
        "waits for the last frame of b take 1, which waits itself",
    ]
    assert (feed.progress.passed_on, feed.progress.chained) == (3, 0)


async def test_clips_of_a_large_run_wait_for_company() -> None:
    feed = Feed(await planned(), are_few=False)
    assert await feed.next() == ["a"]
    feed.handled()
    feed.handled()
    assert await feed.next() == ["d"]
    assert await feed.next() == ["b", "e"]
    assert feed.asked == [["a"]]


async def test_a_last_frame_that_cannot_be_had_leaves_the_others_alone() -> None:
    two = ROWS.replace("e,,another,a", "e,,another,d")
    feed = Feed(await planned(two), are_few=False, refuses=["d"])
    heads = [(await feed.next(), feed.handled())[0] for _ in range(2)]
    assert heads == [["a"], ["d"]]
    assert await feed.next() == ["b"]
    feed.handled()
    assert await feed.next() == ["c"]
    assert feed.asked == [["a", "d"], ["a"], ["d"], ["b"]]
    assert [*feed.followers.reasons.values()] == feed.warned == ["the clip of ['d'] is gone"]


async def test_a_run_that_stops_waits_for_nothing() -> None:
    feed = Feed(await planned())
    assert [await feed.next() for _ in range(2)] == [["a"], ["d"]]
    waiting = asyncio.create_task(feed.next())
    await asyncio.sleep(0)
    feed.followers.close()
    with pytest.raises(StopAsyncIteration):
        await waiting
