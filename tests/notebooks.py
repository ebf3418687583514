"""The analyst's notebook as a script that shows what each of its cells shows."""

import ast
import json
from typing import Any

from pages import DOCS

NOTEBOOK = DOCS / "analysis.ipynb"
SHOWN = "-- shown by cell {number}"


def code_cells() -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def source_of(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def stored_text(cell: dict[str, Any]) -> str:
    """Return the value of a cell that the notebook stores, as text; empty where it has none."""
    values = [output["data"]["text/plain"] for output in cell["outputs"] if output["output_type"] == "execute_result"]
    return "".join(values[0]) if values else ""


def as_script() -> str:
    """Return all cells as one script, which prints the value of each below a line that names the cell."""
    parts: list[str] = []
    for number, cell in enumerate(code_cells()):
        tree = ast.parse(source_of(cell))
        last = tree.body[-1]
        if isinstance(last, ast.Expr):
            tree.body[-1] = ast.parse(f"_ = {ast.unparse(last.value)}").body[0]
            shows = f"if _ is not None:\n    print({SHOWN.format(number=number)!r})\n    print(repr(_))"
        else:
            shows = ""
        parts.append(f"{ast.unparse(tree)}\n{shows}")
    return "\n".join(parts)


def shown_by_cells(printed: str) -> dict[int, str]:
    """Return what the script printed, by cell."""
    head, *others = printed.replace("\r\n", "\n").split(SHOWN.partition("{")[0])
    assert not head.strip(), head
    found = (other.partition("\n") for other in others)
    return {int(number): text.strip("\n") for number, _, text in found}
