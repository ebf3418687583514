"""Rules for an `image` cell: an https URL, or a path that stays inside the manifest's own folder or that of `--stills`.

Cells are hostile. Nothing but what these rules return may be opened, fetched or sent.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

from animatic.errors.text import did_you_mean, quoted
from animatic.manifest.faults import Problem
from animatic.manifest.still_folder import NAMED_BY, StillFolder
from animatic.takes.canonical import is_loopback
from animatic.takes.stills import MAX_MEDIA_BYTES, MAX_STILL_BYTES, MAX_STILL_PIXELS, MEDIA_FORMS

STILL_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MAX_URL_CHARS = 2_083
MAX_PATH_CHARS = 1_024
STILL_ALLOWED = (
    f"a JPEG, PNG or WebP file in the manifest's folder or that of {NAMED_BY}, up to {MAX_STILL_BYTES >> 20} MiB"
    f" and {MAX_STILL_PIXELS // 1_000_000} megapixels"
)
_PATH = f"a path inside the manifest's folder or that of {NAMED_BY} that ends in {', '.join(STILL_SUFFIXES)}"
ALLOWED = f"an https URL, or {_PATH}"
SEEN_ALLOWED = (
    f"a link that anyone can fetch to a JPEG, PNG or WebP image, up to {MAX_STILL_BYTES >> 20} MiB"
    f" and {MAX_STILL_PIXELS // 1_000_000} megapixels"
)

_PLAIN_URL = re.compile(
    r"https://[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*/[A-Za-z0-9._~/%?=&+,;:@!$'()*-]*"
)
"""Most URLs, and none that the rules below would refuse; they take ten times as long."""

_OWN_HOST = re.compile(r"https?://(?:[0-9]|\[|localhost)", re.IGNORECASE)
"""Hosts that may be an address."""

_MAY_BE_PAGE = re.compile(
    r"google|dropbox|1drv|onedrive|sharepoint|icloud|goo\.gl|github\.com|imgur|&amp;|[,;|]https?:", re.IGNORECASE
)
_ATTACHED = re.compile(r"((?:(?!://).){1,255}) \((https://[^\s()]+)\)")
"""An attachment as Airtable exports it; its own name may hold brackets."""

_SHARE_PAGES = (
    (
        re.compile(r"https://(?:drive|docs)\.google\.com/(?:file/d/|open\?|drive/)", re.IGNORECASE),
        "a page of Google Drive",
        "download the picture and give its path, or use a host that serves the file itself",
    ),
    (
        re.compile(r"https://(?:www\.)?dropbox\.com/(?!.*[?&](?:dl|raw)=1)", re.IGNORECASE),
        "a page of Dropbox",
        "end the link in dl=1 instead of dl=0",
    ),
    (
        re.compile(r"https://(?:1drv\.ms|onedrive\.live\.com|[\w-]+\.sharepoint\.com)/", re.IGNORECASE),
        "a page of OneDrive",
        "download the picture and give its path",
    ),
    (
        re.compile(r"https://(?:www\.)?(?:icloud\.com|photos\.app\.goo\.gl|photos\.google\.com)/", re.IGNORECASE),
        "a page of shared photos",
        "download the picture and give its path",
    ),
    (
        re.compile(r"https://(?:www\.)?github\.com/[^/]+/[^/]+/blob/", re.IGNORECASE),
        "a page of GitHub",
        "use the link of its button Raw",
    ),
    (
        re.compile(r"https://(?:www\.)?imgur\.com/(?!.*\.(?:png|jpe?g|webp)$)", re.IGNORECASE),
        "a page of Imgur",
        "use the link of the picture itself, https://i.imgur.com/….png",
    ),
)

_CONTROLS = {"\0": "NUL character", "\t": "tab", "\n": "line break", "\r": "line break"}
_TWO_URLS = re.compile(r"[,;|]https?://", re.IGNORECASE)
_ONE_URL = "one URL in each cell: give each its own row, or split the cell"
_HAS_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_HOST = re.compile(r"[^\W_](?:[\w-]*\w)?(?:\.\w(?:[\w-]*\w)?)*\.?")
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})


def image(text: str, *, is_fetched_here: bool = True, folder: StillFolder = StillFolder()) -> str | Problem:  # noqa: B008 - frozen
    """Return the URL unchanged, or the path below the folder of stills, without `.` segments.

    Of `name.png (https://…)`, as Airtable exports attachments, it is the URL. A provider elsewhere cannot fetch what is
    on this machine or in a private network.
    """
    found = _image(text, folder)
    if not is_fetched_here and isinstance(found, str) and _OWN_HOST.match(found) and _is_private(found):
        what = f"{quoted(found)}, which only this machine or its network can reach"
        return Problem("private address", what, "a URL on the public Internet, or a path, which is uploaded")
    return found


def _is_private(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    address = _address(host)
    return host == "localhost" or (address is not None and not address.is_global)


def _image(text: str, folder: StillFolder) -> str | Problem:
    text = text.strip()
    attached = _ATTACHED.fullmatch(text)
    if attached is not None:
        text = attached[2]
    if len(text) <= MAX_URL_CHARS and _PLAIN_URL.fullmatch(text) and not _MAY_BE_PAGE.search(text):
        return text
    written, text = text, folder.path_of(text)
    page = _share_page(text)
    if page is not None:
        return page
    accepted = (text if is_acceptable_url(text) else None) if "://" in text else relative_path(text)
    if accepted is not None:
        return accepted
    if len(text) > (limit := MAX_URL_CHARS if "://" in text else MAX_PATH_CHARS):
        return Problem("long image", f"{len(text):,} characters", f"up to {limit:,}")
    return Problem("bad image", quoted(written), ALLOWED, _hint(text) or folder.hint_for(text))


def _share_page(text: str) -> Problem | None:
    """Return the fault of a link to a page that shows a picture, and is none itself; or of several links."""
    if "://" not in text:
        return None
    if "&amp;" in text:
        return Problem(
            "bad image", f"{quoted(text)}, which holds &amp;", ALLOWED, did_you_mean(text.replace("&amp;", "&"))
        )
    if _TWO_URLS.search(text):
        return Problem("bad image", f"{quoted(text)}, several URLs", ALLOWED, _ONE_URL)
    for pattern, what, advice in _SHARE_PAGES:
        if pattern.match(text):
            allowed = "a link to the picture itself"
            return Problem("share page", f"{quoted(text)}, {what}", allowed, advice)
    return None


def is_acceptable_url(text: str) -> bool:
    """Tell if `text` is an https URL (http for loopback only) with a host, and no user, space or hidden character."""
    if len(text) > MAX_URL_CHARS or "\\" in text or " " in text or _hides_something(text):
        return False
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port  # the port is read because a bad one raises
    except ValueError:
        return False
    if not host or "@" in url.netloc or not text[len(url.scheme) :].startswith("://"):
        return False
    if url.scheme == "http":
        return _address(host) == ipaddress.IPv6Address("::1") if "[" in url.netloc else is_loopback(host)
    return url.scheme == "https" and _is_host(url, host)


def media_allowed(kind: str) -> str:
    """Return what a cell of audio or video may hold, in words."""
    suffixes = ", ".join(suffix for suffix, form in MEDIA_FORMS.items() if form.kind == kind)
    return (
        f"an https URL of {kind}, or a path inside the manifest's folder or that of {NAMED_BY} that ends in {suffixes}"
        f", up to {MAX_MEDIA_BYTES >> 20} MiB"
    )


def media_path(text: str, kind: str | None = None) -> str | None:
    """`text` without `.` segments if it is the path of an audio or video file below some folder, or None.

    Without a kind, either will do.
    """
    return relative_path(text, [suffix for suffix, form in MEDIA_FORMS.items() if kind in {None, form.kind}])


def relative_path(text: str, suffixes: Collection[str] = STILL_SUFFIXES) -> str | None:
    """`text` without `.` segments if it is the path of a still below some folder, or None."""
    if len(text) > MAX_PATH_CHARS or text.startswith(("/", "~")) or "\\" in text or ":" in text:
        return None
    if _hides_something(text):
        return None
    segments = text.split("/")
    if ".." in segments or "" in segments:
        return None
    kept = [segment for segment in segments if segment != "."]
    return "/".join(kept) if segments[-1] != "." and _is_name(kept[-1], suffixes) else None


def _is_name(name: str, suffixes: Collection[str]) -> bool:
    stem, _, suffix = name.rpartition(".")
    return bool(stem.strip(" .")) and f".{suffix.lower()}" in suffixes


def _hides_something(text: str) -> bool:
    """Tell if any character but the plain space is white, invisible, unassigned, or steers the direction of text."""
    if text.isascii():
        return not text.isprintable()
    return any(char != " " and unicodedata.category(char) in _HIDDEN_CATEGORIES for char in text)


def _is_host(url: SplitResult, host: str) -> bool:
    if "[" in url.netloc:
        return _address(host) is not None
    return _HOST.fullmatch(host) is not None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _hint(text: str) -> str | None:
    """Return a question, where a small change would do; for a character that cannot be seen, which it is and where."""
    is_url = "://" in text
    at = next((at for at, char in enumerate(text) if _is_unseen(char) and (is_url or char != " ")), None)
    if at is not None and text.count("://") > 1:
        return _ONE_URL
    if at is not None:
        better = "".join(_seen(char, is_url=is_url) for char in text)
        is_right = is_acceptable_url(better) if is_url else relative_path(better) is not None
        hint = f"it holds {_name_of(text[at])} at character {at + 1}"
        return f"{hint}; {did_you_mean(better)}" if is_right else hint
    if text.lower().startswith("http://"):
        better = "https://" + text[len("http://") :]
        return did_you_mean(better) if is_acceptable_url(better) else None
    if not _HAS_SCHEME.match(text) and "\\" in text:
        better = relative_path(text.replace("\\", "/"))
        return None if better is None else did_you_mean(better)
    if text.lower().startswith(("www.", "//")):
        better = "https://" + text.lstrip("/")
        return did_you_mean(better) if is_acceptable_url(better) else None
    return None


def _is_unseen(char: str) -> bool:
    return char == " " or not char.isprintable()


def _seen(char: str, *, is_url: bool) -> str:
    """Return what may stand for a character: a blank for one of the many blanks, nothing for what hides."""
    if not _is_unseen(char):
        return char
    if is_url:
        return "%20" if char == " " else ""
    return " " if unicodedata.category(char) == "Zs" else ""


def _name_of(char: str) -> str:
    """Return a name for a character that cannot be seen: `a no-break space (U+00A0)`."""
    if char == " ":
        return "a blank"
    name = _CONTROLS.get(char) or unicodedata.name(char, "hidden character").lower()
    article = "an" if name[0] in "aeiou" else "a"
    return f"{article} {name} (U+{ord(char):04X})"
