"""Fields of a submission that are about the reply: sync mode, base64 output, a webhook. Pure.

Source: WaveSpeed's pages on sync mode, base64 output and webhooks; not tried live.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from animatic.sandbox.catalogue import InvalidInputError
from animatic.sandbox.webhooks import checked_webhook_url


@dataclass(frozen=True, slots=True)
class Wishes:
    """Options of a submission beside its inputs.

    Attributes:
        waits: the reply comes when the prediction is final.
        wants_base64: outputs are base64 text instead of URLs.
        webhook_url: called when the prediction is final; empty: none.
    """

    waits: bool = False
    wants_base64: bool = False
    webhook_url: str = ""


_NONE = Wishes()


def read_wishes(body: Mapping[str, Any], query: Mapping[str, str]) -> Wishes:
    """Read the options in the body and in the query, `?webhook=URL`. Raises InvalidInputError."""
    hook = query.get("webhook") or body.get("webhook_url")
    if not hook and "enable_sync_mode" not in body and "enable_base64_output" not in body:
        return _NONE
    return Wishes(
        _claim(body, "enable_sync_mode"),
        _claim(body, "enable_base64_output"),
        checked_webhook_url(hook) if hook else "",
    )


def _claim(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise InvalidInputError(f"{name}: must be true or false")
    return value
