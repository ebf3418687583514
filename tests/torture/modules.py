"""Find code by name, so that a proof outlives a move: `shoot:Shoot._buy`, in whichever package `shoot` lies."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("animatic", "flows", "tasks")


@cache
def module_paths(tree: Path = ROOT) -> dict[str, Path]:
    """Dotted name -> file, for every module and package of the product."""
    found: dict[str, Path] = {}
    for package in PACKAGES:
        for path in (tree / package).rglob("*.py"):
            parts = path.relative_to(tree).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def find_module(tail: str, tree: Path = ROOT) -> Path:
    """Return the file of the one module whose dotted name ends in `tail`. LookupError if there is none, or another."""
    found = [path for name, path in module_paths(tree).items() if f".{name}".endswith(f".{tail}")]
    if len(found) != 1:
        raise LookupError(f"{len(found)} modules are named {tail}; name one of them by more of its path")
    return found[0]


def find_modules(*tails: str, tree: Path = ROOT) -> frozenset[Path]:
    """Return the files of these modules, and all files of these packages."""
    found: set[Path] = set()
    for tail in tails:
        path = find_module(tail, tree)
        found.update(path.parent.rglob("*.py") if path.name == "__init__.py" else [path])
    return frozenset(found)


def find_test(tail: str, tree: Path = ROOT) -> str:
    """Return the path, below `tree`, of the one test file or folder whose path ends in `tail`."""
    tests = [path for path in (tree / "tests").rglob("*") if path.suffix == ".py" or path.is_dir()]
    found = [path for path in tests if f"/{path.with_suffix('')}".endswith(f"/{tail}")]
    if len(found) != 1:
        raise LookupError(f"{len(found)} tests are named {tail}; name one of them by more of its path")
    return str(found[0].relative_to(tree))


def extent(source: str, qualname: str) -> tuple[int, int]:
    """Return where a function, class or constant begins and ends in its module's text. LookupError without it."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = [node for name, node in _definitions(ast.parse(source), "") if name == qualname]
    if len(found) != 1:
        raise LookupError(f"{qualname} is there {len(found)} times")
    node = found[0]
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
    return starts[first - 1], starts[node.end_lineno or node.lineno]


def _definitions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.stmt]]:
    """Every function and class below, and every constant of a module or class."""
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + each.name, each
            yield from _definitions(each, f"{prefix}{each.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        elif isinstance(each, ast.Assign):
            yield from ((prefix + name.id, each) for name in each.targets if isinstance(name, ast.Name))
        elif isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            yield prefix + each.target.id, each


def replace_within(key: str, old: str, new: str, tree: Path = ROOT) -> tuple[Path, str]:
    """Return the file of `module:qualname` and its text with `old` replaced. LookupError if it isn't there just once."""
    tail, _, qualname = key.partition(":")
    path = find_module(tail, tree)
    source = path.read_text()
    begin, end = extent(source, qualname)
    part = source[begin:end]
    if part.count(old) != 1:
        raise LookupError(f"{key} holds its text {part.count(old)} times")
    return path, source[:begin] + part.replace(old, new) + source[end:]
