"""Results tables of several runs as one: later rows win, and no shot loses its row."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa

from animatic.results.columns import RESULTS_SCHEMA
from animatic.results.merged import merge

F, G = "f" * 64, "9" * 64


def table(*rows: Mapping[str, Any], metadata: Mapping[str, str] | None = None, **more: pa.Array) -> pa.Table:
    columns = {
        field.name: pa.array([{"storyboard": "film", "take": 1, **row}.get(field.name) for row in rows], field.type)
        for field in RESULTS_SCHEMA
    }
    return pa.table(columns | more).replace_schema_metadata(dict(metadata or {}))


def shown(found: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in found.to_pylist()]


def test_a_later_row_takes_the_place_of_an_earlier_one() -> None:
    first = table(
        {"shot_id": "a", "fingerprint": F, "status": "pending"},
        {"shot_id": "b", "fingerprint": G, "status": "completed"},
    )
    later = table(
        {"shot_id": "a", "fingerprint": "1" * 64, "status": "pending", "take": 2},
        {"shot_id": "a", "fingerprint": F, "status": "completed"},
    )
    assert shown(merge([first, later]), "shot_id", "take", "status") == [
        ("a", 1, "completed"),
        ("b", 1, "completed"),
        ("a", 2, "pending"),
    ]
    assert shown(merge([later, first]), "shot_id", "take", "status")[1] == ("a", 1, "pending")


def test_shots_that_share_a_take_keep_a_row_each() -> None:
    first = table({"shot_id": "a", "fingerprint": F}, {"shot_id": "b", "fingerprint": F})
    other_board = {"shot_id": "b", "fingerprint": F, "storyboard": "trailer"}
    later = table({"shot_id": "b", "fingerprint": F, "status": "completed"}, other_board)
    assert shown(merge([first, later]), "storyboard", "shot_id", "status") == [
        ("film", "a", None),
        ("film", "b", "completed"),
        ("trailer", "b", None),
    ]


def test_what_a_shared_take_cost_stands_in_its_first_row_alone() -> None:
    first = table({"shot_id": "a", "fingerprint": F, "quoted_usd": Decimal(2)}, {"shot_id": "b", "fingerprint": F})
    later = table({"shot_id": "b", "fingerprint": F, "quoted_usd": Decimal(4)})
    assert shown(merge([first, later]), "shot_id", "quoted_usd") == [("a", Decimal(4)), ("b", None)]


def test_a_row_that_was_mended_is_left_out() -> None:
    first = table({"shot_id": "a", "status": "invalid"}, {"shot_id": "b", "status": "invalid"}, {"status": "invalid"})
    later = table({"shot_id": "a", "fingerprint": F, "status": "completed"})
    assert shown(merge([first, later]), "shot_id", "status") == [
        ("b", "invalid"),
        (None, "invalid"),
        ("a", "completed"),
    ]
    assert merge([later, first]).num_rows == 4


def test_carried_columns_of_all_tables_are_there() -> None:
    first = table({"shot_id": "a", "fingerprint": F}, scene=pa.array([1]), lens=pa.array(["35"]))
    later = table({"shot_id": "b", "fingerprint": G}, scene=pa.array(["2b"]), year=pa.array([7], pa.int8()))
    found = merge([first, later])
    assert found.column_names[-3:] == ["scene", "lens", "year"]
    assert shown(found, "scene", "lens", "year") == [("1", "35", None), ("2b", None, 7)]


def test_metadata_is_that_which_all_tables_share() -> None:
    first = table(metadata={"animatic.schema_version": "6", "animatic.run_id": "1"})
    later = table(metadata={"animatic.schema_version": "6", "animatic.run_id": "2"})
    assert merge([first, later]).schema.metadata == {b"animatic.schema_version": b"6"}
