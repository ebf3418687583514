"""Fields of a submission that are about the reply: sync mode, base64 output, a webhook. Pure.

Source: WaveSpeed's pages on sync mode, base64 output and webhooks; not tried live.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yarl import URL

from animatic.sandbox.catalogue import MAX_URL_CHARS, InvalidInputError
from animatic.sandbox.loopback import is_loopback


@dataclass(frozen=True, slots=True)
class ReplyOptions:
    """Options of a submission beside its inputs.

    Attributes:
        waits: the reply comes when the prediction is final.
        wants_base64: outputs are base64 text instead of URLs.
        webhook_url: called when the prediction is final; empty: none.
    """

    waits: bool = False
    wants_base64: bool = False
    webhook_url: str = ""


_NONE = ReplyOptions()


def read_reply_options(body: Mapping[str, Any], query: Mapping[str, str]) -> ReplyOptions:
    """Read the options in the body and in the query, `?webhook=URL`. Raises InvalidInputError."""
    hook = query.get("webhook") or body.get("webhook_url")
    if not hook and "enable_sync_mode" not in body and "enable_base64_output" not in body:
        return _NONE
    return ReplyOptions(
        _claim(body, "enable_sync_mode"),
        _claim(body, "enable_base64_output"),
        _checked_url(hook) if hook else "",
    )


def _claim(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise InvalidInputError(f"{name}: must be true or false")
    return value


def _checked_url(text: object) -> str:
    """Return a webhook's URL, if it is on loopback. Raises InvalidInputError."""
    try:
        url = URL(text) if isinstance(text, str) and len(text) <= MAX_URL_CHARS else URL()
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not is_loopback(url.host or "") or url.user or url.password:
        raise InvalidInputError(
            "webhook: the sandbox calls http and https URLs on loopback only, such as http://127.0.0.1:9000/hook"
        )
    return str(url)
