"""Rules by which a run watches batches of clips."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from animatic.takes.media_batches import (
    FEWEST_SCHEDULED,
    GOES_ON_BESIDE_OTHERS_S,
    GOES_ON_S,
    IN_LAST_BATCHES,
    MOST_IN_A_BATCH,
    MOST_IN_A_LAST_BATCH,
    MOST_TIMES_TAKEN,
    SILENT_S,
    UNTAKEN_S,
    Backlog,
    BatchState,
    BatchTake,
    Fate,
    MediaBatch,
    fate_of,
    goes_on,
    in_batches,
    is_orphan,
    may_take_ahead,
    next_batch,
    runs_of_others,
    runs_to_schedule,
)

WAITING = MediaBatch("b", "run", "p", "a", "", "n", "m")
TAKEN = replace(WAITING, state=BatchState.TAKEN, holder="worker", times_taken=1, silent_s=1.0)


@pytest.mark.parametrize(
    ("batch", "is_alive", "fate"),
    [
        (TAKEN, True, Fate.WAIT),
        (TAKEN, False, Fate.AGAIN),
        (replace(TAKEN, silent_s=SILENT_S), True, Fate.AGAIN),
        (replace(TAKEN, silent_s=float("inf")), True, Fate.AGAIN),
        (replace(TAKEN, times_taken=MOST_TIMES_TAKEN), False, Fate.HERE),
        (replace(TAKEN, state=BatchState.FAILED), True, Fate.HERE),
        (replace(TAKEN, state=BatchState.DONE), False, Fate.OVER),
    ],
)
def test_a_batch_is_waited_for_while_its_holder_is_alive_and_writes(
    batch: MediaBatch, is_alive: bool, fate: Fate
) -> None:
    assert fate_of(batch, 0.0, 0.0, is_held_alive=is_alive) is fate


@pytest.mark.parametrize(
    ("waited_s", "quiet_s", "fate"),
    [
        (0.0, None, Fate.WAIT),
        (UNTAKEN_S, None, Fate.HERE),
        (UNTAKEN_S, UNTAKEN_S, Fate.HERE),
        (10 * UNTAKEN_S, 1.0, Fate.WAIT),
        (1.0, 10 * UNTAKEN_S, Fate.WAIT),
    ],
)
def test_a_run_does_itself_what_no_worker_comes_for(waited_s: float, quiet_s: float | None, fate: Fate) -> None:
    assert fate_of(WAITING, waited_s, quiet_s, is_held_alive=False) is fate


@pytest.mark.parametrize("count", [0, 1, MOST_IN_A_BATCH, MOST_IN_A_BATCH + 1, 101])
def test_batches_hold_all_takes_once_and_are_of_a_size(count: int) -> None:
    takes = [BatchTake(str(number), "s", "x", 1, 1, "x", {}) for number in range(count)]
    found = list(in_batches(takes))
    assert [take for some in found for take in some] == takes
    sizes = [len(some) for some in found]
    assert max(sizes, default=0) <= MOST_IN_A_BATCH
    assert max(sizes, default=0) - min(sizes, default=0) <= 1


@pytest.mark.parametrize("count", [2 * IN_LAST_BATCHES, 1_000, 1_001])
def test_the_last_of_many_batches_are_small(count: int) -> None:
    takes = [BatchTake(str(number), "s", "x", 1, 1, "x", {}) for number in range(count)]
    found = list(in_batches(takes))
    assert [take for some in found for take in some] == takes
    few = IN_LAST_BATCHES // MOST_IN_A_LAST_BATCH
    assert [len(some) for some in found[-few:]] == [MOST_IN_A_LAST_BATCH] * few
    sizes = [len(some) for some in found[:-few]]
    assert max(sizes) <= MOST_IN_A_BATCH
    assert max(sizes) - min(sizes) <= 1


def batch(name: str, run_id: str = "one", **more: object) -> MediaBatch:
    return replace(WAITING, batch_id=name, run_id=run_id, **more)


def taken(name: str, run_id: str = "one", **more: object) -> MediaBatch:
    return replace(TAKEN, batch_id=name, run_id=run_id, **more)


@pytest.mark.parametrize(
    ("batches", "served_s", "chosen"),
    [
        ([], {}, None),
        ([batch("a"), batch("b")], {}, "a"),
        ([batch("a", provider="another"), batch("b")], {}, "b"),
        ([taken("a"), batch("b"), batch("c", "two")], {"one": 300.0}, "c"),
        ([batch("a"), batch("b", "two")], {"one": 3.0, "two": 30.0}, "b"),
        ([batch("a"), batch("b", "two")], {"one": 3.0}, "b"),
        ([taken("a"), batch("b"), taken("c", "two"), batch("d", "two")], {"one": 3.0, "two": 1.0}, "b"),
        ([taken("a")], {}, None),
        ([taken("a", silent_s=SILENT_S)], {}, "a"),
        ([taken("a", silent_s=SILENT_S, times_taken=MOST_TIMES_TAKEN)], {}, None),
        ([taken("a", silent_s=10 * SILENT_S, holder="one")], {}, None),
    ],
)
def test_a_worker_takes_the_oldest_batch_of_the_run_with_fewest_workers(
    batches: list[MediaBatch], served_s: dict[str, float], chosen: str | None
) -> None:
    found = next_batch(Backlog(batches, served_s), "p")
    assert (None if found is None else found.batch_id) == chosen


def test_a_batch_that_is_passed_over_keeps_no_other_from_its_turn() -> None:
    found = next_batch(Backlog([batch("a"), batch("b")]), "p", {"a"})
    assert found is not None
    assert found.batch_id == "b"


@given(st.lists(st.sampled_from(["one", "two", "three"]), min_size=1, max_size=60), st.integers(1, 4))
def test_no_run_waits_for_more_batches_than_there_are_runs_and_workers(of: list[str], workers: int) -> None:
    """Each worker takes a batch when its last one is done, oldest first; all batches take as long."""
    left = [batch(f"{number:02}", run_id) for number, run_id in enumerate(of)]
    at_work, served, moment = list[MediaBatch](), dict[str, float](), 0.0
    since = dict.fromkeys(of, 0)
    while left:
        moment += 1.0
        if len(at_work) == workers:
            served[at_work.pop(0).run_id] = moment
        holding = [replace(each, state=BatchState.TAKEN, holder="worker") for each in at_work]
        found = next_batch(Backlog([*holding, *left], {name: moment - at for name, at in served.items()}), "p")
        assert found is not None
        since = {name: 0 if name == found.run_id else count + 1 for name, count in since.items()}
        served[found.run_id] = moment
        left.remove(found)
        at_work.append(found)
        waiting = {each.run_id for each in left}
        assert all(since[name] <= len(set(of)) + workers for name in waiting)


@pytest.mark.parametrize(
    ("ran_s", "others_wait", "may"),
    [
        (GOES_ON_S - 1, False, True),
        (GOES_ON_S, False, False),
        (GOES_ON_BESIDE_OTHERS_S - 1, True, True),
        (GOES_ON_BESIDE_OTHERS_S, True, False),
    ],
)
def test_a_worker_goes_on_for_a_shorter_time_while_others_wait(ran_s: float, others_wait: bool, may: bool) -> None:
    assert goes_on(ran_s, others_wait=others_wait) is may


@pytest.mark.parametrize(
    ("batches", "may"),
    [
        ([taken("a")], False),
        ([taken("a"), batch("b")], True),
        ([taken("a"), batch("b", provider="another")], False),
        ([taken("a"), taken("b"), batch("c")], True),
        ([taken("a"), taken("b", holder="second"), batch("c")], False),
        ([taken("a"), taken("b", holder="second"), batch("c"), batch("d", "two")], True),
        ([taken("a"), taken("b", holder="second", provider="another"), batch("c")], True),
    ],
)
def test_a_worker_takes_ahead_only_what_no_other_is_left_without(batches: list[MediaBatch], may: bool) -> None:
    assert may_take_ahead(Backlog(batches), "p") is may


@pytest.mark.parametrize(
    ("found", "alive", "is_so"),
    [
        (taken("a"), {"one", "worker"}, False),
        (taken("a"), {"one"}, False),
        (taken("a"), {"worker"}, False),
        (taken("a"), set(), True),
        (taken("a", holder="one"), set(), True),
        (taken("a", times_taken=MOST_TIMES_TAKEN), set(), False),
        (batch("a"), set(), False),
    ],
)
def test_an_orphan_has_lost_its_run_and_its_worker(found: MediaBatch, alive: set[str], is_so: bool) -> None:
    assert is_orphan(found, alive.__contains__) is is_so


def test_batches_of_another_account_wait_for_other_workers() -> None:
    batches = [batch("a"), batch("b", "two", provider="another"), taken("c", "three", provider="another")]
    assert runs_of_others(Backlog(batches), "p") == {"two"}


@pytest.mark.parametrize(
    ("waiting", "scheduled", "at_work", "more"),
    [
        (0, 0, 0, 0),
        (1, 0, 0, 1),
        (1, 1, 0, 0),
        (100, 0, 0, FEWEST_SCHEDULED),
        (100, FEWEST_SCHEDULED, 2, 0),
        (100, 1, 2, FEWEST_SCHEDULED - 1),
        (100, FEWEST_SCHEDULED, 10, 10 - FEWEST_SCHEDULED),
        (3, 0, 10, 3),
        (2, 4, 10, 0),
    ],
)
def test_flow_runs_wait_for_workers_as_there_may_be_room(waiting: int, scheduled: int, at_work: int, more: int) -> None:
    assert runs_to_schedule(waiting, scheduled, at_work) == more
