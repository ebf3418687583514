"""Places of review pages: where one may be written, and where people find it."""

from animatic import storage
from animatic.errors import LocationError, SettingsError
from animatic.errors.text import quoted
from animatic.review.found import note_on_other_page, require_free
from animatic.review.media import FOLDER
from animatic.review.page import BOARD, INDEX, LIVE, SCRIPT, STYLE, now, place_in, require_ours
from animatic.storage.folder import Folder

OURS = frozenset({BOARD, FOLDER, INDEX, LIVE, SCRIPT, STYLE})
"""Names in the folder of a page, also of one that was left half written."""


def page_of(out: str) -> str:
    """Return where the page in a folder is: its path on this machine's disk, else its URI."""
    folder = Folder(out)
    return str(folder.path / INDEX) if folder.is_local else place_in(folder.uri, INDEX)


def require_page_place(out: str) -> None:
    """Refuse a folder that holds something other than a review page.

    Raises:
        SettingsError: it is no folder.
        LocationError: it holds another page, or cannot be looked into.
    """
    is_local = bool(out.strip()) and storage.real_path(out) is not None
    found = storage.kind_of(out) if is_local else None if out.strip() else "an empty text"
    if found not in {None, "a folder"}:
        raise SettingsError(f"{quoted(out)}: found {found}; allowed: the folder of a review page, or a new one")
    storage.require_lasting(out)
    require_ours(out)
    path = storage.real_path(out) if is_local else None
    if path is not None and found is not None and not (path / INDEX).exists():
        others = sorted(name for name in Folder(out).sizes() if not name.startswith(".") and name not in OURS)
        if others:
            raise LocationError(
                f"{quoted(out)}: found a folder with {quoted(others[0])} in it and no review page; allowed: the folder "
                "of a review page, or a new one"
            )


def note_on_page_of(out: str, results: tuple[str, ...]) -> str | None:
    """Return a line where the page in a folder is one of other tables so far; None where there is nothing to say.

    Raises:
        LocationError: a run of other tables keeps that page fresh now.
    """
    require_free(out, results, now())
    return note_on_other_page(out, results)
