"""First poll that showed each prediction final, over a real socket."""

from pathlib import Path
from typing import Any

from animatic.sandbox.first_seen import FirstSeenPoll, read_first_seen


async def test_the_first_poll_that_returns_a_final_status_is_noted_once(
    open_sandbox: Any, clock: Any, tmp_path: Path
) -> None:
    caller = await open_sandbox(notes_first_seen=True)
    final_at = clock.now + 10
    first, never = await caller.submit_id("push in"), await caller.submit_id("pull out")
    for seconds in (4, 4, 4, 4):
        clock.advance(seconds)
        await caller.poll(first)
    await caller.stats()
    assert read_first_seen(tmp_path / "state") == [FirstSeenPoll(first, final_at, final_at + 2, looks=3)]
    await caller.poll(never)
    await caller.poll(never)
    await caller.stats()
    assert [(each.id, each.looks, each.seen_at - each.final_at) for each in read_first_seen(tmp_path / "state")] == [
        (first, 3, 2),
        (never, 1, 6),
    ]


async def test_polls_of_predictions_that_never_end_are_not_noted(open_sandbox: Any, clock: Any, tmp_path: Path) -> None:
    caller = await open_sandbox(notes_first_seen=True)
    stuck = await caller.submit_id("[sandbox:stuck]")
    clock.advance(100)
    await caller.poll(stuck)
    await caller.stats()
    assert read_first_seen(tmp_path / "state") == []


async def test_without_it_nothing_is_noted(caller: Any, clock: Any, tmp_path: Path) -> None:
    prediction_id = await caller.submit_id()
    clock.advance(100)
    await caller.poll(prediction_id)
    await caller.stats()
    assert not (tmp_path / "state" / "seen.jsonl").exists()


def test_bench_mode_serves_without_clips_and_records_first_polls(start_process: Any, tmp_path: Path) -> None:
    server = start_process("--folder", str(tmp_path), "--bench", "--inference-s", "0.1")
    assert (tmp_path / "seen.jsonl").exists()
    server.process.terminate()
    assert server.process.wait(5) == 0
