"""Memory of this process that the C library keeps once it is free."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of glibc's malloc.h
_LARGE_BYTES = 1 << 20
_KEPT_BYTES = 4 << 20


def give_back_freed_memory() -> None:
    """Have all threads share what is freed, and give large arrays back to the system as soon as they are.

    Without this, glibc keeps freed memory for each thread that used it, and learns to keep that of arrays of up to
    32 MB: a run of a million rows holds 100 MB that nothing uses. Does nothing with other C libraries.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for option, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _LARGE_BYTES), (_TRIM_THRESHOLD, _KEPT_BYTES)):
        mallopt(option, value)
