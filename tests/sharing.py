"""Distribution of tests among the processes of `pytest -n`.

Most tests wait as long as they work, and some take minutes. So each goes to the process that is free first, those that
may take longest begin first, and those that wait are mixed with those that work. Tests of a file that makes something
for its module stay together, and so do the pure ones, which are short and fill the end.
"""

import zlib
from functools import cache
from pathlib import Path

import pytest
from rings import ring_of_path
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[1]
TOGETHER = ("tests/clients/",)
"""Folders whose conftest makes something for each module."""


class Sharing(LoadScopeScheduling):
    """Hands tests out in the order of their collection, one by one, or a file at a time."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        super().__init__(config, log)  # pyright: ignore[reportArgumentType]
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        file, _, _ = nodeid.partition("::")
        return file if is_together(file) else nodeid


@cache
def is_together(file: str) -> bool:
    """Tell if the tests of a file go to one process."""
    is_pure = ring_of_path(ROOT / file) == "pure"
    return is_pure or file.startswith(TOGETHER) or 'scope="module"' in (ROOT / file).read_text(encoding="utf-8")


def order(items: list[pytest.Item], usual_timeout_s: float) -> None:
    """Put tests into the order in which processes take them, which is the same in all of them."""

    def turn(item: pytest.Item) -> tuple[bool, float, int]:
        mark, (file, *_) = item.get_closest_marker("timeout"), item.location
        may_take_s = float(mark.args[0]) if mark is not None else usual_timeout_s
        unit = file if is_together(file) else item.nodeid
        return item.get_closest_marker("pure") is not None, -may_take_s, zlib.crc32(unit.encode())

    items.sort(key=turn)
