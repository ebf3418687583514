"""Notifiers: Prefect blocks that send messages to people. Their addresses are secrets, and appear in nothing we say."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.blocks.core import Block
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound

from animatic.errors import SettingsError
from animatic.errors.text import quoted

SENDS_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Notifier:
    """A block that sends messages: its name as `TYPE/NAME`, and its id on the server."""

    name: str
    block_id: UUID


async def find_notifier(client: PrefectClient, name: str) -> Notifier:
    """Return the notifier of this name.

    Raises:
        SettingsError: there is none, or it is not of a kind that sends messages.
    """
    kind, _, block = name.partition("/")
    if not kind or not block:
        raise SettingsError(f"--notify: found {quoted(name)}; allowed: TYPE/NAME, as `prefect block ls` lists them")
    try:
        document = await client.read_block_document_by_name(block, kind, include_secrets=False)
    except ObjectNotFound:
        raise SettingsError(
            f"--notify: found no block {quoted(name)} on the server; allowed: one that `prefect block ls` lists. "
            "Make it in Prefect's UI, under Blocks"
        ) from None
    if "notify" not in ((document.block_schema and document.block_schema.capabilities) or ()):
        raise SettingsError(f"--notify: {quoted(name)} sends no messages; allowed: a notification block")
    return Notifier(name, document.id)


async def send_test(notifier: Notifier) -> str | None:
    """Send a test message; return why it was not taken, without the address, or None if it was."""
    body = "A test: this is where animatic's runs are reported."
    try:
        async with asyncio.timeout(SENDS_WITHIN_S):
            block: Any = await Block.aload(notifier.name)
            with block.raise_on_failure():
                await block.notify(body, subject="animatic: a test")
    except Exception as error:  # noqa: BLE001 - a notifier fails nothing but itself
        return f"{notifier.name}: the test message was not taken ({reason_of(error)}); the automations are set up"
    return None


def reason_of(error: Exception) -> str:
    """Return what kind of error it was; its own words may hold the address."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"{type(error).__name__}{f', HTTP {status}' if isinstance(status, int) else ''}"
