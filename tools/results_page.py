"""`python tools/results_page.py`: write the table of columns into docs/results.md. `make fmt` runs it."""

from pathlib import Path

from animatic.results.columns import as_markdown

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
BEGIN, END = "<!-- columns -->", "<!-- end of columns -->"


def page_with(text: str, table: str) -> str:
    """Return the page with this table between its marks."""
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page_with(PAGE.read_text(), as_markdown()))
