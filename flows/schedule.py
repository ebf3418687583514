"""Scheduled runs: no command has handed them a session, so they make one of their own."""

import contextlib
import re
from typing import Annotated, Any

from prefect.blocks.system import Secret
from pydantic import Field

from animatic.errors import SettingsError
from flows.flow_states import id_in_name
from flows.json_log import write_json
from flows.logs import outlive_console
from flows.process import use_own_folders
from flows.session import Session
from flows.settings import Settings

KEY_BLOCK = "wavespeed-api-key"
"""The Prefect Secret block that holds the key where the environment does not."""

BLOCK_NAME, LONGEST_NAME = "^[a-z0-9-]+$", 48
"""Names of blocks as Prefect has them; a key is longer, and does not get in where a name is wanted."""

BlockName = Annotated[str, Field(json_schema_extra={"pattern": BLOCK_NAME, "maxLength": LONGEST_NAME})]
"""A parameter with the name of a block; the bounds are for Prefect's form and its API."""


async def session_of_schedule(credentials: str | None = None) -> Session:
    """Return a new session from the environment and a block: the one that is named, else the Secret block.

    Raises:
        SettingsError: the environment or the block says something we cannot work with, or there is no such block.
    """
    outlive_console()
    use_own_folders()
    settings, run_id = await settings_of_schedule(credentials), id_in_name()
    if settings.log_format == "json":
        write_json(run_id)
    return Session(settings, run_id=run_id)


async def settings_of_schedule(credentials: str | None = None) -> Settings:
    """Return the settings of a run that no command has started; `credentials` is the name of a block with an account.

    Raises:
        SettingsError: as above.
    """
    settings = Settings.from_environment()
    if credentials is not None:
        from flows.credentials import WaveSpeedCredentials  # noqa: PLC0415 - only for runs that name one

        if not re.fullmatch(BLOCK_NAME, credentials) or len(credentials) > LONGEST_NAME:
            raise SettingsError(
                f"credentials: allowed: the name of a WaveSpeedCredentials block, of at most {LONGEST_NAME} small "
                "letters, digits and hyphens; never a key. What was found is not shown"
            )
        return (await WaveSpeedCredentials.found(credentials)).applied_to(settings)
    if settings.api_key is None:
        with contextlib.suppress(ValueError):  # there is no such block
            secret: Any = await Secret.aload(KEY_BLOCK)
            settings = settings.with_key(str(secret.get()))
            settings.require_other_name()
    return settings
