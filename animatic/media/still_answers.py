"""Answers of hosts to a request for a still: read within bounds, and judged. Asks nothing itself."""

import asyncio
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import BinaryIO

from animatic.errors import LocationError
from animatic.errors.text import escaped
from animatic.media.stills import START_BYTES, fault_of_start, find_damage, probe, probe_header
from animatic.takes.seen_stills import MAX_VALIDATOR_CHARS, LookedAt, SeenStill
from animatic.takes.stills import MAX_STILL_BYTES, Still
from animatic.web.reader import Page

LEAST_SIDE_PIXELS = 16
"""A picture that is smaller is no still: a tracking pixel, or what a host shows in place of one."""

_MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})
_BEGINNING_BYTES = 512 << 10


@dataclass(frozen=True, slots=True)
class LookBounds:
    """Bounds of one check.

    Attributes:
        still_bytes: of one still.
        whole_bytes: of all stills together, as far as they are read whole.
        still_s: for one request; `stalls_after_s` for the next bytes of it.
        check_s: for all of them together.
        at_once, at_once_per_host: requests.
        tries: of one still, where its host is busy or does not answer.
        pause_s, most_pause_s: between two of them, where the host does not say, and where it does.
        progress_every_s: between two lines about the progress.
    """

    still_bytes: int = MAX_STILL_BYTES
    whole_bytes: int = 4 << 30
    still_s: float = 60.0
    stalls_after_s: float = 15.0
    check_s: float = 1_800.0
    at_once: int = 16
    at_once_per_host: int = 4
    tries: int = 3
    pause_s: float = 1.0
    most_pause_s: float = 30.0
    progress_every_s: float = 5.0


USUAL_BOUNDS = LookBounds()


class Later(Exception):  # noqa: N818 - an answer, not an error, until there are too many of them
    """A failure that may pass. `is_silent`: the host did not answer at all."""

    def __init__(self, why: str, *, is_silent: bool = False, after_s: float | None = None) -> None:
        super().__init__(why)
        self.why, self.is_silent, self.after_s = why, is_silent, after_s


class Answers:
    """Reads the answers of one check; counts the bytes of all of them."""

    def __init__(self, bounds: LookBounds) -> None:
        self._bounds, self._whole_left = bounds, bounds.whole_bytes

    async def read(self, page: Page, known: SeenStill | None) -> LookedAt:
        """Return what an answer shows; `known` is the look that it was asked about, if so. Raises Later."""
        if page.status == 304 and known is not None:
            return replace(known, seen_at=datetime.now(UTC))
        if page.status in _MAY_PASS:
            raise Later(f"HTTP {page.status} instead of an image", after_s=_retry_after_s(page))
        if page.status != 200:
            return f"HTTP {page.status} instead of an image{_hint_on(page.status)}"
        if page.encoding != "identity":
            return "it comes compressed, which was not asked for"
        length = _length_of(page)
        if length is not None and length > self._bounds.still_bytes:
            return _too_large(self._bounds.still_bytes)
        with tempfile.TemporaryFile() as file:
            is_whole = await self._receive(page, file)
            if isinstance(is_whole, str):
                return is_whole
            still = await asyncio.to_thread(_still_in, file, is_whole=is_whole)
        return still if isinstance(still, str) else _seen(still, page, length)

    async def _receive(self, page: Page, file: BinaryIO) -> bool | str:
        """Read the body, or its beginning, into a file. Return whether that is all, or what is wrong with it."""
        start, size_bytes, has_begun = b"", 0, False
        async for chunk in page.chunks:
            size_bytes += len(chunk)
            if size_bytes > self._bounds.still_bytes:
                return _too_large(self._bounds.still_bytes)
            _write(file, chunk)
            start = start if has_begun else (start + chunk)[:START_BYTES]
            if not has_begun and len(start) == START_BYTES:
                has_begun = True
                if fault := fault_of_start(start):
                    return fault + _as_announced(page)
            self._whole_left -= len(chunk)
            if self._whole_left <= 0 and size_bytes >= _BEGINNING_BYTES:
                if not isinstance(await asyncio.to_thread(probe_header, start, file), str):
                    return False
                file.seek(0, 2)
        if not size_bytes:
            return "nothing comes: it is empty"
        fault = None if has_begun else fault_of_start(start)
        return True if fault is None else fault + _as_announced(page)


def _write(file: BinaryIO, chunk: bytes) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        raise LocationError(f"{tempfile.gettempdir()}: a still cannot be kept there ({error.strerror})") from None


def _still_in(file: BinaryIO, *, is_whole: bool) -> Still | str:
    """Return the still in a file, without a hash where not all of it is there; or what is wrong with it."""
    file.seek(0)
    if is_whole:
        found = probe(file)
    else:
        header = probe_header(file.read(START_BYTES), file)
        found = header if isinstance(header, str) else Still("", 0, *header)
    if isinstance(found, str):
        return found
    if min(found.width, found.height) < LEAST_SIDE_PIXELS:
        return f"has {found.width} x {found.height} pixels, which is no picture to animate"
    return (find_damage(file, found) if is_whole else None) or found


def _seen(still: Still, page: Page, length: int | None) -> SeenStill:
    return SeenStill(
        still.width,
        still.height,
        still.format,
        still.sha256 or None,
        still.size_bytes or length,
        _validator(page, "ETag"),
        _validator(page, "Last-Modified"),
        datetime.now(UTC),
    )


def _validator(page: Page, name: str) -> str | None:
    value = page.headers.get(name, "")
    return value if 0 < len(value) <= MAX_VALIDATOR_CHARS and value.isprintable() else None


def _hint_on(status: int) -> str:
    """Return what a status means to people, as far as that helps."""
    if 300 <= status < 400 and status != 304:
        return ", a redirect to nowhere"
    return {401: ", a page for those who signed in", 403: ", which is not for everyone"}.get(status, "")


def _length_of(page: Page) -> int | None:
    length = page.headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 18 else None


def _retry_after_s(page: Page) -> float | None:
    value = page.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 6 else None


def _as_announced(page: Page) -> str:
    """Return the media type that a host gave for what is no image, where that says it is one."""
    announced = page.headers.get("Content-Type", "")
    return f", though its host calls it {escaped(announced, 40)}" if announced.lower().startswith("image/") else ""


def _too_large(most_bytes: int) -> str:
    return f"is larger than {most_bytes >> 20} MiB" if most_bytes >= 1 << 20 else f"is larger than {most_bytes:,} bytes"
