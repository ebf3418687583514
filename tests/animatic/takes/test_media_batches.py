"""Rules by which a run watches batches of clips."""

from dataclasses import replace

import pytest

from animatic.takes.media_batches import (
    MOST_IN_A_BATCH,
    MOST_TIMES_TAKEN,
    SILENT_S,
    UNTAKEN_S,
    BatchState,
    BatchTake,
    Fate,
    MediaBatch,
    fate_of,
    in_batches,
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
