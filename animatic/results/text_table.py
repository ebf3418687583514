"""A table in plain text that is no wider than a screen, as far as that goes. Pure."""

from collections.abc import Mapping, Sequence

GAP = "  "


def text_table(
    names: Sequence[str], rows: Sequence[Mapping[str, str]], columns: int | None, least: Sequence[str] = ()
) -> str:
    """Return a table of these columns, the first aligned to the left, all others to the right.

    Args:
        names: of the columns, as they are shown.
        rows: texts by name.
        columns: of the screen; None where there is none.
        least: names of the columns that a narrow screen does without, the first of them first.
    """
    kept = list(names)
    spare = [name for name in least if name in kept]
    while True:
        cells = [kept, *([row.get(name, "") for name in kept] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        if columns is None or not spare or sum(widths) + len(GAP) * (len(widths) - 1) <= columns:
            break
        kept.remove(spare.pop(0))
    return "\n".join(_line(line, widths) for line in cells)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    shown = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return GAP.join(shown).rstrip()
