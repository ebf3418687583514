"""Text that a spreadsheet would run as a formula, and the mark that keeps it from doing so."""

from typing import Any

import pyarrow.compute

pc: Any = pyarrow.compute  # its functions are made at import, where a type checker cannot see them
_FORMULA_STARTS = r"[=+\-@\t\r\n＝＋－＠]"  # the wide ones count in East Asian editions of Excel
_RISKY = rf"\A('*{_FORMULA_STARTS})"
_NEUTRALISED = rf"\A'('*{_FORMULA_STARTS})"
_RISKY_INSIDE = r"([;\t\r\n])('*[=+\-@＝＋－＠])"
_NEUTRALISED_INSIDE = r"([;\t\r\n])'('*[=+\-@＝＋－＠])"
_NEGATIVE_NUMBER = r"\A-[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?\z"


def neutralise(texts: Any) -> Any:
    """Text (an Arrow array) with one `'` before what a spreadsheet would run as a formula; plain numbers stay."""
    inside = pc.replace_substring_regex(texts, _RISKY_INSIDE, r"\1'\2")
    marked = pc.replace_substring_regex(inside, _RISKY, r"'\1", max_replacements=1)
    return pc.if_else(pc.match_substring_regex(texts, _NEGATIVE_NUMBER), texts, marked)


def restore(texts: Any) -> Any:
    """Undo `neutralise`."""
    begun = pc.replace_substring_regex(texts, _NEUTRALISED, r"\1", max_replacements=1)
    return pc.replace_substring_regex(begun, _NEUTRALISED_INSIDE, r"\1\2")
