"""The rules of single cells: from the text that was found to the value that is sent, or what is wrong with it.

Every rule takes a text that is not blank. Blank cells are the business of the caller, who knows the default.
"""

import re

from animatic.errors.text import did_you_mean, one_line, quoted
from animatic.manifest.faults import Problem
from animatic.takes.canonical import canonical_text
from animatic.takes.models import DEFAULT_MODEL, Catalogue
from animatic.takes.schemas import Choice
from animatic.takes.shots import MAX_PROMPT_CHARS, MAX_TAKES

MAX_LABEL_CHARS = 200

_TAKES = re.compile(r"([0-9]{1,4})(?:\.0+|,0{1,2})?")  # 1,000 may be a thousand
_LABEL_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PROMPT_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


FORMULA_ERRORS = frozenset(
    {
        *("#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!", "#ERROR!", "#SPILL!", "#CALC!"),
        *("#FIELD!", "#BLOCKED!", "#CONNECT!", "#BUSY!", "#UNKNOWN!", "LOADING...", "#GETTING_DATA"),
        *("#NV", "#BEZUG!", "#WERT!", "#ZAHL!", "#ÜBERLAUF!"),  # German
        *("#VALEUR!", "#NOM?", "#NOMBRE!"),  # French
        *("#N/D", "#¡REF!", "#¡VALOR!", "#¿NOMBRE?", "#¡DIV/0!", "#¡NUM!"),  # Spanish
        *("#RIF!", "#VALORE!", "#NOME?", "#VALOR!", "#WAARDE!", "#NAAM?", "#VERW!", "#DEEL/0!"),  # Italian to Dutch
    }
)
"""Texts that spreadsheets show where a formula failed, in upper case."""

_NUMBERED_ERROR = re.compile(r"Err:[0-9]{3}")  # LibreOffice

EMPTY_PROMPT = Problem("empty prompt", "nothing", "a text that is not blank")


def formula_error(text: str) -> Problem | None:
    """Return the fault of a cell that holds the error of a spreadsheet's formula; None for any other."""
    plain = text.strip()
    if not plain or plain[0] not in "#LE":
        return None
    if plain.upper() not in FORMULA_ERRORS and not _NUMBERED_ERROR.fullmatch(plain):
        return None
    allowed = "the value itself; mend the formula in the spreadsheet, then export it again"
    return Problem("formula error", f"{quoted(plain)}, the error of a formula", allowed)


def choice(of: Choice, text: str) -> str | Problem:
    """Return the value of an input with a few allowed values; a text that seems to mean one of them gets a hint."""
    text = text.strip()
    value = of.read(text)
    if value in of.allowed:
        return value
    meant = of.guess(text)
    hint = did_you_mean(meant) if meant in of.allowed else None
    return Problem(f"bad {of.name}", quoted(text), ", ".join(of.allowed), hint)


def takes(text: str) -> int | Problem:
    """Return the number of takes: `3`, `3.0` and `3,0` are 3."""
    text = text.strip()
    match = _TAKES.fullmatch(text)
    if match and 1 <= int(match[1]) <= MAX_TAKES:
        return int(match[1])
    return Problem("bad takes", quoted(text), f"a whole number from 1 to {MAX_TAKES}")


def model(catalogue: Catalogue, text: str) -> str | Problem:
    """Return the id of a model that is known."""
    text = text.strip()
    if text in catalogue:
        return text
    if text in catalogue.retired:
        found = f"{quoted(text)}, which WaveSpeed lists no more: it was retired"
        return Problem("retired model", found, "a model that `animatic models` lists")
    problem = next((each for each in catalogue.problems if each.startswith(f"model {text}: ")), None)
    if problem is not None:
        return Problem("unusable model", quoted(text), f"a model whose schema can be read; {one_line(problem, 300)}")
    near = catalogue.near(text)
    allowed = f"one of {len(catalogue):,} models" if len(catalogue) > 1 else DEFAULT_MODEL
    hint = did_you_mean(near[0]) if near else "`animatic models` lists them"
    return Problem("bad model", quoted(text), f"{allowed}, or an empty cell", hint)


def shot_id(text: str) -> str | Problem:
    """Return the name of a shot. The caller checks that it is unique."""
    return _label("shot_id", text)


def storyboard(text: str) -> str | Problem:
    """Return the name of a storyboard."""
    return _label("storyboard", text)


def prompt(text: str) -> str | Problem:
    """Return the prompt, verbatim. One of zero-width characters only is empty: nothing in it would tell takes apart."""
    if not canonical_text(text):
        return EMPTY_PROMPT
    if len(text) > MAX_PROMPT_CHARS:
        return Problem("long prompt", f"{len(text):,} characters", f"up to {MAX_PROMPT_CHARS:,}")
    return hidden_character(text) or text


def hidden_character(text: str) -> Problem | None:
    """Return the fault of a text with a control character in it that no model should see; None for any other."""
    control = None if text.isprintable() else _PROMPT_CONTROL.search(text)
    if control is None:
        return None
    # The text itself stands in the manifest: what a model is asked for is in no log.
    found = f"{hidden_name(control[0])} at character {control.start() + 1} of {len(text):,}"
    return Problem("hidden character", found, "text; of control characters only tabs and line ends")


def hidden_name(char: str) -> str:
    """Return a name for a character that cannot be shown."""
    return "a NUL character" if char == "\0" else f"the hidden character U+{ord(char):04X}"


def _label(column: str, text: str) -> str | Problem:
    text = text.strip()
    if len(text) > MAX_LABEL_CHARS:
        return Problem(f"bad {column}", f"{len(text):,} characters", f"up to {MAX_LABEL_CHARS}")
    control = None if text.isprintable() else _LABEL_CONTROL.search(text)
    if control is None:
        return text
    found = f"{hidden_name(control[0])} at character {control.start() + 1} of {quoted(text)}"
    return Problem("hidden character", found, "text without control characters")
