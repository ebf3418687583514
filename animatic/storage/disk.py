"""Files on local disk: read without being led astray by links, replaced so that no reader sees half of one."""

import errno
import fcntl
import glob
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from animatic.machine.durability import replacement
from animatic.machine.privacy import file_mode, make_folder
from animatic.storage import names

_CHUNK_BYTES = 1 << 20
_LOCK_WAIT_S, _LOCK_POLL_S = 10.0, 0.02
_NO_LOCKS = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOLCK, errno.EBADF})
"""Errors of file systems that cannot lock a folder, such as network shares."""
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # without O_NONBLOCK, opening a named pipe would wait for a writer


class NotAFileError(OSError):
    """A folder, pipe, socket or device where a file was wanted; or a link that leads out of the folder."""


def chunks(path: str) -> Generator[bytes]:
    """Yield the bytes of a regular file, a MiB at a time. Raises OSError."""
    descriptor = os.open(path, _READ)
    try:
        _require_regular(descriptor)
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            yield chunk
    finally:
        os.close(descriptor)


def hash_of(chunks: Iterable[bytes]) -> str:
    """Return the SHA-256 of all chunks together, in hex."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def write_chunks(path: Path, chunks: Iterable[bytes]) -> str:
    """Write a file, and return the SHA-256 of what was written, in hex. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def open_below(folder: str, relative_path: str) -> BinaryIO:
    """Open a regular file below `folder`; links may stay inside it, and none may lead out. Raises OSError.

    Links are resolved once, judged, and then not followed any more: a link that is changed in between is refused.
    A name in another Unicode form is found, where just one file has it.
    """
    root = Path(folder).resolve(strict=True)
    try:
        real = (root / relative_path).resolve(strict=True)
    except FileNotFoundError:
        real = (root / names.as_spelled(root, relative_path)).resolve(strict=True)
    if not real.is_relative_to(root):
        raise NotAFileError("it is a link that leads out of the folder of stills")
    *folders, name = real.relative_to(root).parts or (".",)
    with ExitStack() as stack:
        inside = _open(stack, str(root), os.O_DIRECTORY)
        for segment in folders:
            inside = _open(stack, segment, os.O_DIRECTORY | os.O_NOFOLLOW, inside)
        descriptor = os.open(name, _READ | os.O_NOFOLLOW, dir_fd=inside)
    try:
        _require_regular(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return open(descriptor, "rb")  # noqa: PTH123 - a descriptor, not a path


_KINDS = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def kind_of(path: str) -> str | None:
    """Return `a file`, `a folder` and the like, following links; None if there is nothing. Raises OSError."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - as the other functions here
    except (FileNotFoundError, NotADirectoryError):
        return None
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "something that is not a file")


def mark_of(path: str) -> str:
    """Return moment, size and number of a file; empty where there is none. Raises OSError."""
    try:
        found = os.stat(path)  # noqa: PTH116 - as the other functions here
    except FileNotFoundError:
        return ""
    return f"{found.st_mtime_ns} {found.st_size} {found.st_ino}"


def replace_file(path: str, original: BinaryIO, like: str | None = None) -> None:
    """Put the contents of an open file in the place of `path`, whole or not at all; parents are made. Raises OSError.

    It keeps mode, owner and group of the file that it replaces, as far as we may set them; a new one follows the
    user's umask. A link is followed, and stays a link, unless it is another user's: in a folder that all can write to,
    it may have been laid there for us to write through. With `like`, a new file takes after that one.
    """
    if Path(path).is_symlink() and Path(path).lstat().st_uid not in {0, os.geteuid()}:
        raise NotAFileError("there is a link that belongs to another user")
    target = _target_of(path)
    make_folder(target.parent)
    with replacement(target) as file:
        original.seek(0)
        shutil.copyfileobj(original, file, _CHUNK_BYTES)
        _take_after(target if like is None else Path(like), file.fileno())


def _target_of(path: str) -> Path:
    """Return the file that is to be written, links followed. Raises OSError where there is anything else."""
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        raise NotAFileError("there is something that is not a file")
    return target


def _take_after(target: Path, descriptor: int) -> None:
    """Give a new file the mode, owner and group of the one that it replaces, if there is one."""
    try:
        old = target.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, file_mode())
        return
    mode, new = stat.S_IMODE(old.st_mode) & 0o777, os.fstat(descriptor)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        for owner, group in ((-1, old.st_gid), (old.st_uid, -1)):
            with suppress(PermissionError):
                os.fchown(descriptor, owner, group)
        if os.fstat(descriptor).st_gid != old.st_gid:  # the new group may do what all others may
            mode = mode & ~0o070 | (mode & 0o007) << 3
    os.fchmod(descriptor, mode)


def matching(pattern: str) -> Generator[str]:
    """Yield the paths of regular files that a pattern matches. Raises OSError."""
    yield from (path for path in glob.iglob(pattern) if Path(path).is_file())  # noqa: PTH207 - keeps a relative path so


def marks_below(folder: str, pattern: str) -> Generator[tuple[str, str]]:
    """Yield the paths below a folder, and the marks, of regular files that a pattern matches. Raises OSError."""
    for name in glob.iglob(pattern, root_dir=folder):  # noqa: PTH207 - relative paths
        path = Path(folder, name)
        if path.is_file() and (mark := mark_of(str(path))):
            yield name, mark


def files_in(folder: str) -> list[str]:
    """Return the names of the regular files in a folder; none where there is none. Raises OSError."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_file()]
    except FileNotFoundError:
        return []


@contextmanager
def locked_folder(path: str) -> Generator[None]:
    """Hold the folder of a file while the block runs: one at a time, of all who ask. It is made as needed.

    Raises TimeoutError after 10 s, OSError. On file systems without such locks it is not held.
    """
    folder = _target_of(path).parent
    make_folder(folder)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError("another program holds its folder") from None
                time.sleep(_LOCK_POLL_S)
                continue
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
            break
        yield
    finally:
        os.close(descriptor)


def goes_through_nothing(path: str) -> bool:
    """Tell a path such as `missing/../file`: opened it is not there, resolved it is another file."""
    *folders, _ = Path(path).parts
    return ".." in folders and not Path(*folders).exists() and Path(*folders).resolve().exists()


def require_writable(path: str) -> None:
    """Raise OSError if `replace_file` could not work: the nearest folder that exists must let us in."""
    target = _target_of(path)
    nearest = next(parent for parent in target.parents if parent.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(f"{nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(f"the folder {nearest} cannot be written to")


def _open(stack: ExitStack, name: str, flags: int, inside: int | None = None) -> int:
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | flags, dir_fd=inside)
    stack.callback(os.close, descriptor)
    return descriptor


def _require_regular(descriptor: int) -> None:
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        raise NotAFileError("it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file")
