"""The folders of this installation: ledger, logs, Prefect's home, the sandbox's state, temporary files.

Each is a function of the environment alone. Without `ANIMATIC_HOME` every part has the usual place of its kind; with
it all of them lie in that one folder, which is all that a container needs to provide.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import platformdirs

from animatic.errors import SettingsError

HOME = "ANIMATIC_HOME"
LEDGER_FILE = "ledger.sqlite"


def home_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder that `ANIMATIC_HOME` names, None where it names none.

    Raises:
        SettingsError: its path depends on the folder that a command starts in.
    """
    text = environ.get(HOME, "").strip()
    if not text:
        return None
    path = Path(text)
    if not path.is_absolute():
        raise SettingsError(
            f'{HOME}: found "{text}", which is another folder in each folder that a command starts in; allowed: an '
            f"absolute path, from here {path.absolute()}"
        )
    return path


def data_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of what must last: the ledger, the sandbox's state."""
    return home_folder(environ) or _user_folder("XDG_DATA_HOME", environ, platformdirs.user_data_path)


def log_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of log files."""
    home = home_folder(environ)
    return home / "logs" if home else _user_folder("XDG_STATE_HOME", environ, platformdirs.user_log_path)


def prefect_home(environ: Mapping[str, str]) -> Path:
    """Return Prefect's home: `PREFECT_HOME`, else in `ANIMATIC_HOME`, else Prefect's own place."""
    if environ.get("PREFECT_HOME"):
        return Path(environ["PREFECT_HOME"])
    home = home_folder(environ)
    return home / "prefect" if home else _user_home() / ".prefect"


def temporary_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder for temporary files that `ANIMATIC_HOME` implies; None where the system's own is used."""
    home = home_folder(environ)
    return home / "tmp" if home and not environ.get("TMPDIR") else None


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of what can be made again: it may be removed at any time."""
    home = home_folder(environ)
    return home / "cache" if home else _user_folder("XDG_CACHE_HOME", environ, platformdirs.user_cache_path)


def drawn_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of clips that sandboxes drew, for all of them."""
    return cache_folder(environ) / "sandbox"


def empty_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder that our processes work in: empty, so that nothing in it can be taken for settings."""
    return data_folder(environ) / "empty"


def ledger_file(environ: Mapping[str, str]) -> Path:
    """Return the place of the ledger where `ANIMATIC_LEDGER` names none."""
    return data_folder(environ) / LEDGER_FILE


def require_one_ledger(environ: Mapping[str, str]) -> None:
    """Refuse an `ANIMATIC_HOME` without a ledger while the user's data folder has one: it would buy everything again.

    Raises:
        SettingsError: there is such a ledger; the message names both places.
    """
    if environ.get("ANIMATIC_LEDGER", "").strip() or home_folder(environ) is None:
        return
    here, before = ledger_file(environ), _ledger_without_home(environ)
    if before is not None and before != here and before.exists() and not here.exists():
        raise SettingsError(
            f"{HOME}: {here} does not exist, and the ledger of earlier runs is {before}: a new one would buy "
            f"everything again. Move that one and its folder {before.name}.runs to {here.parent}, or set "
            f"ANIMATIC_LEDGER=sqlite:///{before}"
        )


def _ledger_without_home(environ: Mapping[str, str]) -> Path | None:
    try:
        return ledger_file({name: value for name, value in environ.items() if name != HOME})
    except SettingsError:
        return None  # no home of a user, so no ledger in it


def _user_folder(variable: str, environ: Mapping[str, str], find: Callable[[str], Path]) -> Path:
    if not environ.get(variable, "").strip():
        _user_home()
    return find("animatic")


def _user_home() -> Path:
    """Return the user's home. Raises SettingsError where there is none."""
    path = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() raises what says less
    if not path.is_absolute():
        raise SettingsError(
            f"HOME: not set, and user id {os.getuid()} has no home in the password file; set {HOME} to a folder that "
            "can be written to, or HOME"
        )
    return path
