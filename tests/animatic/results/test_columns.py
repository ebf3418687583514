"""Columns are declared once: the docs, the ledger's view and the schema follow."""

import pytest

from animatic.ledger.schema import NEWEST
from animatic.results.columns import ASKED_OF_LEDGER, COLUMNS


def test_every_column_has_a_name_of_its_own_and_a_meaning() -> None:
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    assert all(column.meaning for column in COLUMNS)


@pytest.mark.parametrize("name", ASKED_OF_LEDGER)
def test_what_is_asked_of_the_ledger_is_a_column_of_its_view(name: str) -> None:
    assert name in NEWEST.c
