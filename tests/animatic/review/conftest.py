"""One browser for all tests of a process, and small clips that they share."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import browser
from shown import clip_in, still_in


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Run one browser for a module whose tests are all synchronous: Playwright keeps a loop in this thread."""
    with browser() as running:
        yield running


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of two seconds."""
    return clip_in(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def other_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another clip of two seconds."""
    return clip_in(tmp_path_factory.mktemp("clips"), 2, darkest=48)


@pytest.fixture(scope="session")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A still."""
    return still_in(tmp_path_factory.mktemp("stills"))
