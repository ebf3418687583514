"""Imports of large libraries, for less: nothing else belongs here."""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def gc_paused() -> Generator[None]:
    """Without garbage collection, for blocks of imports: classes and functions by the thousand, and no garbage.

    Looking through them again and again is a fifth of the time of an import of Prefect. What the block leaves behind
    is not looked at by later collections either: modules stay until the process ends.
    """
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if is_collecting:
            gc.enable()
