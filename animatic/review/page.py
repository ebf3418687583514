"""The page, written: one folder that works from disk, from a bucket and from a server, without a network.

It holds `index.html` with the data inside, one script, one stylesheet, and `media/`. While a run works, `board.js` and
`live.js` lie beside it, which the page loads again and again: a page on disk may load scripts, and nothing else.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from animatic import storage
from animatic.errors import LocationError
from animatic.errors.text import quoted
from animatic.review.page_data import as_script_json

INDEX, SCRIPT, STYLE, BOARD, LIVE = "index.html", "page.js", "page.css", "board.js", "live.js"
_MARK = '<meta name="generator" content="animatic review">'
_HEAD_BYTES = 4_096
_STYLES_OF_CHARTS = re.compile(r"^// styles of charts: ('sha256-[A-Za-z0-9+/=]+')$", re.MULTILINE)


def static_file(name: str) -> bytes:
    """Return a file of the page that no board changes."""
    return (resources.files("animatic.review") / "static" / name).read_bytes()


def content_policy(*, is_served: bool = False) -> str:
    """Return the page's content security policy: nothing from anywhere but its own folder.

    A served page is sent the policy as a header too, which alone can forbid that others put it into a frame.
    """
    charts = _STYLES_OF_CHARTS.search(static_file(SCRIPT).decode())
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'" if charts is None else f"'self' {charts[1]}",
        "img-src": "'self'",
        "media-src": "'self'",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    if is_served:
        policy["frame-ancestors"] = "'none'"
    return "; ".join(f"{name} {value}" for name, value in policy.items())


def index_html(data: Mapping[str, Any]) -> bytes:
    """Return the page with its data inside."""
    template = static_file(INDEX).decode()
    page = template.replace("{{policy}}", content_policy()).replace("{{mark}}", _MARK)
    return page.replace("{{data}}", as_script_json(data)).encode()


def board_js(data: Mapping[str, Any], revision: int) -> bytes:
    """Return the newer data of a page that is open, as a script."""
    return f"animatic.board({as_script_json(data)},{revision});\n".encode()


def live_js(state: Mapping[str, Any]) -> bytes:
    """Return the state of a run that works, as a script.

    The page knows `revision` (of `board.js`), `at` (ISO 8601, of this state), `ended`, `message`, the counts
    `completed`, `failed`, `making`, `queued` and `waiting`, the amounts `spent_usd` and `limit_usd`, and `eta_s`.
    """
    return f"animatic.live({as_script_json(state)});\n".encode()


def write_static(out: str) -> None:
    """Write what no board changes into the page's folder.

    Raises:
        LocationError: it cannot be written.
    """
    for name in (SCRIPT, STYLE):
        storage.replace_bytes(place_in(out, name), static_file(name))


def place_in(out: str, name: str) -> str:
    """Return the place of a file in the page's folder."""
    return storage.beside(storage.anchor_in(out), name)


def require_ours(out: str) -> None:
    """Refuse a folder that holds another `index.html` than ours.

    Raises:
        LocationError: it does, or cannot be looked into.
    """
    with storage.open_existing(place_in(out, INDEX), max_bytes=1 << 30) as file:
        if file is not None and _MARK.encode() not in file.read(_HEAD_BYTES):
            raise LocationError(
                f"{quoted(out)}: found an index.html that is no review page of animatic; allowed: a new folder, or one "
                "that `animatic review` has written"
            )


def key_of(results: tuple[str, ...]) -> str:
    """Return what tells the decisions of one board from those of others, in a browser that sees several."""
    return base64.b32encode(hashlib.sha256("\n".join(results[:1]).encode()).digest())[:16].decode().lower()


def now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)
