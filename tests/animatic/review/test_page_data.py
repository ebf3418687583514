"""The data of a page, where they say more than the table does."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from shown import row, table_in

from animatic.results.boards import find_board_files, read_board
from animatic.results.columns import NOT_ARCHIVED_YET
from animatic.review.page_data import Media, PageInfo, page_data


@pytest.mark.parametrize(
    ("is_live", "told"),
    [(True, ("not archived yet; a run fetches it", None)), (False, (NOT_ARCHIVED_YET, "Fetch the clip again"))],
)
def test_a_clip_is_not_late_while_the_run_works(tmp_path: Path, is_live: bool, told: tuple[str, str | None]) -> None:
    table = table_in(tmp_path, [row(1, status="completed", archive_error=NOT_ARCHIVED_YET)])
    facts = PageInfo("results", "key", datetime(2026, 11, 27, tzinfo=UTC), live=is_live)
    data = page_data(read_board(find_board_files([str(table)])), Media(), facts)
    take = data["storyboards"][0]["shots"][0]["versions"][0]["takes"][0]
    unarchived, advice = told
    assert take["unarchived"] == unarchived
    assert str(take.get("advice")).startswith(str(advice))
