"""The command that adds an extra to this installation, for messages that name a package which is missing."""

import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any


def installs_extra(extra: str, prefix: Path = Path(sys.prefix)) -> str:
    """Return the command that installs an extra where animatic is: into a tool of uv's, or by pip.

    uv makes the environment of a tool again from where it came from, so the command names that, and the extras that the
    tool has already. No index has animatic.
    """
    tool = _uv_tool(prefix)
    source = next((tool[name] for name in ("path", "directory", "editable", "url") if name in tool), None)
    if source is None:
        return f"pip install 'animatic[{extra}]'"
    extras = ",".join(dict.fromkeys([*tool.get("extras", ()), extra]))
    of_url = "animatic[{}] @ {}" if "url" in tool else "{1}[{0}]"
    return f"uv tool install --force {shlex.quote(of_url.format(extras, source))}"


def _uv_tool(prefix: Path) -> dict[str, Any]:
    """Return how uv says that it was asked for animatic; empty where it was not, or says it in another way."""
    try:
        receipt = tomllib.loads((prefix / "uv-receipt.toml").read_text(encoding="utf-8"))
        asked: list[dict[str, Any]] = receipt["tool"]["requirements"]
        return next((each for each in asked if each["name"] == "animatic"), {})
    except (OSError, ValueError, KeyError, TypeError):
        return {}
