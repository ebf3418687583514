"""A Prefect block with all that belongs to one account of WaveSpeed: its key, its name, its level, where it answers.

`prefect block register --module flows.credentials` makes it known to a server, so that its UI can make such blocks. A
deployment names one in the parameter `credentials`. The key is stored encrypted, and is no parameter of any run.
"""

from enum import StrEnum
from typing import Any, ClassVar, Self

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from animatic.errors import SettingsError
from flows.settings import Settings


class Level(StrEnum):
    """Level of an account, which sets its starts per minute and takes in flight."""

    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"
    ULTRA = "ultra"


class WaveSpeedCredentials(Block):
    """One account of WaveSpeed. A run that names this block takes all four from it, and none from its environment."""

    _block_type_name: ClassVar[str | None] = "WaveSpeed Credentials"
    _block_type_slug: ClassVar[str | None] = "wavespeed-credentials"
    _description: ClassVar[str | None] = (
        "One account of WaveSpeed, for animatic: key, name, level, and where it answers."
    )

    api_key: SecretStr = Field(title="API key", description="The account's key.")
    account_name: str = Field(
        default="",
        title="Account name",
        description="A name for the account, such as north, where several share a ledger. It is part of what names a "
        "take: with another name, everything is bought again.",
    )
    level: Level = Field(default=Level.BRONZE, description="The account's level.")
    base_url: str = Field(
        default="https://api.wavespeed.ai",
        title="Base URL",
        description="Where WaveSpeed answers; the key goes there only.",
    )

    def applied_to(self, settings: Settings) -> Settings:
        """Return settings that buy with this account.

        Raises:
            SettingsError: a field of the block cannot be what it is; the message never holds the key.
        """
        return settings.with_account(
            self.api_key.get_secret_value(), self.account_name.strip(), self.level.value, self.base_url.strip()
        )

    @classmethod
    async def found(cls, name: str) -> Self:
        """Return the block of this name.

        Raises:
            SettingsError: the Prefect server has none that can be read.
        """
        try:
            block: Any = await cls.aload(name, validate=False)
        except ValueError:
            raise SettingsError(
                f"credentials: found no block wavespeed-credentials/{name} on the Prefect server; allowed: the name "
                "of one that is there. Make it in Prefect's UI under Blocks, once the type is known there:\n"
                "    prefect block register --module flows.credentials"
            ) from None
        return block
