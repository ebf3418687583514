"""Every way in which a submission can end, in one table. Pure: what came back is the input, what it means comes out.

    | what came back                                         | ending   | bought?    | goes again by itself |
    | ------------------------------------------------------ | -------- | ---------- | -------------------- |
    | nothing: no byte of the request left                   | unsent   | no         | yes, with back-off   |
    | no whole answer: time-out, reset, too long, cut off    | unknown  | who knows  | never                |
    | an answer that holds a usable prediction id            | accepted | yes        | never                |
    | HTTP 429, whoever says it                              | busy     | no         | yes, all wait        |
    | HTTP 401, 402, 403 in the API's own envelope           | stop     | no         | no; the run stops    |
    | HTTP 400, 404, 405, 413, 415, 422 in its envelope      | refused  | no         | no                   |
    | anything else: 3xx, 408, 409, 5xx, other codes, no id  | unknown  | who knows  | never                |

The first row that fits decides. An id counts wherever the API's own place for it holds one, whatever the codes around
it say: a 500 that names a prediction has made one. A code inside an HTTP 200 proves nothing. That 429 and 4xx buy
nothing is WaveSpeed's documented meaning of them, not something that was tried live.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from pydantic_core import from_json

from animatic.takes import State
from animatic.wavespeed.wire import Envelope, read_envelope

REFUSALS = frozenset({400, 404, 405, 413, 415, 422})
ACCOUNT_REFUSALS = frozenset({401, 402, 403})
BUSY = 429

_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_MAX_STATUS_CHARS = 64


class Ending(StrEnum):
    """What is known once a submission is over."""

    UNSENT = "unsent"
    ACCEPTED = "accepted"
    BUSY = "busy"
    STOP = "stop"
    REFUSED = "refused"
    UNKNOWN = "unknown"


GOES_AGAIN = frozenset({Ending.UNSENT, Ending.BUSY})
"""The only endings after which the same take may be sent again without anybody's leave."""

STATE_AFTER = {
    Ending.UNSENT: State.UNSENT,
    Ending.ACCEPTED: State.SUBMITTED,
    Ending.BUSY: State.UNSENT,
    Ending.STOP: State.UNSENT,
    Ending.REFUSED: State.REJECTED,
    Ending.UNKNOWN: State.UNKNOWN,
}
"""What the ledger calls an attempt that ended so. `stop` was turned away unread: the take is planned again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: an HTTP status and a body, or neither, where `left` says whether the request may have gone.

    Attributes:
        http: None where there is no whole answer.
        why: for people, where there is none.
    """

    http: int | None = None
    body: bytes = b""
    left: bool = True
    why: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a submission ended.

    Attributes:
        prediction_id, prediction_status: where it was accepted.
        code: of the refusal.
        said: one line for people.
        retry_after_s: what a 429 asked for, from 1 to 120, or None.
    """

    ending: Ending
    said: str
    prediction_id: str | None = None
    prediction_status: str | None = None
    code: int | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Read:
    """An answer with what could be read in it."""

    answer: Answer
    envelope: Envelope | None
    prediction_id: str | None
    prediction_status: str | None

    @property
    def is_own(self) -> bool:
        """Whether the API itself speaks, not a gateway."""
        return self.envelope is not None


_TABLE: tuple[tuple[Callable[[_Read], bool], Ending], ...] = (
    (lambda read: not read.answer.left, Ending.UNSENT),
    (lambda read: read.answer.http is None, Ending.UNKNOWN),
    (lambda read: read.prediction_id is not None, Ending.ACCEPTED),
    (lambda read: read.answer.http == BUSY, Ending.BUSY),
    (lambda read: read.is_own and read.answer.http in ACCOUNT_REFUSALS, Ending.STOP),
    (lambda read: read.is_own and read.answer.http in REFUSALS, Ending.REFUSED),
    (lambda _: True, Ending.UNKNOWN),
)


def classify(answer: Answer, retry_after_s: float | None = None) -> Ended:
    """How a submission ended, given what came back."""
    read = _read(answer)
    ending = next(ending for fits, ending in _TABLE if fits(read))
    is_no = ending in {Ending.BUSY, Ending.STOP, Ending.REFUSED}
    return Ended(
        ending,
        _said(read, ending),
        prediction_id=read.prediction_id if ending is Ending.ACCEPTED else None,
        prediction_status=read.prediction_status if ending is Ending.ACCEPTED else None,
        code=answer.http if is_no else None,
        retry_after_s=retry_after_s if ending is Ending.BUSY else None,
    )


def quoted(message: str) -> str:
    """The API's words in one short printable line."""
    return json.dumps(message[:300], ensure_ascii=True)


def _read(answer: Answer) -> _Read:
    envelope = read_envelope(answer.body) if answer.http is not None else None
    found = _data(answer.body) if answer.http is not None else {}
    prediction_id, status = found.get("id"), found.get("status")
    is_usable = isinstance(prediction_id, str) and _ID.fullmatch(prediction_id) is not None
    is_status = isinstance(status, str) and len(status) <= _MAX_STATUS_CHARS
    return _Read(answer, envelope, prediction_id if is_usable else None, status if is_status else None)


def _data(body: bytes) -> dict[str, Any]:
    """The `data` of a body, read as leniently as JSON can be: what is wrong around an id must not lose it."""
    try:
        parsed = from_json(body, allow_inf_nan=True)
    except (ValueError, RecursionError):
        return {}
    data = cast("dict[str, Any]", parsed).get("data") if isinstance(parsed, dict) else None
    return cast("dict[str, Any]", data) if isinstance(data, dict) else {}


def _said(read: _Read, ending: Ending) -> str:
    answer, envelope = read.answer, read.envelope
    words = f": {quoted(envelope.message)}" if envelope is not None else ""
    match ending:
        case Ending.UNSENT:
            return answer.why
        case Ending.ACCEPTED:
            return f"accepted as {read.prediction_id}"
        case Ending.BUSY | Ending.REFUSED:
            return f"submit: WaveSpeed answered {answer.http}{words}"
        case Ending.STOP:
            return (
                f"submit: WaveSpeed answered {answer.http}{words}. "
                "Check WAVESPEED_API_KEY, its role and the account's balance."
            )
        case Ending.UNKNOWN if answer.http is None:
            return answer.why
        case _:
            found = f"code {envelope.code}{words}" if envelope is not None else "something that is not its JSON"
            return f"submit: WaveSpeed answered HTTP {answer.http} with {found}, and no prediction id"
