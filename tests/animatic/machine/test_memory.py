"""Freed memory goes back to the system, whichever thread used it."""

import platform
import subprocess
import sys

import pytest

_HELD_AFTER_FREEING = """
import threading
from pathlib import Path
from animatic.machine.memory import give_back_freed_memory

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096 / 1e6

def fill():
    global kept
    del bytearray_of_30_mb[:]
    arrays = [bytearray(b"x") * (2 << 20) for _ in range(64)]
    kept = arrays[-1]

if {gives_back}:
    give_back_freed_memory()
bytearray_of_30_mb = [bytearray(30 << 20)]
before = resident_mb()
thread = threading.Thread(target=fill)
thread.start()
thread.join()
print(resident_mb() - before)
"""


def held_mb(*, gives_back: bool) -> float:
    code = _HELD_AFTER_FREEING.format(gives_back=gives_back)
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


@pytest.mark.sandbox
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such options")
def test_freed_arrays_go_back_to_the_system() -> None:
    assert held_mb(gives_back=True) < 20
    assert held_mb(gives_back=False) > 100
