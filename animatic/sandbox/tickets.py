"""Tickets for an upload in two steps: a URL of ours that takes one still, once, without a key, for a while.

Source: both official SDKs; not tried live. Time is an argument, in seconds since 1970.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from animatic.sandbox.catalogue import InvalidInputError
from animatic.sandbox.uploads import MAX_UPLOAD_BYTES, SUFFIX_OF_TYPE

GOOD_FOR_S = 900.0
MAX_OPEN = 1_000
_MAX_NAME_CHARS = 1_024
_ANY_TYPE = "application/octet-stream"
_TYPE_OF_ENDING = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}


class TooManyTicketsError(Exception):
    """So many tickets are open that no more are given out."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Permission to PUT one file.

    Attributes:
        token: the secret part of its URL.
        name: of the upload that comes of it.
        media_type: of the still, as the client said or its file name tells; empty where neither does.
    """

    token: str
    name: str
    size_bytes: int
    media_type: str
    expires_at: float

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers that the client must send with the still."""
        return {"Content-Type": self.media_type or _ANY_TYPE}


class Tickets:
    """All open tickets, oldest first. They are forgotten when the sandbox ends."""

    def __init__(self) -> None:
        self._open: dict[str, Ticket] = {}

    def issue(self, body: Mapping[str, Any], now: float) -> Ticket:
        """Issue a ticket for `{filename, size, content_type?}`. Raises InvalidInputError, TooManyTicketsError."""
        filename, size, media_type = body.get("filename"), body.get("size"), body.get("content_type") or ""
        if not isinstance(filename, str) or not 0 < len(filename) <= _MAX_NAME_CHARS:
            raise InvalidInputError(f"filename: required, a text of {_MAX_NAME_CHARS:,} characters at most")
        if type(size) is not int or not 0 < size <= MAX_UPLOAD_BYTES:
            raise InvalidInputError(f"size: must be a whole number of bytes from 1 to {MAX_UPLOAD_BYTES:,}")
        if not isinstance(media_type, str):
            raise InvalidInputError("content_type: must be a string")
        media_type = media_type.lower() or _TYPE_OF_ENDING.get("." + filename.lower().rpartition(".")[2], "")
        if media_type and media_type not in SUFFIX_OF_TYPE:
            allowed = ", ".join(SUFFIX_OF_TYPE)
            raise InvalidInputError(f"content_type: the sandbox keeps stills, audio and video only: {allowed}")
        self._forget_expired(now)
        if len(self._open) >= MAX_OPEN:
            raise TooManyTicketsError
        token, name = secrets.token_hex(16), secrets.token_hex(16) + SUFFIX_OF_TYPE.get(media_type, "")
        ticket = self._open[token] = Ticket(token, name, size, media_type, now + GOOD_FOR_S)
        return ticket

    def claim(self, token: str, now: float) -> Ticket | None:
        """Use up the ticket; None for one that never was, was used or has expired."""
        self._forget_expired(now)
        return self._open.pop(token, None)

    def give_back(self, ticket: Ticket) -> None:
        """Make a ticket good again whose upload did not succeed."""
        self._open[ticket.token] = ticket

    def _forget_expired(self, now: float) -> None:
        for token in [token for token, each in self._open.items() if each.expires_at <= now]:
            del self._open[token]
