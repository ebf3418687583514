"""Operations that wait at the same time are done together; none is left undone."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from animatic.ledger.batching import Answer, BatchWorker


class Office:
    """A clerk who squares numbers, and the groups that he was given."""

    def __init__(self, largest: int = 100) -> None:
        self.groups: list[list[Any]] = []
        self.free = threading.Event()
        self.free.set()
        self.clerk: BatchWorker[Any] = BatchWorker("test", self._work, largest)

    def _work(self, group: list[Any]) -> list[Answer]:
        self.groups.append(group)
        self.free.wait(10)
        return [Answer(each**2) if isinstance(each, int) else Answer(error=TypeError(each)) for each in group]

    def close(self) -> None:
        self.free.set()
        if self.clerk.is_open:
            self.clerk.close()


@pytest.fixture
def office_of() -> Iterator[Callable[..., Office]]:
    made: list[Office] = []

    def make(**options: Any) -> Office:
        made.append(Office(**options))
        return made[-1]

    yield make
    for office in made:
        office.close()


async def test_requests_of_one_loop_turn_are_one_group(office_of: Any) -> None:
    office = office_of()
    assert await asyncio.gather(*(office.clerk.ask(number) for number in range(7))) == [n**2 for n in range(7)]
    assert office.groups == [list(range(7))]


async def test_who_may_wait_is_done_with_what_is_asked_meanwhile(office_of: Any) -> None:
    office = office_of()
    patient = [asyncio.ensure_future(office.clerk.ask(number, 5.0)) for number in range(3)]
    await asyncio.sleep(0.02)
    assert office.groups == []
    assert await office.clerk.ask(9) == 81
    assert await asyncio.gather(*patient) == [0, 1, 4]
    assert office.groups == [[0, 1, 2, 9]]


async def test_who_may_wait_waits_no_longer_than_that(office_of: Any) -> None:
    office = office_of()
    first = asyncio.ensure_future(office.clerk.ask(1, 0.2))
    second = asyncio.ensure_future(office.clerk.ask(2, 60.0))  # does not put the first one off
    await asyncio.sleep(0)
    assert office.groups == []
    assert (await first, await second, office.groups) == (1, 4, [[1, 2]])


async def test_a_group_is_no_larger_than_it_may_be(office_of: Any) -> None:
    office = office_of(largest=3)
    await asyncio.gather(*(office.clerk.ask(number) for number in range(8)))
    assert office.groups == [[0, 1, 2], [3, 4, 5], [6, 7]]


async def test_what_comes_while_it_works_is_the_next_group(office_of: Any) -> None:
    office = office_of()
    office.free.clear()
    first = asyncio.ensure_future(office.clerk.ask(1))
    while not office.groups:
        await asyncio.sleep(0.001)
    others = []
    for number in (2, 3, 4):
        others.append(asyncio.ensure_future(office.clerk.ask(number)))
        await asyncio.sleep(0.001)
    office.free.set()
    assert await asyncio.gather(first, *others) == [1, 4, 9, 16]
    assert office.groups == [[1], [2, 3, 4]]


async def test_an_error_is_for_the_one_whose_it_is(office_of: Any) -> None:
    office = office_of()
    ends = await asyncio.gather(*(office.clerk.ask(each) for each in (1, "two", 3)), return_exceptions=True)
    assert [ends[0], type(ends[1]), ends[2]] == [1, TypeError, 9]


async def test_closing_does_what_was_asked_even_what_still_waits_for_company(office_of: Any) -> None:
    office = office_of()
    patient = asyncio.ensure_future(office.clerk.ask(3, 60.0))
    await asyncio.sleep(0)
    await asyncio.to_thread(office.clerk.close)
    assert await patient == 9
    assert not office.clerk.is_open


async def test_who_gives_up_leaves_it_to_be_done(office_of: Any) -> None:
    office = office_of()
    impatient = asyncio.ensure_future(office.clerk.ask(3, 60.0))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait([impatient])
    assert await office.clerk.ask(4) == 16
    assert office.groups == [[3, 4]]


def test_a_loop_that_is_gone_is_nobodys_trouble() -> None:
    office = Office()
    with closing(office):
        office.free.clear()

        async def ask_and_leave() -> None:
            asking = asyncio.ensure_future(office.clerk.ask(1))
            while not office.groups:
                await asyncio.sleep(0.001)
            asking.cancel()

        asyncio.run(ask_and_leave())
        office.free.set()

        async def ask() -> int:
            return await office.clerk.ask(5)

        assert asyncio.run(ask()) == 25


def test_what_a_loop_that_is_gone_had_put_off_holds_nobody_up() -> None:
    office = Office()
    with closing(office):

        async def ask_and_leave() -> None:
            asking = asyncio.ensure_future(office.clerk.ask(3, 0.2))
            await asyncio.sleep(0)
            asking.cancel()

        asyncio.run(ask_and_leave())
        assert office.groups == []
        time.sleep(0.3)  # the moment at which that loop would have handed it over is past

        async def ask() -> int:
            return await asyncio.wait_for(office.clerk.ask(4), 5)

        assert asyncio.run(ask()) == 16
        assert office.groups == [[3, 4]]
