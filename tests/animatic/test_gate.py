"""Waiting for a place, for a start and for time to pass, and being told to stop meanwhile."""

import asyncio
import time

import pytest

from animatic.gate import Gate, Halt, Halted
from animatic.pacing import Limits

WIDE = Limits(1_000, 1_000)


def gate_of(limits: Limits = WIDE) -> tuple[Gate, Halt]:
    halt = Halt()
    return Gate(limits, halt), halt


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_no_more_than_the_account_allows_are_in_flight_at_once() -> None:
    gate, _ = gate_of(Limits(1_000, 3))
    inside, most = 0, 0

    async def fly() -> None:
        nonlocal inside, most
        async with gate.place():
            inside += 1
            most = max(most, inside)
            await turns()
            inside -= 1

    await asyncio.gather(*(fly() for _ in range(30)))
    assert (most, inside) == (3, 0)


async def test_places_are_given_in_the_order_of_asking() -> None:
    gate, _ = gate_of(Limits(1_000, 1))
    order: list[int] = []

    async def fly(number: int) -> None:
        async with gate.place():
            order.append(number)
            await turns(2)

    await asyncio.gather(*(fly(number) for number in range(10)))
    assert order == list(range(10))


async def test_what_an_earlier_run_submitted_waits_for_no_place_but_takes_one_where_there_is() -> None:
    gate, _ = gate_of(Limits(1_000, 1))
    async with gate.resumed():
        newcomer = asyncio.create_task(gate.place().__aenter__())
        await turns()
        assert not newcomer.done()
        async with asyncio.timeout(1), gate.resumed():
            pass
        assert not newcomer.done()
    await newcomer


async def test_a_start_beyond_the_minute_waits_for_the_reply_to_grow_old() -> None:
    gate, halt = gate_of(Limits(2, 10))
    await gate.start()
    await gate.start()
    gate.replied()
    third = asyncio.create_task(gate.start())
    await asyncio.sleep(0.15)
    assert not third.done()
    gate.unsent()  # the second never left, so its start is free again
    await asyncio.sleep(0)
    halt.stop_buying("enough")
    with pytest.raises(Halted):
        await third


async def test_a_start_that_was_never_sent_is_free_at_once() -> None:
    gate, _ = gate_of(Limits(1, 10))
    for _ in range(20):
        await gate.start()
        gate.unsent()


async def test_a_429_makes_everyone_wait() -> None:
    gate, _ = gate_of()
    await gate.start()
    gate.refused(0.2)
    assert gate.refusals == 1
    began = time.monotonic()
    await asyncio.gather(*(gate.start() for _ in range(5)))
    assert 0.15 < time.monotonic() - began < 2


async def test_when_buying_stops_nobody_gets_a_place_or_a_start() -> None:
    gate, halt = gate_of(Limits(1_000, 1))
    holder = gate.place()
    await holder.__aenter__()
    waiting = asyncio.create_task(gate.place().__aenter__())
    await turns()
    halt.stop_buying("the account refused")
    await holder.__aexit__(None, None, None)
    for attempt in (waiting, gate.place().__aenter__(), gate.start()):
        with pytest.raises(Halted):
            await attempt
    async with asyncio.timeout(1), gate.resumed():  # what is bought is still watched
        await halt.sleep(0.01)


async def test_a_place_is_given_back_whatever_happens_in_it() -> None:
    gate, _ = gate_of(Limits(1_000, 1))
    for _ in range(3):
        with pytest.raises(ValueError, match="boom"):
            async with gate.place():
                raise ValueError("boom")
    async with asyncio.timeout(1), gate.place():
        pass


async def test_who_gives_up_waiting_leaves_the_queue() -> None:
    gate, _ = gate_of(Limits(1_000, 1))
    async with gate.place():
        impatient = asyncio.create_task(gate.place().__aenter__())
        await turns()
        impatient.cancel()
        await asyncio.wait([impatient])
    async with asyncio.timeout(1), gate.place():
        pass


async def test_stopping_wakes_every_sleeper_at_once() -> None:
    halt = Halt()
    sleepers = [asyncio.create_task(halt.sleep(3_600)) for _ in range(50)]
    await turns()
    halt.stop_all("interrupted")
    ends = await asyncio.wait_for(asyncio.gather(*sleepers, return_exceptions=True), 1)
    assert {type(end) for end in ends} == {Halted}


async def test_stopping_to_buy_lets_watchers_sleep_on() -> None:
    halt = Halt()
    watcher, buyer = asyncio.create_task(halt.sleep(0.1)), asyncio.create_task(halt.sleep(3_600, to_buy=True))
    await turns()
    halt.stop_buying("budget")
    await watcher
    with pytest.raises(Halted):
        await buyer
    assert (halt.is_buying, halt.is_watching) == (False, True)


async def test_after_the_stop_no_sleep_begins() -> None:
    halt = Halt()
    halt.stop_all("interrupted")
    with pytest.raises(Halted):
        await halt.sleep(0)


def test_the_first_reason_is_the_one_that_is_told() -> None:
    halt = Halt()
    halt.stop_buying("the budget is used up")
    halt.stop_all("interrupted")
    assert halt.reason == "the budget is used up"


async def test_a_sleep_is_as_long_as_asked() -> None:
    began = time.monotonic()
    await Halt().sleep(0.05)
    assert 0.05 <= time.monotonic() - began < 1
