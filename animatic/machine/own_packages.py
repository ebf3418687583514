"""The packages `flows` and `tasks`, whose names other projects use too: are those that Python finds ours?

animatic is an application with an environment of its own. Where another project's code lies in that environment, one of
the two cannot be imported; this says so in a sentence, in place of a module that is not found.
"""

import importlib.machinery
import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from animatic.errors import SettingsError
from animatic.machine.start_folder import start_folder

NAMES = ("flows", "tasks")
ADVICE = (
    "animatic wants an environment of its own, without other code named flows or tasks: uv tool install, a container, "
    "or a virtual environment for it alone; see docs/deploying.md"
)
_OURS = Path(__file__).resolve().parents[2]


def foreign_package() -> str | None:
    """Return what is wrong where `flows` or `tasks` is not ours, or was overwritten by another package."""
    for name in NAMES:
        found = _folder_of(PathFinder.find_spec(name, sys.path))
        if found is None:
            continue  # an importer of another kind has it, such as that of an editable installation
        if found != _OURS / name:
            return f"the package {name}: found another project's, {found}; {ADVICE}"
        if "animatic" not in (found / "__init__.py").read_text(encoding="utf-8", errors="replace"):
            return f"the package {name}: found animatic's overwritten by another package, {found}; {ADVICE}"
    return None


def require_free_folder(folder: Path) -> None:
    """Raise SettingsError where Prefect, which imports from the folder it works in first, would find others' packages.

    Without an `__init__.py` a folder named flows is passed over in favour of ours.
    """
    for name in NAMES:
        if (folder / name).resolve() != _OURS / name and (folder / name / "__init__.py").is_file():
            raise SettingsError(
                f"{folder / name}: found another project's package, which Prefect would import instead of animatic's; "
                f"type this in another folder. {ADVICE}"
            )


def forget_current_folder() -> None:
    """Take the current folder off the path of imports, unless this very code was installed there."""
    sys.path[:] = [each for each in sys.path if each and may_be_imported_from(each)]


def may_be_imported_from(folder: str) -> bool:
    """Tell whether code may come from a folder: not from the one that a command was typed in, unless it holds ours."""
    here = Path(start_folder()).resolve()
    return Path(folder).resolve() != here or here == _OURS


def explain_missing_modules() -> None:
    """Let an import of another project's `flows.x` or `tasks.x` say why it fails. It fails with or without this."""
    if not any(isinstance(each, _Explainer) for each in sys.meta_path):
        sys.meta_path.append(_Explainer())


class _Explainer(MetaPathFinder):
    """Last of the finders: asked for what none has found."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:  # noqa: ARG002 - Python's call
        """Return None; raise ModuleNotFoundError where the module is another project's."""
        package, _, rest = fullname.partition(".")
        if package not in NAMES or not rest:
            return
        for folder in dict.fromkeys([*sys.path, os.getcwd()]):  # noqa: PTH109 - text, as in sys.path
            theirs = Path(folder or ".") / package / rest.partition(".")[0]
            if theirs.parent.resolve() == _OURS / package:
                continue
            if theirs.is_dir() or theirs.with_suffix(importlib.machinery.SOURCE_SUFFIXES[0]).is_file():
                raise ModuleNotFoundError(
                    f"{fullname}: found it in {theirs.parent}, but the package {package} is animatic's here "
                    f"({_OURS / package}); {ADVICE}",
                    name=fullname,
                )
        return


def _folder_of(spec: ModuleSpec | None) -> Path | None:
    if spec is None:
        return None
    if spec.origin is not None:
        return Path(spec.origin).resolve().parent
    return next((Path(each).resolve() for each in spec.submodule_search_locations or ()), None)
