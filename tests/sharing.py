"""How tests are shared out among the processes of `make test`.

Most tests wait as long as they work, and some take minutes. So each goes to the process that is free first, those that
may take longest begin first, and those that wait are mixed with those that work. The pure ones, which are short, fill
the end.
"""

import zlib
from typing import Any

import pytest

HARMLESS = frozenset({"collected"})
"""Fixtures of a module that each process may as well have for itself."""


def share_out(items: list[pytest.Item], usual_timeout_s: float) -> None:
    """Put tests into the order in which processes take them, and tests that need each other into one group."""
    for item in items:
        if _is_with_its_file(item):
            item.add_marker(pytest.mark.xdist_group(item.location[0]))
    items.sort(key=lambda item: _turn(item, usual_timeout_s))


def _is_with_its_file(item: pytest.Item) -> bool:
    """Tell if a test shares something that was made for its module, or is too short to be handed out alone."""
    if item.get_closest_marker("pure") is not None:
        return True
    known: dict[str, Any] = item._fixtureinfo.name2fixturedefs  # pyright: ignore[reportAttributeAccessIssue]
    return any(known[name][-1].scope == "module" for name in known.keys() - HARMLESS)


def _turn(item: pytest.Item, usual_timeout_s: float) -> tuple[bool, float, int]:
    """Return the place of a test: by how long it may take, then mixed, the same in every process."""
    mark, group = item.get_closest_marker("timeout"), item.get_closest_marker("xdist_group")
    may_take_s = float(mark.args[0]) if mark is not None else usual_timeout_s
    mixed = zlib.crc32((group.args[0] if group is not None else item.nodeid).encode())
    return item.get_closest_marker("pure") is not None, -may_take_s, mixed
