"""A page that is in a folder already: whose it is, and whether a run keeps it fresh now."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from animatic.errors import LocationError
from animatic.review.found import kept_until, note_on_other_page, require_free, tables_shown
from animatic.review.page import index_html, live_js

AT = datetime(2026, 11, 27, 8, tzinfo=UTC)
DAWN, DUSK = ("file:///shots/dawn.parquet",), ("file:///shots/dusk.parquet",)
SPOILT = 'a "quoted" </script> & \\ "results":["file:///none.csv"] '


def page_in(folder: Path, results: tuple[str, ...] = DAWN, **state: Any) -> str:
    """Put the page of these tables into a folder, and the state of the run that keeps it."""
    data = {"form": 1, "title": SPOILT, "key": "k", "results": list(results), "storyboards": []}
    (folder / "index.html").write_bytes(index_html(data))
    if state:
        (folder / "live.js").write_bytes(live_js({"at": AT.isoformat(), "message": "f(x)", **state}))
    return str(folder)


@pytest.mark.parametrize("results", [DAWN, (*DAWN, f"file:///{SPOILT}.csv"), (f"file:///{SPOILT}\u2028ß.csv",)])
def test_a_page_says_which_tables_it_shows(tmp_path: Path, results: tuple[str, ...]) -> None:
    assert tables_shown(str(tmp_path)) == ()
    assert tables_shown(page_in(tmp_path, results)) == results


def test_a_note_names_a_page_only_if_it_showed_other_tables(tmp_path: Path) -> None:
    assert note_on_other_page(str(tmp_path), DUSK) is None
    folder = page_in(tmp_path)
    assert note_on_other_page(folder, (*DAWN, *DUSK)) is None
    note = note_on_other_page(folder, DUSK) or ""
    assert "was the page of file:///shots/dawn.parquet, and is that of file:///shots/dusk.parquet" in note
    require_free(folder, DUSK, AT)


def test_a_page_that_another_run_keeps_fresh_is_refused(tmp_path: Path) -> None:
    folder = page_in(tmp_path, ended=False, every_s=2.0)
    require_free(folder, DAWN, AT)
    with pytest.raises(LocationError, match=r"dawn\.parquet, which a run keeps fresh now; allowed: a folder"):
        require_free(folder, DUSK, AT + timedelta(seconds=9))
    require_free(folder, DUSK, AT + timedelta(seconds=11))


@pytest.mark.parametrize(
    "state",
    [
        {"ended": True},
        {"ended": False, "served": True},
        {"ended": False, "at": "soon"},
        {"ended": False, "at": 5},
        {"ended": False, "every_s": [1]},
        {"ended": False, "every_s": 1e300},
    ],
)
def test_no_run_keeps_a_page_that_has_ended_or_cannot_be_understood(tmp_path: Path, state: dict[str, Any]) -> None:
    folder = page_in(tmp_path, **state)
    assert kept_until(folder) is None
    for text in ("", "animatic.live(", "animatic.live([])", f"animatic.live({'[' * 99_999})"):
        (tmp_path / "live.js").write_text(text)
        assert kept_until(folder) is None
