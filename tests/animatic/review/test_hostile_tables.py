"""The data of a page, of tables that others wrote: whatever stands in them, a page comes of it."""

from pathlib import Path
from typing import Any

import pytest
from shown import row, table_in

from animatic.results.boards import find_board_files, read_board
from animatic.review.page import index_html
from animatic.review.page_data import Media, page_data
from animatic.review.writing import info_of


@pytest.mark.parametrize(
    "cells",
    [
        {"motion": float("inf"), "clip_fps": float("nan"), "clip_duration_s": float("-inf")},
        {"clips": "[" * 100_000},
        {"clips": '{"sha256": 1}', "inputs": "[" * 100_000},
        {"inputs": '{"seed": NaN, "\\ud800": "\\udfff"}'},
        {"qa": [None, "</script>"], "has_nsfw_contents": [None], "outputs": [None]},
        {"model": None, "prompt": None, "image": None, "storyboard": None, "row": None},
    ],
)
def test_a_page_comes_of_whatever_a_table_holds(tmp_path: Path, cells: dict[str, Any]) -> None:
    files = find_board_files([str(table_in(tmp_path, [row(1, **cells), row(2)]))])
    data = page_data(read_board(files), Media(), info_of(files))
    assert index_html(data).count(b"</script>") == 2
    assert sum(len(each["shots"]) for each in data["storyboards"]) == 2
