"""Settings with which a server of ours shows Prefect's own pages."""

import os

from animatic.machine.home import prefect_home
from flows.process import own_folder

UI_PORT = 4200
"""Usual port of Prefect's UI; any other if that is taken."""


def pages_settings() -> dict[str, str]:
    """Return the settings. Makes the folder that the pages are unpacked into.

    By default Prefect unpacks them into its own installation, which may be others' too, or read-only.

    Raises:
        SettingsError: the folder cannot be made.
    """
    folder = own_folder(own_folder(prefect_home(os.environ)) / "ui")
    return {
        "PREFECT__SERVER_EPHEMERAL": "",  # with it, a server has neither UI nor services
        "PREFECT_SERVER_UI_ENABLED": "true",
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(folder),
    }
