"""Links to Google Sheets, as people copy them, and the link of each that gives its cells as CSV. Pure.

Source: Google's page "Publish & export" of the Sheets help, and the links that its menus make; not tried live.
"""

import re
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

HOST = "docs.google.com"
SIGN_IN = "accounts.google.com"
SHARE = (
    "share it so that anyone with the link can view it (Share, General access), or publish it as CSV "
    "(File, Share, Publish to web) and give that link"
)
_PATH = re.compile(
    r"/(?:a/[\w.-]+/)?spreadsheets/(?:u/\d+/)?d/(?P<id>e/[\w-]+|[\w-]+)(?:/(?P<page>\w*))?/?",
    re.ASCII,
)
_PAGES = frozenset({"edit", "view", "preview", "copy", "htmlview", "pubhtml", ""})
_FILES = {"export": "format", "pub": "output"}
_FORMS = frozenset({"csv", "tsv", "xlsx"})


class Sheet(NamedTuple):
    """A sheet of a Google spreadsheet.

    Attributes:
        url: where its cells are as CSV, or in the form that the link asks for.
        uri: what it is known by, whichever link was given.
        name: a short name of it, as long as its own is not known.
    """

    url: str
    uri: str
    name: str


def find_sheet(uri: str) -> Sheet | None:
    """Return the sheet that a link leads to; None where it is another link, or one that is best left as it is."""
    parts = urlsplit(uri)
    found = _PATH.fullmatch(parts.path) if parts.scheme == "https" and parts.netloc == HOST else None
    if found is None:
        return None
    page, asked = found["page"] or "", {**parse_qs(parts.query), **parse_qs(parts.fragment)}
    gid = next((each for each in asked.get("gid", ()) if each.isdecimal() and each.isascii()), None)
    form = next((each for each in asked.get(_FILES.get(page, ""), ())), "csv")
    if page not in _PAGES | {*_FILES} or form not in _FORMS:
        return None
    place = f"https://{HOST}/spreadsheets/d/{found['id']}"
    is_published = found["id"].startswith("e/") or page in {"pub", "pubhtml"}
    query = {"output" if is_published else "format": form}
    if gid is not None:
        query |= {"gid": gid} | ({"single": "true"} if is_published else {})
    query |= {name: asked[name][0] for name in ("resourcekey",) if name in asked}
    short = found["id"].removeprefix("e/")[:8]
    return Sheet(
        f"{place}/{'pub' if is_published else 'export'}?{urlencode(query)}",
        place if gid is None else f"{place}#gid={gid}",
        f"google-sheet-{short}" + ("" if gid is None else f"-{gid}"),
    )
