"""Scheduled runs: no command has handed them a session, so they make one of their own."""

import contextlib
from typing import Any

from prefect.blocks.system import Secret

from animatic.settings import Settings
from flows.flow_states import id_in_name
from flows.logs import outlive_console
from flows.session import Session

KEY_BLOCK = "wavespeed-api-key"
"""The Prefect Secret block that holds the key where the environment does not."""


async def session_of_schedule() -> Session:
    """Return a new session from the environment and the Secret block.

    Raises:
        SettingsError: the environment says something we cannot work with.
    """
    outlive_console()
    settings = Settings.from_environment()
    if settings.api_key is None:
        with contextlib.suppress(ValueError):  # there is no such block
            secret: Any = await Secret.aload(KEY_BLOCK)
            settings = settings.with_key(str(secret.get()))
    return Session(settings, run_id=id_in_name())
