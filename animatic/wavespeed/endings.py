"""Every way in which a submission can end, in one table. Pure: what came back is the input, what it means comes out.

    | what came back                                         | ending   | bought?    | goes again by itself |
    | ------------------------------------------------------ | -------- | ---------- | -------------------- |
    | nothing: no byte of the request left                   | unsent   | no         | yes, with back-off   |
    | nothing: a proxy refused to connect to the API         | barred   | no         | no; the run stops    |
    | no whole answer: time-out, reset, too long, cut off    | unknown  | not known  | never                |
    | an answer that holds a usable prediction id            | accepted | yes        | never                |
    | HTTP 429                                               | busy     | no         | yes, all wait        |
    | HTTP 407                                               | barred   | no         | no; the run stops    |
    | HTTP 401, 402, 403                                     | stop     | no         | no; the run stops    |
    | every other 4xx but 408, 409, 425 and 499              | refused  | no         | no                   |
    | anything else: 3xx, those four, 5xx, 2xx without an id | unknown  | not known  | never                |

The first row that fits decides. A definite refusal is a refusal whatever its body: JSON of any form, text, a page of
HTML. An id counts wherever the API's own place for it holds one, whatever the codes around it say: a 500 that names a
prediction has made one. A code inside an HTTP 200 proves nothing. 408, 409, 425 and 499 can come from something in
between that has passed the request on. That 429 and other 4xx buy nothing is WaveSpeed's documented meaning of them:
its page on errors calls only a lost reply and 5xx ambiguous. Not tried live.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, cast

from pydantic_core import from_json

from animatic.takes.states import PREDICTION_ID, State
from animatic.wavespeed.wire import MAX_MODEL_CHARS, Envelope, is_prediction, moment_of, read_envelope
from animatic.web.network import PROXY_ADVICE, PROXY_REFUSAL

ACCOUNT_REFUSALS = frozenset({401, 402, 403})
AMBIGUOUS = frozenset({408, 409, 425, 499})
BUSY = 429

_ID = re.compile(PREDICTION_ID)
_MAX_STATUS_CHARS = 64


class Ending(StrEnum):
    """Kinds of outcome of a submission."""

    UNSENT = "unsent"
    ACCEPTED = "accepted"
    BUSY = "busy"
    BARRED = "barred"
    STOP = "stop"
    REFUSED = "refused"
    UNKNOWN = "unknown"


STATE_AFTER = {
    Ending.UNSENT: State.UNSENT,
    Ending.ACCEPTED: State.SUBMITTED,
    Ending.BUSY: State.UNSENT,
    Ending.BARRED: State.UNSENT,
    Ending.STOP: State.UNSENT,
    Ending.REFUSED: State.REJECTED,
    Ending.UNKNOWN: State.UNKNOWN,
}
"""What the ledger calls an attempt that ended so. `stop` was turned away unread: the take is planned again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to a submission: an HTTP status and a body; or neither, and `left` if the request may have gone.

    Attributes:
        http: None where there is no whole answer.
        is_barred: a proxy refused to connect to the API.
        why: for people, where there is none.
    """

    http: int | None = None
    body: bytes = b""
    left: bool = True
    is_barred: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """Outcome of a submission.

    Attributes:
        prediction_id, prediction_status, prediction_model, created_at: where it was accepted, as far as it says so.
        code: of the refusal.
        said: one line for people.
        retry_after_s: what a 429 asked for, from 1 to 120, or None.
    """

    ending: Ending
    said: str
    prediction_id: str | None = None
    prediction_status: str | None = None
    prediction_model: str | None = None
    created_at: datetime | None = None
    code: int | None = None
    retry_after_s: float | None = None


def is_refusal(http: int) -> bool:
    """Tell if an HTTP status is a definite no, from any server, that is neither about the account nor about pace."""
    return 400 <= http < 500 and http not in AMBIGUOUS | ACCOUNT_REFUSALS | {BUSY, PROXY_REFUSAL}


@dataclass(frozen=True, slots=True)
class _Read:
    """An answer with what could be read in it."""

    answer: Answer
    envelope: Envelope | None
    prediction: dict[str, Any]
    prediction_id: str | None

    @property
    def http(self) -> int:
        """The status; 0 where there is no answer."""
        return self.answer.http or 0


_TABLE: tuple[tuple[Callable[[_Read], bool], Ending], ...] = (
    (lambda read: read.answer.is_barred, Ending.BARRED),
    (lambda read: not read.answer.left, Ending.UNSENT),
    (lambda read: read.answer.http is None, Ending.UNKNOWN),
    (lambda read: read.prediction_id is not None, Ending.ACCEPTED),
    (lambda read: read.http == BUSY, Ending.BUSY),
    (lambda read: read.http == PROXY_REFUSAL, Ending.BARRED),
    (lambda read: read.http in ACCOUNT_REFUSALS, Ending.STOP),
    (lambda read: is_refusal(read.http), Ending.REFUSED),
    (lambda _: True, Ending.UNKNOWN),
)
_NO = frozenset({Ending.BUSY, Ending.BARRED, Ending.STOP, Ending.REFUSED})


def classify(answer: Answer, retry_after_s: float | None = None) -> Ended:
    """Return how a submission ended, given what came back."""
    read = _read(answer)
    ending = next(ending for fits, ending in _TABLE if fits(read))
    if ending is not Ending.ACCEPTED:
        return Ended(
            ending,
            _said(read, ending),
            code=answer.http if ending in _NO else None,
            retry_after_s=retry_after_s if ending is Ending.BUSY else None,
        )
    status, model = read.prediction.get("status"), read.prediction.get("model")
    return Ended(
        ending,
        _said(read, ending),
        prediction_id=read.prediction_id,
        prediction_status=status if isinstance(status, str) and len(status) <= _MAX_STATUS_CHARS else None,
        prediction_model=model[:MAX_MODEL_CHARS] if isinstance(model, str) and model else None,
        created_at=moment_of(read.prediction.get("created_at")),
    )


def quoted(message: str) -> str:
    """Return the API's words in one short printable line."""
    return json.dumps(message[:300], ensure_ascii=True)


def words_of(body: bytes, envelope: Envelope | None) -> str:
    """Return the words of an answer for people, with a colon in front: its own, else its text; empty where it has none.

    A page of HTML is not shown: it is a gateway's, and says nothing.
    """
    if envelope is not None and envelope.message:
        return f": {quoted(envelope.message)}"
    text = body[:_MAX_TEXT_BYTES].decode("utf-8", "replace").strip()
    if envelope is not None or not text or text.startswith("<"):
        return ""
    return f": {quoted(text[:_MAX_TEXT_CHARS])}"


_MAX_TEXT_BYTES, _MAX_TEXT_CHARS = 4_096, 200


def _read(answer: Answer) -> _Read:
    envelope = read_envelope(answer.body) if answer.http is not None else None
    found = _prediction_in(answer.body) if answer.http is not None else {}
    prediction_id = found.get("id")
    is_usable = isinstance(prediction_id, str) and _ID.fullmatch(prediction_id) is not None
    return _Read(answer, envelope, found, prediction_id if is_usable else None)


def _prediction_in(body: bytes) -> dict[str, Any]:
    """Read the prediction in a body as leniently as JSON allows: faults around an id must not lose it.

    It is the `data` of the envelope, or the body itself where that is a prediction.
    """
    try:
        parsed: Any = from_json(body, allow_inf_nan=True)
    except (ValueError, RecursionError):
        return {}
    data: Any = cast("dict[str, Any]", parsed).get("data") if isinstance(parsed, dict) else None
    if isinstance(data, dict):
        return cast("dict[str, Any]", data)
    return cast("dict[str, Any]", parsed) if is_prediction(parsed) else {}


ACCOUNT_ADVICE = "Check WAVESPEED_API_KEY, its role and the account's balance."


def _said(read: _Read, ending: Ending) -> str:  # noqa: PLR0911 - one return an ending
    answer = read.answer
    words = words_of(answer.body, read.envelope)
    match ending:
        case Ending.UNSENT:
            return answer.why
        case Ending.BARRED if answer.http is None:
            return f"{answer.why}. {PROXY_ADVICE}"
        case Ending.BARRED:
            return f"submit: a proxy answered {answer.http}{words}. {PROXY_ADVICE}"
        case Ending.ACCEPTED:
            return f"accepted as {read.prediction_id}"
        case Ending.BUSY | Ending.REFUSED:
            return f"submit: WaveSpeed answered {answer.http}{words}"
        case Ending.STOP:
            return f"submit: WaveSpeed answered {answer.http}{words}. {ACCOUNT_ADVICE}"
        case Ending.UNKNOWN if answer.http is None:
            return answer.why
        case _:
            code = f" with code {read.envelope.code}" if read.envelope and read.envelope.code is not None else ""
            return f"submit: WaveSpeed answered HTTP {answer.http}{code}{words}, and no prediction id"
