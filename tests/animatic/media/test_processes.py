"""Media processes: real children, bounded in time, and none is left behind."""

import os
import signal
import time
from math import factorial, sqrt
from pathlib import Path

import pytest

from animatic.media.processes import Processes


def test_a_job_returns_its_result_from_another_process() -> None:
    with Processes(1) as processes:
        assert processes.submit(30, factorial, 5).result() == 120
        assert processes.submit(30, os.getpid).result() != os.getpid()


def test_a_process_is_kept_for_the_next_job() -> None:
    with Processes(1) as processes:
        assert processes.submit(30, os.getpid).result() == processes.submit(30, os.getpid).result()


async def test_jobs_run_beside_each_other_off_the_loop() -> None:
    async with Processes(2) as processes:
        first = processes.submit(30, time.sleep, 20)
        assert await processes.run(30, factorial, 4) == 24
        assert not first.done()


def test_a_bad_value_keeps_its_words_and_a_missing_file_its_number() -> None:
    with Processes(1) as processes:
        with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
            processes.submit(30, sqrt, -1.0).result()
        with pytest.raises(FileNotFoundError):
            processes.submit(30, os.listdir, "/nowhere/at/all").result()


def test_a_fault_of_ours_is_no_fault_of_the_clip() -> None:
    with Processes(1) as processes, pytest.raises(RuntimeError, match="TypeError"):
        processes.submit(30, factorial, "five").result()  # type: ignore[arg-type]


def test_a_job_that_hangs_is_given_up_and_the_next_one_runs() -> None:
    with Processes(1) as processes:
        with pytest.raises(ValueError, match=r"longer than 0\.5 s"):
            processes.submit(0.5, time.sleep, 60).result()
        assert processes.submit(30, factorial, 3).result() == 6


def test_a_decoder_that_crashes_costs_only_its_own_job() -> None:
    with Processes(1) as processes:
        with pytest.raises(ValueError, match=f"signal {int(signal.SIGSEGV)}"):
            processes.submit(30, signal.raise_signal, signal.SIGSEGV).result()
        assert processes.submit(30, factorial, 3).result() == 6


def test_a_job_that_wants_all_memory_fails_alone() -> None:
    with Processes(1) as processes:
        with pytest.raises(ValueError, match="GiB of memory"):
            processes.submit(30, bytes, 64 << 30).result()
        assert processes.submit(30, factorial, 3).result() == 6


def test_media_processes_never_see_the_key() -> None:
    before = os.environ.get("WAVESPEED_API_KEY")
    os.environ["WAVESPEED_API_KEY"] = "canary-key"
    try:
        with Processes(1) as processes:
            assert processes.submit(30, os.getenv, "WAVESPEED_API_KEY").result() is None
    finally:
        os.environ.pop("WAVESPEED_API_KEY")
        if before is not None:
            os.environ["WAVESPEED_API_KEY"] = before


def test_no_process_outlives_its_pool() -> None:
    with Processes(2) as processes:
        child = processes.submit(30, os.getpid).result()
        processes.submit(60, time.sleep, 50)
    assert not Path(f"/proc/{child}").exists()
