"""Processes that check clips: hostile clips end them and nothing else, and they end with the run."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from animatic.errors import ClipUnavailableError
from animatic.media.checkers import Checkers
from animatic.sandbox.renderer.blank import blank_clip

WORKER = (sys.executable, "-P", "-m", "animatic.media.check_worker")
ENVIRONMENT = {"PATH": os.environ["PATH"]}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "blank.mp4"
    path.write_bytes(blank_clip("16:9", 5))
    return path


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def program(words: str) -> tuple[str, ...]:
    """A process in place of the one that checks."""
    return (sys.executable, "-c", f"import json, os, sys, time\nfor line in sys.stdin:\n    {words}")


async def test_clips_are_measured_one_by_one_in_a_process_without_the_key(tmp_path: Path, clip: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:300])
    async with Checkers(ENVIRONMENT, tmp_path) as checkers:
        found = await asyncio.gather(*(checkers.measure(each, digest(each), "mov", None) for each in (clip, broken)))
        assert found[1] is None
        assert found[0] is not None
        assert (found[0].duration_s, found[0].frozen_fraction) == (pytest.approx(5.0), pytest.approx(1.0))
        process = await checkers.start()
        assert b"WAVESPEED" not in Path(f"/proc/{process.pid}/environ").read_bytes()
        process.kill()
        await process.wait()


async def test_a_clip_that_is_not_the_archived_one_is_not_judged(tmp_path: Path, clip: Path) -> None:
    async with Checkers(ENVIRONMENT, tmp_path) as checkers:
        with pytest.raises(ClipUnavailableError, match="not the file that was archived"):
            await checkers.measure(clip, "0" * 64, "mov", None)
        with pytest.raises(ClipUnavailableError, match="No such file"):
            await checkers.measure(tmp_path / "gone.mp4", "0" * 64, "mov", None)


async def test_a_decoder_that_crashes_makes_its_clip_undecodable(tmp_path: Path, clip: Path) -> None:
    tries = tmp_path / "tries"
    crash = program(f"open({str(tries)!r}, 'a').write('x'); os.abort()")
    async with Checkers(ENVIRONMENT, tmp_path, command=crash) as checkers:
        assert await checkers.measure(clip, digest(clip), "mov", None) is None
    assert tries.read_text() == "xx"


async def test_a_decoder_that_hangs_is_killed_and_its_clip_not_judged(tmp_path: Path, clip: Path) -> None:
    async with Checkers(ENVIRONMENT, tmp_path, command=program("time.sleep(60)"), within_s=0.3) as checkers:
        with pytest.raises(ClipUnavailableError, match="took more than"):
            await checkers.measure(clip, digest(clip), "mov", None)


@pytest.mark.parametrize(
    "words",
    ["print('{', flush=True)", "print('x' * 200_000, flush=True)", "print(json.dumps({}), flush=True)"],
    ids=["no JSON", "too long", "no answer"],
)
async def test_nonsense_is_no_answer(tmp_path: Path, clip: Path, words: str) -> None:
    async with Checkers(ENVIRONMENT, tmp_path, command=program(words)) as checkers:
        with pytest.raises(ClipUnavailableError):
            await checkers.measure(clip, digest(clip), "mov", None)


async def test_a_check_that_is_given_up_leaves_no_process(tmp_path: Path, clip: Path) -> None:
    seen = tmp_path / "pid"
    hang = program(f"open({str(seen)!r}, 'w').write(str(os.getpid())); time.sleep(60)")
    async with Checkers(ENVIRONMENT, tmp_path, command=hang) as checkers:
        check = asyncio.create_task(checkers.measure(clip, digest(clip), "mov", None))
        while not (seen.exists() and seen.read_text()):
            await asyncio.sleep(0.02)
        check.cancel()
        await asyncio.wait({check})
        with pytest.raises(ProcessLookupError):
            os.kill(int(seen.read_text()), 0)


def test_a_process_ends_with_its_stdin_and_takes_its_folder_along(tmp_path: Path, clip: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    (folder / "still.jpg").write_bytes(b"x")
    order = {"clip": str(clip), "sha256": digest(clip), "container": "mov", "still": None}
    with subprocess.Popen(
        [*WORKER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{json.dumps(order)}\n".encode())
        process.stdin.flush()
        assert "measures" in json.loads(process.stdout.readline())
        process.stdin.close()
        assert process.wait(10) == 0
    assert not folder.exists()


def spoilt(path: Path) -> None:
    path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(200))


def folder_instead(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [spoilt, folder_instead, lambda path: path.write_text("<svg/>")])
async def test_a_still_that_is_none_is_not_compared(tmp_path: Path, clip: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "still")
    async with Checkers(ENVIRONMENT, tmp_path) as checkers:
        found = await checkers.measure(clip, digest(clip), "mov", tmp_path / "still")
    assert found is not None
    assert found.first_frame_similarity is None


async def test_a_clip_that_takes_too_much_cpu_ends_its_process_only(tmp_path: Path, clip: Path) -> None:
    killed = program(f"os.kill(os.getpid(), {int(signal.SIGXCPU)})")
    async with Checkers(ENVIRONMENT, tmp_path, command=killed) as checkers:
        assert await checkers.measure(clip, digest(clip), "mov", None) is None
