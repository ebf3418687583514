"""Files on local disk: read without being led astray by links, replaced so that nobody sees half of one."""

import os
import stat
import tempfile
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from animatic.durability import sync, sync_folder

_CHUNK_BYTES = 1 << 20
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # without O_NONBLOCK, opening a named pipe would wait for a writer


class NotAFileError(OSError):
    """A folder, pipe, socket or device where a file was wanted; or a link that leads out of the folder."""


def read_file(path: str, max_bytes: int) -> bytes:
    """The bytes of a regular file, at most `max_bytes` and one more. Raises OSError."""
    return _read(os.open(path, _READ), max_bytes)


def chunks(path: str) -> Generator[bytes]:
    """The bytes of a regular file, a MiB at a time. Raises OSError."""
    descriptor = os.open(path, _READ)
    try:
        _require_regular(descriptor)
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            yield chunk
    finally:
        os.close(descriptor)


def read_below(folder: str, relative_path: str, max_bytes: int) -> bytes:
    """The same for a file below `folder`; links may stay inside it, and none may lead out. Raises OSError.

    Links are resolved once, judged, and then not followed any more: a link that is changed in between is refused.
    """
    root = Path(folder).resolve(strict=True)
    real = (root / relative_path).resolve(strict=True)
    if not real.is_relative_to(root):
        raise NotAFileError("it is a link that leads out of the manifest's folder")
    *folders, name = real.relative_to(root).parts or (".",)
    with ExitStack() as stack:
        inside = _open(stack, str(root), os.O_DIRECTORY)
        for segment in folders:
            inside = _open(stack, segment, os.O_DIRECTORY | os.O_NOFOLLOW, inside)
        return _read(os.open(name, _READ | os.O_NOFOLLOW, dir_fd=inside), max_bytes)


def replace_file(path: str, write: Callable[[BinaryIO], object]) -> None:
    """Put what `write` writes in the place of `path`, whole or not at all; parents are made. Raises OSError.

    The new file belongs to its owner alone (mode 0600). A link is followed, and stays a link, unless it is somebody
    else's: in a folder that all can write to, it may have been laid there for us to write through.
    """
    if Path(path).is_symlink() and Path(path).lstat().st_uid not in {0, os.geteuid()}:
        raise NotAFileError("there is a link that belongs to somebody else")
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        raise NotAFileError("there is something that is not a file")
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".animatic-", suffix=".tmp", dir=target.parent)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            write(file)
            file.flush()
            sync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise
    sync_folder(target.parent)


def require_writable(path: str) -> None:
    """Raise OSError if `replace_file` could not work: the nearest folder that exists must let us in."""
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        raise NotAFileError("there is something that is not a file")
    nearest = next(parent for parent in target.parents if parent.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(f"{nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(f"the folder {nearest} cannot be written to")


def _open(stack: ExitStack, name: str, flags: int, inside: int | None = None) -> int:
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | flags, dir_fd=inside)
    stack.callback(os.close, descriptor)
    return descriptor


def _read(descriptor: int, max_bytes: int) -> bytes:
    try:
        _require_regular(descriptor)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(max_bytes + 1)
    finally:
        os.close(descriptor)


def _require_regular(descriptor: int) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise NotAFileError("it is not a regular file")
