"""Code of a rendering process: one clip at a time, gone as soon as the sandbox is."""

import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from animatic.sandbox.folder import write_whole
from animatic.sandbox.scenarios import ClipDamage


@dataclass(frozen=True, slots=True)
class Order:
    """An output to render: a clip, or a picture where the target's suffix says so.

    `still` is None where the image lives elsewhere or there is none; `image_url` (or the prompt in it) stands for it.
    """

    target: Path
    still: Path | None
    image_url: str
    prompt: str
    aspect_ratio: str
    duration_s: int
    seed: int
    damage: ClipDamage | None = None
    drawn: Path | None = None
    """The folder of clips that were drawn before."""


def begin_worker(lifeline: Connection) -> None:
    """Set the process up. It ends when the other end of `lifeline` is closed, which a dead sandbox does too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the sandbox, which then ends us
    threading.Thread(target=_die_with, args=(lifeline,), daemon=True).start()


def render_into(order: Order) -> None:
    """Render an output and put it at its target, whole or not at all."""
    from animatic.sandbox.renderer.placeholder import as_png, draw_placeholder  # noqa: PLC0415 - numpy is for this process only

    still = order.still.read_bytes() if order.still else draw_placeholder(order.image_url, order.aspect_ratio)
    if order.target.suffix == ".png":
        made = as_png(still)
    else:
        made = _clip(order, still)
        if order.damage is not None:
            from animatic.sandbox.renderer.damage import damaged  # noqa: PLC0415 - for these scenarios only

            made = damaged(made, order.damage)
    write_whole(order.target, made)


def _clip(order: Order, still: bytes) -> bytes:
    """Return a clip, drawn now if it was not drawn before."""
    from animatic.sandbox.renderer import drawn, render  # noqa: PLC0415 - the codecs are for this process only

    def draw() -> bytes:
        return render.render_clip(
            still, order.prompt, aspect_ratio=order.aspect_ratio, duration_s=order.duration_s, seed=order.seed
        )

    if order.drawn is None:
        return draw()
    key = drawn.key_of(still, order.prompt, order.aspect_ratio, order.duration_s, order.seed)
    found = drawn.find(order.drawn, key)
    if found is None:
        found = draw()
        drawn.keep(order.drawn, key, found)
    return found


def _die_with(lifeline: Connection) -> None:
    lifeline.poll(None)
    os._exit(1)
