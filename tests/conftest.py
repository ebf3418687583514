"""Three rings of tests: `-m pure`, `-m sandbox` and `-m services`. Each test is in exactly one.

A test is in the ring of its marker, else of its folder, else of its fixtures. All others are pure: they fail when they
touch a socket, a process or a database file, and their event loop runs in virtual time.
"""

import asyncio
import contextlib
import gc
import sys
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest
from examples import QUICK
from hypothesis import settings
from rings import ring_of, ring_of_path
from sharing import Sharing, order
from torture.virtual import VirtualLoop

IMPURE = {
    "os.exec": "start a process",
    "os.fork": "start a process",
    "os.forkpty": "start a process",
    "os.posix_spawn": "start a process",
    "os.system": "start a process",
    "socket.bind": "open a socket",
    "socket.connect": "open a socket",
    "socket.getaddrinfo": "look up a host",
    "sqlite3.connect": "open a database file",
    "subprocess.Popen": "start a process",
}
"""Python's audit events that a pure test may not raise."""


class Guard:
    """Fails what a pure test may not do."""

    is_on = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.is_on and event in IMPURE and arguments[0] != ":memory:":
            refuse(IMPURE[event])


def refuse(deed: str) -> NoReturn:
    raise pytest.fail.Exception(f"a pure test may not {deed}: mark it `sandbox`, or do without")


guard = Guard()
sys.addaudithook(guard)


def pytest_configure(config: pytest.Config) -> None:
    """Try fewer examples where only the pure ring runs; `make test` tries all."""
    if config.option.markexpr == "pure":
        settings.load_profile(QUICK)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    is_skipped = config.option.markexpr == "pure" and ring_of_path(collection_path) != "pure"
    return True if is_skipped else None


@pytest.hookimpl(tryfirst=True)  # before those of another ring are deselected
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        ring = ring_of(item)
        if item.get_closest_marker(ring) is None:
            item.add_marker(ring)
    if hasattr(config, "workerinput"):  # one of several processes
        order(items, float(config.getini("timeout")))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Sharing | None:
    return Sharing(config, log) if config.option.dist == "load" else None  # what `-n` alone stands for


def pytest_collection_finish() -> None:
    """Leave what was imported and collected to itself until the end: it is no garbage, and there is much of it."""
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    is_virtual = ring_of(item) == "pure" or "account_of" in item.fixturenames  # pyright: ignore[reportAttributeAccessIssue]
    return {"loop": VirtualLoop if is_virtual else asyncio.new_event_loop}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    with _guarded(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    with _guarded(item):
        return (yield)


@contextlib.contextmanager
def _guarded(item: pytest.Item) -> Generator[None]:
    """Keep a pure test pure, but for its end: that of a process takes down what other tests have shared."""
    if item.get_closest_marker("pure") is None:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "is_on", True)
        patch.setattr(time, "sleep", lambda _: refuse("sleep"))
        yield


@pytest.fixture(scope="session")
def s3_url() -> Generator[str]:
    """URL of an S3 server; made only for tests of the ring `services`."""
    from s3_server import serving_s3  # noqa: PLC0415 - moto and s3fs take a second to import

    with serving_s3() as url:
        yield url


@pytest.fixture
def bucket(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    """The file system of an S3 server with an empty bucket, named `bucket`."""
    from s3_server import emptied_bucket  # noqa: PLC0415 - as above

    with emptied_bucket(s3_url, monkeypatch) as system:
        yield system
