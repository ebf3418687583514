"""OpenTimelineIO, which is an extra: imported only where a timeline is asked for."""

import importlib
import sys
from typing import Any

from animatic.errors import SettingsError
from animatic.machine.extras import installs_extra

ADAPTERS = ("cmx_3600", "fcp_xml")


def opentimelineio() -> Any:
    """Return the library with the adapters that are needed.

    Raises:
        SettingsError: it is not installed; the message names the extra.
    """
    try:
        library: Any = importlib.import_module("opentimelineio")
    except ImportError:
        missing = "OpenTimelineIO"
    else:
        there = set(library.adapters.available_adapter_names())
        missing = ", ".join(name for name in ADAPTERS if name not in there)
        if not missing:
            return library
    of_python = "; it has no wheel for Python 3.14 yet: use 3.11 to 3.13" if sys.version_info >= (3, 14) else ""
    raise SettingsError(
        f"timeline: {missing} is not installed here; install the extra: {installs_extra('timeline')}{of_python}"
    )
