"""The notebook is stored as it ran: every cell once, in order, with its outputs, and small."""

import ast

from notebooks import NOTEBOOK, code_cells, source_of

MOST_BYTES = 200_000


def test_every_cell_ran_once_and_in_order() -> None:
    assert [cell["execution_count"] for cell in code_cells()] == list(range(1, len(code_cells()) + 1))


def test_every_cell_that_ends_in_a_value_stores_it() -> None:
    for cell in code_cells():
        has_value = isinstance(ast.parse(source_of(cell)).body[-1], ast.Expr)
        assert bool(cell["outputs"]) == has_value, source_of(cell)


def test_no_output_is_an_error_or_a_warning() -> None:
    kinds = {output["output_type"] for cell in code_cells() for output in cell["outputs"]}
    assert kinds == {"execute_result", "display_data"}


def test_the_notebook_is_small_and_names_no_folder_of_its_maker() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < MOST_BYTES
    assert "/home/" not in text
    assert "/tmp/" not in text
    assert "/work/" not in text
