"""No docstring of ours begins with a question word: one opens with a verb, or with a noun for a value."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("animatic", "flows", "tasks", "tests", "tools", "benchmarks")
QUESTION = re.compile(
    r"\W*(?:what(?:ever|soever)?|who(?:m|se|ever|mever)?|how(?:ever)?|whether|which(?:ever)?|where(?:ver)?|"
    r"when(?:ever)?|why)\b",
    re.IGNORECASE,
)
QUOTED = re.compile(rf"[\"']{QUESTION.pattern}", re.IGNORECASE)


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield the texts that stand alone in a body, with their lines: docstrings, also those of names above them."""
    bodies: list[list[ast.stmt]] = [ast.parse(source).body]
    while bodies:
        for each in bodies.pop():
            match each:
                case ast.Expr(value=ast.Constant(value=str() as text)):
                    yield each.lineno, text
                case _:
                    pass
            bodies += [inner for name in ("body", "orelse", "finalbody") if (inner := getattr(each, name, None))]
            parts = [*getattr(each, "handlers", []), *getattr(each, "cases", [])]
            bodies += [part.body for part in parts]


def questions_in(source: str) -> list[int]:
    """Return the lines of the docstrings that begin with a question word."""
    if QUOTED.search(source) is None:  # parsing all modules would take seconds
        return []
    return [line for line, text in docstrings(source) if QUESTION.match(text)]


def test_no_docstring_begins_with_a_question_word() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "node_modules" not in path.parts
        for line in questions_in(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        '"""What it is."""',
        'def f():\n    """How it is done."""',
        'async def f():\n    r"""\n    Whether it is.\n    """',
        'class A:\n    x: int = 1\n    """Where it is."""',
        'class A:\n    def f(self):\n        "whose it is"',
        'X = 1\n"""`When` it is."""',
        'try:\n    X = 1\nexcept OSError:\n    def f():\n        """Why it is."""',
    ],
)
def test_a_docstring_that_begins_with_a_question_word_is_found(source: str) -> None:
    assert len(questions_in(source)) == 1


@pytest.mark.parametrize(
    "source",
    ['"""Whole screens."""', '"""Return what it is."""', 'X = "What it is"', 'print("Who is it?")', "# How it is done"],
)
def test_other_texts_pass(source: str) -> None:
    assert questions_in(source) == []
