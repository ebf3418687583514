"""Every message of the product with its place: `python tools/messages.py [PART…]`.

A message is the text of an error that people can meet, a line that a command prints, a note or a warning. The words in
braces are filled in when it is shown. With parts, only messages whose place or text holds one of them.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("animatic", "flows", "tasks")
PRINTING = frozenset({
    "say", "complain", "print", "warn", "_warn", "fault", "note", "ok", "stop_buying", "stop_all", "refuse_account",
    "ask",
})  # fmt: skip
"""Functions whose first text, or first two, people read."""

_LEAST_WORDS = 2


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        shown_by: the error's class, or the function that shows it.
        text: with braces for what is filled in.
    """

    place: str
    shown_by: str
    text: str


def messages_of(path: Path) -> Iterator[Message]:
    """Yield the messages of a module, in order."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = _name_of(node.func)
        if name.endswith("Error") or name in PRINTING or name in {"Fault", "NextStep", "Finding"}:
            place = f"{path.relative_to(ROOT)}:{node.lineno}"
            for text in map(_text_of, node.args[:2]):
                if len(text.split()) >= _LEAST_WORDS:
                    yield Message(place, name, text)


def _name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _text_of(node: ast.expr) -> str:
    """Return the text that an expression makes, as far as it stands in the code."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text_of(part) for part in parts)
        case ast.FormattedValue(value=value):
            return "{" + ast.unparse(value) + "}"
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text_of(left) + _text_of(right)
        case ast.IfExp(body=body, orelse=other):
            return f"{_text_of(body)} | {_text_of(other)}"
        case _:
            return ""


def all_messages() -> list[Message]:
    """Return the messages of all packages, by place."""
    modules = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return [message for path in modules for message in messages_of(path)]


def main(parts: Sequence[str]) -> int:
    """Print them."""
    found = [each for each in all_messages() if not parts or any(part in f"{each.place} {each.text}" for part in parts)]
    for each in found:
        sys.stdout.write(f"{each.place}: {each.shown_by}: {' '.join(each.text.split())}\n")
    sys.stderr.write(f"{len(found):,} messages\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
