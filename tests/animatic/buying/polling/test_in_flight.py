"""Takes beyond what WaveSpeed works on at once begin when one ahead of them ends."""

import asyncio

import pytest

from animatic.buying.polling.in_flight import ActiveTake, InFlight
from animatic.buying.polling.poll_history import PollHistory
from animatic.machine.waiting import Stopped, StopSignal

SOON_S = 0.05


def now() -> float:
    return asyncio.get_running_loop().time()


def active(began_at: float = 0.0) -> ActiveTake:
    return ActiveTake("latency_class", began_at, PollHistory())


async def test_those_within_the_places_begin_at_once() -> None:
    in_flight = InFlight(2, StopSignal())
    first, second = active(), active()
    for each in (first, second):
        in_flight.add(each)
        await in_flight.begun(each, until=now() + 60.0)
    assert list(in_flight) == [first, second]


async def test_a_queued_take_begins_and_ages_when_another_ends() -> None:
    in_flight = InFlight(1, StopSignal())
    first, second, third = active(10.0), active(20.0), active(30.0)
    for each in (first, second, third):
        in_flight.add(each)
    waiting = [asyncio.ensure_future(in_flight.begun(each, now() + 60.0)) for each in (second, third)]
    await asyncio.sleep(SOON_S)
    assert list(in_flight) == [first]
    in_flight.remove(first, ended_at=70.0)
    in_flight.remove(first, ended_at=71.0)
    await waiting[0]
    assert list(in_flight) == [second]
    assert second.began_at == 70.0
    in_flight.remove(second, ended_at=25.0)
    await waiting[1]
    assert third.began_at == 30.0, "not before it was submitted"
    in_flight.remove(third, ended_at=90.0)
    assert not list(in_flight)


async def test_a_take_that_leaves_the_queue_frees_no_slot() -> None:
    in_flight = InFlight(1, StopSignal())
    first, second, third = active(), active(), active()
    for each in (first, second, third):
        in_flight.add(each)
    in_flight.remove(second, ended_at=5.0)
    assert third.is_queued
    assert list(in_flight) == [first]


async def test_one_that_is_resumed_is_not_queued_and_takes_a_place() -> None:
    in_flight = InFlight(1, StopSignal())
    old, new = active(), active()
    in_flight.add(active())
    in_flight.add(old, is_resumed=True)
    in_flight.add(new)
    assert not old.is_queued
    assert new.is_queued


async def test_no_take_waits_for_ever_and_a_stop_ends_all_waits() -> None:
    stop_signal = StopSignal()
    in_flight = InFlight(1, stop_signal)
    first, second, third = active(), active(), active()
    for each in (first, second, third):
        in_flight.add(each)
    await in_flight.begun(second, until=now() + SOON_S)
    assert list(in_flight) == [first, second]
    waiting = asyncio.ensure_future(in_flight.begun(third, until=now() + 60.0))
    await asyncio.sleep(0)
    stop_signal.stop_all("test")
    with pytest.raises(Stopped):
        await waiting
