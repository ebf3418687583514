"""Download clips with a client that has no key: streamed, hashed, bounded, and resumed where a line breaks.

From the public Internet by https, or from the one origin that the operator gave (the sandbox's). Redirects are not
followed. What comes goes into a file that the caller opened; only what was said to be whole is a clip.
"""

import asyncio
import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Self

from animatic.errors import ClipRefusedError, ClipUnavailableError
from animatic.wavespeed.transport import identity_headers
from animatic.web.addresses import refusal_of
from animatic.web.network import DIRECT, Network
from animatic.web.public_web import NotPublicError, WebError
from animatic.web.reader import FAILURES, Page, Resolver, WebReader

CLIP_DEADLINE_S = 600.0
STALLS_AFTER_S = 60.0
MAX_CLIP_BYTES = 512 << 20
DOWNLOADS_AT_ONCE = 8
MOST_RESUMES = 5
"""A line that breaks more often in one download is a failed download, which is tried again later."""

_GONE = frozenset({401, 403, 404, 410})
"""Statuses of a URL that has died: a signature that has expired, or a file that was deleted."""

_SIGNATURES = (
    (re.compile(rb".{4}ftypqt", re.DOTALL), ".mov"),
    (re.compile(rb".{4}ftyp(?:avif|heic)", re.DOTALL), ".avif"),
    (re.compile(rb".{4}ftypM4A", re.DOTALL), ".m4a"),
    (re.compile(rb".{4}ftyp", re.DOTALL), ".mp4"),
    (re.compile(rb"\x1aE\xdf\xa3"), ".webm"),
    (re.compile(rb"\x89PNG\r\n"), ".png"),
    (re.compile(rb"\xff\xd8\xff"), ".jpg"),
    (re.compile(rb"GIF8[79]a"), ".gif"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), ".webp"),
    (re.compile(rb"RIFF.{4}WAVE", re.DOTALL), ".wav"),
    (re.compile(rb"ID3|\xff[\xfb\xf3\xf2]"), ".mp3"),
)
_SIGNED_BYTES = 12


@dataclass(frozen=True, slots=True)
class Download:
    """A complete file. `suffix` follows from its first bytes, never from its URL."""

    sha256: str
    size_bytes: int
    suffix: str


@dataclass(slots=True)
class _Partial:
    """The part of a clip that has come so far, in a file.

    Attributes:
        validator: a strong ETag of what is being sent; empty where it cannot be resumed.
        total_bytes: of all of it, where that was said.
        has_moved: true if the last request brought any bytes.
    """

    file: BinaryIO
    size_bytes: int = 0
    validator: str = ""
    total_bytes: int | None = None
    suffix: str = ""
    head: bytes = b""
    has_moved: bool = False
    hash: Any = field(default_factory=hashlib.sha256)

    def restart(self) -> None:
        """Forget what has come."""
        self.file.seek(0)
        self.file.truncate()
        self.size_bytes, self.validator, self.total_bytes, self.suffix, self.head = 0, "", None, "", b""
        self.hash = hashlib.sha256()

    def add(self, chunk: bytes) -> None:
        self.file.write(chunk)
        self.hash.update(chunk)
        self.size_bytes += len(chunk)
        self.has_moved = True


class ClipDownloader:
    """Fetches clips. Use as `async with`, all of it in one event loop.

    Args:
        origin: scheme, host and port that may be fetched from though they are private; empty for none.
        network: proxies and authorities.
        resolver: in place of the system's.
        deadline_s: for one clip as a whole.
        stalls_after_s: for the next bytes of it.
        max_bytes: of one clip.
        at_once: connections.
    """

    def __init__(  # noqa: PLR0913 - bounds of one clip, each with a name
        self,
        origin: str = "",
        *,
        network: Network = DIRECT,
        resolver: Resolver | None = None,
        deadline_s: float = CLIP_DEADLINE_S,
        stalls_after_s: float = STALLS_AFTER_S,
        max_bytes: int = MAX_CLIP_BYTES,
        at_once: int = DOWNLOADS_AT_ONCE,
    ) -> None:
        self._origin, self._deadline_s, self._max_bytes = origin, deadline_s, max_bytes
        self._web = WebReader(
            origin,
            network=network,
            resolver=resolver,
            headers=identity_headers("animatic"),
            stalls_after_s=stalls_after_s,
            most_connections=at_once,
        )

    async def __aenter__(self) -> Self:
        await self._web.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._web.__aexit__()

    async def download(self, url: str, file: BinaryIO, name: str) -> Download:
        """Write what is behind the URL into an open, empty file. `name` is what errors call it.

        Raises:
            ClipUnavailableError: it did not come, or not all of it; `is_gone` says that the URL has died.
            ClipRefusedError: the URL is not fetched, or what is behind it is no clip.
            OSError: the file cannot be written.
        """
        why = refusal_of(url, self._origin)
        if why is not None:
            raise ClipRefusedError(f"clip {name}: its URL is not fetched: {why}")
        partial = _Partial(file)
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._resumed(url, partial, name)
        except NotPublicError as error:
            raise ClipRefusedError(f"clip {name}: not downloaded: {error}") from None
        except WebError as error:
            raise ClipUnavailableError(f"clip {name}: not downloaded: {error}") from None
        except _Unwritten as error:
            raise error.problem from None
        except TimeoutError:
            came = f"{partial.size_bytes:,} bytes had come"
            raise ClipUnavailableError(
                f"clip {name}: not downloaded: nothing more came for too long, or all of it took more than "
                f"{self._deadline_s:,.0f} s ({came})"
            ) from None
        except FAILURES as error:
            raise ClipUnavailableError(f"clip {name}: not downloaded ({type(error).__name__})") from None

    async def _resumed(self, url: str, partial: _Partial, name: str) -> Download:
        for _ in range(MOST_RESUMES):
            partial.has_moved = False
            try:
                return await self._stream(url, partial, name)
            except (NotPublicError, _Unwritten):
                raise
            except FAILURES:
                if not (partial.has_moved and partial.validator):
                    raise
        return await self._stream(url, partial, name)

    async def _stream(self, url: str, partial: _Partial, name: str) -> Download:
        """Stream the body, or what is missing of it, into the file."""
        wanted = {}
        if partial.size_bytes:
            wanted = {"Range": f"bytes={partial.size_bytes}-", "If-Range": partial.validator}
        async with self._web.open(url, wanted) as page:
            self._begin(page, partial, name)
            async for chunk in page.chunks:
                self._require_a_clip(chunk, partial, name)
                try:
                    partial.add(chunk)
                except OSError as error:
                    raise _Unwritten(error) from None
        if not partial.size_bytes:
            raise ClipUnavailableError(f"clip {name}: nothing came")
        if partial.total_bytes is not None and partial.size_bytes != partial.total_bytes:
            raise ClipUnavailableError(
                f"clip {name}: {partial.size_bytes:,} bytes came of {partial.total_bytes:,} that were announced"
            )
        return Download(partial.hash.hexdigest(), partial.size_bytes, partial.suffix)

    def _begin(self, page: Page, partial: _Partial, name: str) -> None:
        """Judge the head of an answer before a byte of its body is kept."""
        if 300 <= page.status < 400:
            raise ClipRefusedError(f"clip {name}: HTTP {page.status}, a redirect, which is not followed")
        if page.status not in {200, 206}:
            raise ClipUnavailableError(f"clip {name}: HTTP {page.status} instead of a clip", page.status in _GONE)
        if page.encoding != "identity":
            raise ClipRefusedError(f"clip {name}: it came compressed, which was not asked for")
        if page.status == 206 and _continues(page, partial):
            return
        was_asked_for_the_rest = bool(partial.size_bytes)
        partial.restart()
        if page.status == 206:
            rest = "another part of it" if was_asked_for_the_rest else "a part of it, which was not asked for,"
            raise ClipUnavailableError(f"clip {name}: {rest} came")
        length = page.headers.get("Content-Length", "")
        partial.total_bytes = int(length) if length.isascii() and length.isdigit() else None
        if partial.total_bytes is not None and partial.total_bytes > self._max_bytes:
            raise ClipRefusedError(f"clip {name}: {_larger(self._max_bytes)}")
        etag = page.headers.get("ETag", "")
        if etag.startswith('"') and page.headers.get("Accept-Ranges", "").lower() == "bytes":
            partial.validator = etag

    def _require_a_clip(self, chunk: bytes, partial: _Partial, name: str) -> None:
        if partial.size_bytes + len(chunk) > self._max_bytes:
            raise ClipRefusedError(f"clip {name}: {_larger(self._max_bytes)}")
        if partial.suffix:
            return
        partial.head = (partial.head + chunk)[:_SIGNED_BYTES]
        if len(partial.head) == _SIGNED_BYTES or partial.size_bytes + len(chunk) == partial.total_bytes:
            partial.suffix = suffix_of(partial.head)
            if not partial.suffix:
                raise ClipRefusedError(f"clip {name}: what came is no video, picture or sound")


def suffix_of(head: bytes) -> str:
    """Return the suffix of a media file by its first bytes; empty for what is none."""
    return next((suffix for signature, suffix in _SIGNATURES if signature.match(head)), "")


def _continues(page: Page, partial: _Partial) -> bool:
    """Tell if an answer is just the rest that was asked for."""
    found = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", page.headers.get("Content-Range", ""))
    if found is None or not partial.size_bytes:
        return False
    start, end, total = map(int, found.groups())
    if page.headers.get("ETag", partial.validator) != partial.validator:
        return False
    return start == partial.size_bytes and end == total - 1 and total == partial.total_bytes


def _larger(max_bytes: int) -> str:
    return f"larger than {max_bytes:,} bytes"


class _Unwritten(Exception):  # noqa: N818 - carries an error of our own disk past those of the line
    def __init__(self, problem: OSError) -> None:
        super().__init__(problem)
        self.problem = problem
