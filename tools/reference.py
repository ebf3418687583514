"""`python -m tools.reference`: write the parts of the reference that are made from the code. `make fmt` runs it.

A part stands between `<!-- NAME -->` and `<!-- end of NAME -->`; the words around it are the page's own.
"""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import annotated_types
import typer
from typer.cli import get_docs_for_click

import animatic
from animatic.media import checks, dataset
from animatic.planning import plan_form
from animatic.planning.planned_rows import Do
from animatic.results import database, history
from animatic.results.columns import as_markdown
from animatic.results.exit_codes import MEANINGS
from flows.command.cli import app
from flows.settings import READ_ELSEWHERE, VARIABLES, Settings

DOCS = Path(__file__).parents[1] / "docs"


def commands() -> str:
    """Return each command with its arguments and options, one heading deeper than typer has it, without the program."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="animatic", max_content_width=1_000)
    text = get_docs_for_click(obj=command, ctx=context, name="animatic")
    text = re.sub(r"^\* `--help`: Show this message and exit\.\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\* `-h, --help`: Show this message and exit\.\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\*\*Options\*\*:\n\n(?!\*)", "", text)
    text = text.replace("\\[", "[")  # escaped for Rich, which reads names of extras as markup
    _, _, below = text.partition("\n## ")
    return f"## {below.strip()}"


def settings() -> str:
    """Return the table of the environment variables."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, variable in VARIABLES.items():
        field = Settings.model_fields[name]
        allowed = f". Allowed: {bounds}" if (bounds := _allowed(field)) else ""
        rows.append(f"| `{variable}` | {_default(name, field)} | {field.description}{allowed} |")
    for names, meaning in READ_ELSEWHERE.items():
        shown = ", ".join(f"`{name}`" for name in names.split(", "))
        rows.append(f"| {shown} | | {meaning} |")
    return "\n".join(rows)


def _default(name: str, field: Any) -> str:
    if name == "ledger":
        return "`ledger.sqlite` in your data folder"
    if field.default is None:
        return ""
    value = int(field.default) if isinstance(field.default, bool) else field.default
    return f"{value:g}" if isinstance(value, int | float) else f"`{value}`"


def _allowed(field: Any) -> str:
    """Return the bounds of a number, or the choices; empty where anything of its type is allowed."""
    found = [*field.metadata, *(each for part in _parts(field.annotation) for each in part)]
    bounds = [each for nested in found for each in getattr(nested, "metadata", [nested])]
    low, high = "", ""
    for bound in bounds:
        match bound:
            case annotated_types.Ge(ge):
                low = f"{ge:,g}" if isinstance(ge, float) else f"{ge:,}"
            case annotated_types.Gt(gt):
                low = f"above {gt}"
            case annotated_types.Le(le):
                high = f"{le:,}"
            case _:
                pass
    if low or high:
        return f"{low} to {high}"
    return "`0`, `1`" if field.annotation is bool else ""


def _parts(annotation: Any) -> Iterator[tuple[Any, ...]]:
    """Yield what is annotated to the members of a union."""
    for member in getattr(annotation, "__args__", ()):
        yield getattr(member, "__metadata__", ())


def exit_codes() -> str:
    """Return the table of the exit codes."""
    rows = [f"| {code} | {meaning} |" for code, meaning in MEANINGS.items()]
    return "\n".join(["| code | meaning |", "| --- | --- |", *rows])


def functions() -> str:
    """Return the functions for analysts: signature and docstring."""
    return "\n\n".join(_function(name) for name in sorted(animatic.__all__))


def _function(name: str) -> str:
    function = getattr(animatic, name)
    signature = re.sub(r"\bpandas\.[\w.]*DataFrame", "pandas.DataFrame", str(inspect.signature(function)))
    text = inspect.getdoc(function) or ""
    text = re.sub(r"^(Args|Raises|Returns|Examples):$", r"**\1**\n", text, flags=re.MULTILINE)
    text = re.sub(r"^ {4}(\w+): ", r"- `\1`: ", text, flags=re.MULTILINE)
    return f"## `{name}`\n\n```\nanimatic.{name}{signature}\n```\n\n{text}"


_PLAN_PARTS = ("HeadPart", "ManifestPart", "OptionsPart", "CostPart", "PricePart", "TakePart")


def plan_fields() -> str:
    """Return the fields of a plan's file: a table for each of its parts."""
    schema = plan_form.WholePart.model_json_schema()
    parts = {**schema["$defs"], "HeadPart": schema}
    return "\n\n".join(_plan_part(name, parts[name]) for name in _PLAN_PARTS)


def _plan_part(name: str, part: dict[str, Any]) -> str:
    titles = {"HeadPart": "The plan", "TakePart": "Each of `takes`", "PricePart": "Each of `prices`"}
    title = titles.get(name) or f"`{name.removesuffix('Part').lower()}`"
    rows = [
        f"| `{field}` | {_plan_type(of)} | {of.get('description', '')} |" for field, of in part["properties"].items()
    ]
    text = part["description"] if name != "HeadPart" else "One JSON object; takes come one a line behind all else."
    return "\n".join([f"## {title}", "", text, "", "| field | type | meaning |", "| --- | --- | --- |", *rows])


def _plan_type(of: dict[str, Any]) -> str:
    """Return the type of a field in words."""
    if one := [each for each in of.get("anyOf", ()) if each.get("type") != "null"]:
        return f"{' or '.join(map(_plan_type, one))}, null"
    name = str(of.get("$ref", "")).rpartition("/")[2]
    values = [each.value for each in Do] if name == "Do" else of.get("enum", [of["const"]] if "const" in of else [])
    if values:
        return ", ".join(f"`{each}`" for each in values)
    forms = {plan_form.HASH: "64 hex digits", plan_form.USD: "dollars as text, six decimals"}
    types = {"array": "list", "": "object"}
    kept = "moment, ISO 8601" if of.get("format") == "date-time" else str(of.get("type", ""))
    return forms.get(of.get("pattern", "")) or types.get(kept, kept)


def plan_schema() -> str:
    """Return the JSON Schema of a plan's file."""
    return f"```json\n{json.dumps(plan_form.WholePart.model_json_schema(), indent=1)}\n```"


PARTS = {
    "commands": ("reference/commands.md", commands),
    "settings": ("reference/settings.md", settings),
    "exit codes": ("reference/exit-codes.md", exit_codes),
    "functions": ("reference/python.md", functions),
    "plan fields": ("reference/plan-file.md", plan_fields),
    "plan schema": ("reference/plan-file.md", plan_schema),
    "columns": ("results.md", as_markdown),
    "clip columns": ("how-to/clips.md", dataset.as_markdown),
    "views": ("results.md", database.as_markdown),
    "history": ("results.md", history.as_markdown),
    "checks": ("quality.md", checks.as_markdown),
}
"""Page and maker of each part."""


def page_with(text: str, name: str, part: str) -> str:
    """Return a page with this part between its marks."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    head, rest = text.split(begin)
    return f"{head}{begin}\n{part}\n{end}{rest.split(end)[1]}"


def main() -> None:
    """Write every page."""
    for name, (page, make) in PARTS.items():
        path = DOCS / page
        path.write_text(page_with(path.read_text(encoding="utf-8"), name, make()), encoding="utf-8")


if __name__ == "__main__":
    main()
