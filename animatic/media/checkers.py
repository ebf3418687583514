"""Processes that check clips: a few, each with one clip at a time, started when needed, and anew when one ends."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from animatic.errors import ClipUnavailableError
from animatic.machine.waiting import PrioritySemaphore
from animatic.media.checks import Measures

WITHIN_S = 120.0
"""Longest wait for a clip, whose process may use a minute of CPU."""

MOST_PROCESSES = 4
CLIPS_A_PROCESS = 200
"""After so many a new process is started, so that no decoder can keep memory for ever."""

CRASHES = 2
"""A clip that so many processes died of, one after the other, cannot be decoded."""

_ANSWER_BYTES = 1 << 16


class Checkers:
    """Processes that check clips. Use as `async with`; they end with it, and with this process, however it ends.

    Args:
        environment: of the processes; without the key.
        folder: of copies, which they work in, and remove where this process is killed.
        within_s: longest wait for one clip.
        command: in place of the program that checks.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        folder: Path,
        *,
        within_s: float = WITHIN_S,
        command: tuple[str, ...] = (sys.executable, "-P", "-m", "animatic.media.check_worker"),
    ) -> None:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._environment, self._folder = {**environment, **threads}, folder
        self._within_s, self._command = within_s, command
        count = max(min(os.cpu_count() or 1, MOST_PROCESSES), 1)
        self._free = [_Process(self) for _ in range(count)]
        self._slots = PrioritySemaphore(count)
        self._all = tuple(self._free)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(each.kill() for each in self._all))

    async def measure(
        self, clip: Path, sha256: str, container: str, still: Path | None, rank: int = 0
    ) -> Measures | None:
        """Return the measures of a clip; None where it cannot be decoded. Of clips that wait, lower ranks go first.

        Raises:
            ClipUnavailableError: that could not be found out.
        """
        order = {"clip": str(clip), "sha256": sha256, "container": container, "still": still and str(still)}
        async with self._slots.slot(rank):
            process = self._free.pop()
            try:
                return _measures(await process.ask_patiently(order))
            finally:
                self._free.append(process)

    async def start(self) -> asyncio.subprocess.Process:
        """Start a process."""
        return await asyncio.create_subprocess_exec(
            *self._command,
            str(self._folder),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=self._folder,
            env=self._environment,
            start_new_session=True,  # Ctrl-C is for the run, which then ends them
            limit=_ANSWER_BYTES,
        )

    @property
    def within_s(self) -> float:
        """Longest wait for one clip."""
        return self._within_s


class _Process:
    """One process, while there is one."""

    def __init__(self, checkers: Checkers) -> None:
        self._checkers, self._clips = checkers, 0
        self._process: asyncio.subprocess.Process | None = None

    async def ask_patiently(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to an order; a process that dies of it is followed by another, once."""
        for _ in range(CRASHES):
            try:
                async with asyncio.timeout(self._checkers.within_s):
                    answer = await self._ask(order)
            except TimeoutError:
                await self.kill()
                raise ClipUnavailableError(f"checking it took more than {self._checkers.within_s:,.0f} s") from None
            except (OSError, ValueError) as error:  # it could not be started, or answers nonsense
                await self.kill()
                raise ClipUnavailableError(f"it could not be checked: {error}") from None
            except BaseException:
                await self.kill()
                raise
            if answer is not None:
                return answer
            await self.kill()
        return {"undecodable": "decoding it ends the process that does it"}

    async def _ask(self, order: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the answer; None where the process died."""
        if self._process is None or self._clips >= CLIPS_A_PROCESS:
            await self.kill()
            self._process, self._clips = await self._checkers.start(), 0
        self._clips += 1
        assert self._process.stdin is not None  # noqa: S101 - it was started with both
        assert self._process.stdout is not None  # noqa: S101
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(f"{json.dumps(order)}\n".encode())
            await self._process.stdin.drain()
        line = await self._process.stdout.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    async def kill(self) -> None:
        """End the process, now."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if process.stdin is not None:
            process.stdin.close()


def _measures(answer: Mapping[str, Any]) -> Measures | None:
    if "measures" in answer:
        return Measures(**answer["measures"])
    if "undecodable" in answer:
        return None
    raise ClipUnavailableError(f"it could not be read: {answer.get('unread', 'nothing was answered')}")
