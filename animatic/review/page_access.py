"""The rules of a served page: which requests come from the person who was given its address. Pure.

A browser carries out requests of any page that is open in it. So a request must name the page's own host, which the
rebinding of a name does not; must hold the cookie that the token in the address was exchanged for; must not come from
another site; and, where it writes, must come from the page itself.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest

COOKIE_PREFIX = "animatic_review_"
MAX_NAME_CHARS = 200
TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "txt": "text/plain; charset=utf-8",
    "woff2": "font/woff2",
}
"""Types of the files that a page has, by suffix; no other is served."""

FRAME_RULES = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'"
"""Rules that a page's own policy cannot hold, since it stands in the page."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
"""Headers of every reply, beside the policy."""

NOT_KNOWN = "this browser is not known here: `animatic review --serve` prints an address that is good once; open that"

_NAME = re.compile(r"(?:media/)?[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*\.([a-z0-9]+)")
_OWN_SITES = frozenset({"", "same-origin", "none"})
"""Values of Sec-Fetch-Site: none is sent by what is no browser, `none` by what a person typed or opened."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Refusal of a request: the status of the reply, and the reason."""

    status: int
    why: str


@dataclass(frozen=True, slots=True)
class PageAccess:
    """Access to one served page.

    Attributes:
        port: that it is served on.
        secret: value of the cookie.
    """

    port: int
    secret: str

    @property
    def cookie(self) -> str:
        """Name of the cookie; cookies know no ports, and other pages may be served on others."""
        return f"{COOKIE_PREFIX}{self.port}"

    def refusal_of(
        self, method: str, headers: Mapping[str, str], cookies: Mapping[str, str], *, is_entry: bool = False
    ) -> Refusal | None:
        """Return why a request is refused; None for one that is let in.

        Args:
            method: of the request.
            headers: of the request, whose names are looked up without regard to case.
            cookies: of the request.
            is_entry: it brings a token, and may come from anywhere.
        """
        if headers.get("Host", "") not in {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}:
            return Refusal(403, "this page is served as 127.0.0.1 and localhost only")
        if is_entry:
            return None
        if headers.get("Sec-Fetch-Site", "") not in _OWN_SITES and not _is_opened(method, headers):
            return Refusal(403, "the request comes from another site")
        given = cookies.get(self.cookie, "").encode("utf-8", "replace")
        if not compare_digest(given, self.secret.encode()):
            return Refusal(403, NOT_KNOWN)
        return None if method in {"GET", "HEAD"} else _refusal_to_write(headers)


def _refusal_to_write(headers: Mapping[str, str]) -> Refusal | None:
    is_own = headers.get("Origin", "") == f"http://{headers['Host']}"
    if is_own and headers.get("Sec-Fetch-Site", "same-origin") == "same-origin":
        return None
    return Refusal(403, "decisions are taken from the page itself only")


def _is_opened(method: str, headers: Mapping[str, str]) -> bool:
    """Tell if a person follows a link to the page; what then comes is a page of its own, and seen by no other."""
    return (
        method == "GET" and headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
    )


def file_of(path: str) -> tuple[str, str] | None:
    """Return the name of a file of a page, and its type, for the path of a URL; None where it names none."""
    name = path.removeprefix("/") or "index.html"
    found = _NAME.fullmatch(name) if len(name) <= MAX_NAME_CHARS else None
    media_type = TYPES.get(found[1]) if found else None
    return None if media_type is None else (name, media_type)
