"""Clips: rendered in a few processes of their own, kept as files, never on the event loop.

The processes watch a pipe that only this one holds: when it is closed, or this process dies however it dies, they end.
"""

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

from animatic.sandbox.asked_clip import files_in, length_s_of, ratio_of
from animatic.sandbox.predictions import Prediction
from animatic.sandbox.renderer.worker import Order, begin_worker, render_into
from animatic.sandbox.uploads import Uploads

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_WORKERS = 2


class Clips:
    """The clips of one folder, for one event loop. `drawn` is where clips are that any sandbox drew before."""

    def __init__(self, folder: Path, uploads: Uploads, drawn: Path | None = None) -> None:
        self._folder, self._drawn = folder / "clips", drawn
        self._folder.mkdir(parents=True, exist_ok=True)
        self._uploads = uploads
        self._at_work: dict[Path, asyncio.Task[None]] = {}
        self._pool = _Pool()
        self.rendered = 0
        for unfinished in self._folder.glob("*.part"):
            unfinished.unlink()

    def begin(self, prediction: Prediction) -> None:
        """Begin to render all its clips, so that they are there when it completes."""
        for number in range(1, prediction.outputs + 1):
            self._task_for(self._path_of(prediction, number), prediction, number)

    async def load(self, prediction: Prediction, number: int) -> Path:
        """Return the finished file of a clip, rendered now if need be. Raises whatever the renderer raised."""
        target = self._path_of(prediction, number)
        if not target.exists():
            await asyncio.shield(self._task_for(target, prediction, number))
        return target

    def remove(self, prediction: Prediction) -> None:
        """Remove its clips that are there; one that is being rendered is never served."""
        for number in range(1, prediction.outputs + 1):
            self._path_of(prediction, number).unlink(missing_ok=True)

    async def close(self) -> None:
        """End the workers at once; what they were rendering is given up."""
        tasks = list(self._at_work.values())
        for task in tasks:
            task.cancel()
        self._pool.drop()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _path_of(self, prediction: Prediction, number: int) -> Path:
        return self._folder / f"{prediction.accepted.id}-{number}{prediction.suffix}"

    def _task_for(self, target: Path, prediction: Prediction, number: int) -> "asyncio.Task[None]":
        task = self._at_work.get(target)
        if task is None:
            inputs = prediction.accepted.inputs
            image_url = next(iter(files_in(inputs)), "")
            order = Order(
                target=target,
                still=self._uploads.find_by_url(image_url) if image_url else None,
                image_url=image_url or str(inputs.get("prompt", "")),
                prompt=str(inputs.get("prompt", "")),
                aspect_ratio=ratio_of(inputs),
                duration_s=length_s_of(inputs),
                seed=prediction.accepted.seed + number - 1,
                damage=prediction.asked.scenario.damage,
                drawn=self._drawn,
            )
            task = self._at_work[target] = asyncio.create_task(self._render(order))
            task.add_done_callback(lambda done: self._forget(target, done))
        return task

    async def _render(self, order: Order) -> None:
        await self._pool.run(order)
        self.rendered += 1

    def _forget(self, target: Path, done: "asyncio.Task[None]") -> None:
        self._at_work.pop(target, None)
        if not done.cancelled():
            done.exception()  # those that wait get it; a clip begun early may have none that wait


class _Pool:
    """The rendering processes, started when first needed, and anew after one of them died."""

    def __init__(self) -> None:
        self._executor: ProcessPoolExecutor | None = None
        self._lifeline: tuple[Connection, Connection] | None = None

    async def run(self, order: Order) -> None:
        executor = self._open()
        try:
            await asyncio.get_running_loop().run_in_executor(executor, render_into, order)
        except BrokenProcessPool:
            if executor is self._executor:
                self.drop()
            raise

    def drop(self) -> None:
        """End all processes, now."""
        if self._lifeline is not None:
            for end in self._lifeline:
                end.close()
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
        self._executor = self._lifeline = None

    def _open(self) -> ProcessPoolExecutor:
        if self._executor is None:
            spawning = multiprocessing.get_context("spawn")
            self._lifeline = spawning.Pipe(duplex=False)
            self._executor = ProcessPoolExecutor(_WORKERS, spawning, begin_worker, (self._lifeline[0],))
        return self._executor
