"""Syncs: the drive's cache is emptied where the system can; a drive's error is never hidden by a second try."""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import animatic
from animatic.machine.durability import replacement, sync, sync_data, sync_folder

EACH = pytest.mark.parametrize("syncing", [sync, sync_data])


@pytest.fixture
def closed() -> int:
    """A descriptor that the usual sync fails at."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def failing(number: int) -> Callable[[int], object]:
    def full_sync(_: int) -> object:
        raise OSError(number, os.strerror(number))

    return full_sync


@EACH
def test_where_the_drives_cache_can_be_emptied_that_is_all_it_takes(closed: int, syncing: Callable[..., None]) -> None:
    asked: list[int] = []
    syncing(closed, asked.append)
    assert asked == [closed]


@EACH
@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.EINVAL, errno.ENOTTY])
def test_a_file_system_that_cannot_is_synced_as_usual(
    tmp_path: Path, closed: int, syncing: Callable[..., None], number: int
) -> None:
    with (tmp_path / "a").open("wb") as file:
        syncing(file.fileno(), failing(number))
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        syncing(closed, failing(number))


@EACH
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EBADF])
def test_an_error_of_the_drive_is_raised(tmp_path: Path, syncing: Callable[..., None], number: int) -> None:
    with (tmp_path / "a").open("wb") as file, pytest.raises(OSError, match=os.strerror(number)):
        syncing(file.fileno(), failing(number))


@EACH
def test_without_such_a_command_the_usual_sync_is_made(
    tmp_path: Path, closed: int, syncing: Callable[..., None]
) -> None:
    with (tmp_path / "a").open("wb") as file:
        syncing(file.fileno())
    sync_folder(tmp_path)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        syncing(closed, None)


def test_nothing_that_we_keep_is_synced_in_another_way() -> None:
    root = Path(animatic.__file__).parent
    own = [path for path in root.rglob("*.py") if re.search(r"\bos\.(fsync|fdatasync)\(", path.read_text())]
    assert [path.name for path in own] == ["journal.py"], "the sandbox's own"


def replace(path: Path, stop: type[BaseException] | None = None) -> None:
    with replacement(path) as file:
        file.write(b"new")
        if stop is not None:
            raise stop


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_a_replacement_is_whole_and_its_owners_alone(stop: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(stop):
        replace(path, stop)
    assert list(tmp_path.iterdir()) == []
    replace(path)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o600)
    path.write_bytes(b"old")
    with pytest.raises(stop):
        replace(path, stop)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
