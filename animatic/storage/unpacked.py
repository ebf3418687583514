"""Files that hold text in another form: gzip, and UTF-16 with a byte order mark. Both become plain UTF-8 on disk."""

import codecs
import gzip
import zlib
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import BinaryIO

from animatic.errors import LocationError
from animatic.storage.spool import nameless_file

_PIECE_BYTES = 1 << 20
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@contextmanager
def unpacked(name: str, file: BinaryIO, max_bytes: int) -> Generator[tuple[str, BinaryIO]]:
    """Yield the name and an open file of what is in a file: of `shots.csv.gz` that is `shots.csv`.

    Raises:
        LocationError: it is no gzip file, or larger than `max_bytes` once it is unpacked.
    """
    if name.lower().endswith(".gz"):
        with _copied(_inflated(name, file), name, max_bytes) as plain, unpacked(name[:-3], plain, max_bytes) as found:
            yield found
        return
    file.seek(0)
    if file.read(2) in _MARKS and not name.lower().endswith((".parquet", ".xlsx")):
        with _copied(_as_utf8(name, file), name, max_bytes) as plain:
            yield name, plain
        return
    file.seek(0)
    yield name, file


@contextmanager
def _copied(pieces: Iterable[bytes], name: str, max_bytes: int) -> Generator[BinaryIO]:
    with nameless_file() as plain:
        size_bytes = 0
        for piece in pieces:
            size_bytes += len(piece)
            if size_bytes > max_bytes:
                raise LocationError(f"{name}: found more than {max_bytes:,} bytes once unpacked; allowed: up to that")
            plain.write(piece)
        plain.seek(0)
        yield plain


def _inflated(name: str, file: BinaryIO) -> Generator[bytes]:
    file.seek(0)
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            while piece := stream.read(_PIECE_BYTES):
                yield piece
    except (OSError, EOFError, zlib.error):
        raise LocationError(f"{name}: found what is no whole gzip file; allowed: gzip under .gz") from None


def _as_utf8(name: str, file: BinaryIO) -> Generator[bytes]:
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-16")()
    try:
        while piece := file.read(_PIECE_BYTES):
            yield decoder.decode(piece).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError:
        raise LocationError(f"{name}: found bytes that are not UTF-16; save it as CSV in UTF-8") from None
