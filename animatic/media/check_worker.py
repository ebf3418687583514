"""A process that checks clips, one at a time: `python -P -m animatic.media.check_worker`.

Clips and stills are hostile: whatever a decoder does to this process, the run is another one. It reads orders from
stdin, a line of JSON each, and answers on stdout in lines of JSON. It ends with its stdin, which a dead run closes too,
and takes the folder that its argument names along. It is given no key and opens no connection.
"""

import contextlib
import hashlib
import io
import json
import os
import resource
import shutil
import sys
import threading
from dataclasses import asdict
from queue import SimpleQueue
from typing import Any

MOST_MEMORY_BYTES = 3 << 30
MOST_CPU_S = 60
"""Bounds of one clip; a process that exceeds them is ended by the system."""

MAX_STILL_PIXELS = 100_000_000
_NICE = 10


def main() -> None:
    """Check clips until stdin ends."""
    os.nice(_NICE)
    with contextlib.suppress(OSError, ValueError):  # not every system has this bound
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    orders: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read, args=(orders,), daemon=True).start()
    while True:
        order = json.loads(orders.get())
        _allow_cpu()
        answers.write(json.dumps(_answer(order)) + "\n")
        answers.flush()


def _read(orders: "SimpleQueue[str]") -> None:
    """Hand orders on; end the process, in the middle of a clip too, once there are no more.

    The folder of copies goes with it: a run that was killed has left it behind.
    """
    for line in sys.stdin:
        orders.put(line)
    for folder in sys.argv[1:]:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _allow_cpu() -> None:
    """Allow as much CPU for the next clip as for each."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + MOST_CPU_S, hard))


def _answer(order: dict[str, Any]) -> dict[str, Any]:
    """Return the measures of a clip, or why there are none: `undecodable`; `unread` where that says nothing of it."""
    from animatic.media.clip_measures import UndecodableError, measure  # noqa: PLC0415 - for the first clip

    try:
        with open(order["clip"], "rb") as clip:  # noqa: PTH123 - a name, not a path of ours
            if hashlib.file_digest(clip, "sha256").hexdigest() != order["sha256"]:
                return {"unread": "it is not the file that was archived"}
            clip.seek(0)
            return {"measures": asdict(measure(clip, order["container"], _open_still(order["still"])))}
    except UndecodableError as error:
        return {"undecodable": str(error)[:500]}
    except MemoryError:
        return {"undecodable": f"decoding it takes more than {MOST_MEMORY_BYTES >> 30} GiB of memory"}
    except OSError as error:
        return {"unread": error.strerror or type(error).__name__}


def _open_still(path: str | None) -> Any:
    """Return a still as a picture, upright; None for none, and for one that cannot be decoded."""
    if path is None:
        return None
    from PIL import Image, ImageOps  # noqa: PLC0415 - for clips with a still

    Image.MAX_IMAGE_PIXELS = MAX_STILL_PIXELS
    try:
        if path.endswith(".clip"):
            from animatic.media.last_frames import last_frame  # noqa: PLC0415 - for shots that start from others

            with open(path, "rb") as clip:  # noqa: PTH123 - as above
                return Image.open(io.BytesIO(last_frame(clip, "the clip"))).convert("L")
        picture = Image.open(path, formats=["JPEG", "PNG", "WEBP"])
        picture.draft("L", (1024, 1024))
        return ImageOps.exif_transpose(picture).convert("L")
    except Exception:  # noqa: BLE001 - Pillow's readers raise whatever a broken file makes them stumble over
        return None


if __name__ == "__main__":
    main()
