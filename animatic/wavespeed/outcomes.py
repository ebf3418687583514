"""Every outcome of a submission, in one table. Pure: what came back is the input, what it means comes out.

    | what came back                                         | outcome        | bought?    | goes again by itself |
    | ------------------------------------------------------ | -------------- | ---------- | -------------------- |
    | nothing: no byte of the request left                   | Unsent         | no         | yes, with back-off   |
    | nothing: a proxy refused to connect to the API         | ProxyRefused   | no         | no; the run stops    |
    | no whole answer: time-out, reset, too long, cut off    | Unknown        | not known  | never                |
    | an answer that holds a usable prediction id            | Accepted       | yes        | never                |
    | HTTP 429                                               | Busy           | no         | yes, all wait        |
    | HTTP 407                                               | ProxyRefused   | no         | no; the run stops    |
    | HTTP 401, 402, 403                                     | AccountRefused | no         | no; the run stops    |
    | every other 4xx but 408, 409, 425 and 499              | Refused        | no         | no                   |
    | anything else: 3xx, those four, 5xx, 2xx without an id | Unknown        | not known  | never                |

The first row that fits decides. A definite refusal is a refusal whatever its body: JSON of any form, text, a page of
HTML. An id counts wherever the API's own place for it holds one, whatever the codes around it say: a 500 that names a
prediction has made one. A code inside an HTTP 200 proves nothing. 408, 409, 425 and 499 can come from something in
between that has passed the request on. That 429 and other 4xx buy nothing is WaveSpeed's documented meaning of them:
its page on errors calls only a lost reply and 5xx ambiguous. Not tried live.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from pydantic_core import from_json

from animatic.takes.states import PREDICTION_ID, Accepted, State
from animatic.wavespeed.json_values import moment_of
from animatic.wavespeed.replies import Reply
from animatic.wavespeed.wire import MAX_MODEL_CHARS, Envelope, is_prediction, read_envelope
from animatic.web.network import PROXY_ADVICE, PROXY_REFUSAL

ACCOUNT_REFUSALS = frozenset({401, 402, 403})
AMBIGUOUS = frozenset({408, 409, 425, 499})
BUSY = 429
UNSENT, LOST = "unsent", "lost"
"""Outcomes of requests without a whole answer, in metrics: no byte of it left, or it may have been received."""

ACCOUNT_ADVICE = "Check WAVESPEED_API_KEY, its role and the account's balance."

_ID = re.compile(PREDICTION_ID)
_MAX_STATUS_CHARS = 64


@dataclass(frozen=True, slots=True)
class NoReply:
    """Failure to get a whole reply to a submission.

    Attributes:
        why: for people.
        has_left: False only if no byte of the request left.
        is_by_proxy: a proxy refused to connect to the API, so that nothing left.
    """

    why: str
    has_left: bool = True
    is_by_proxy: bool = False


@dataclass(frozen=True, slots=True)
class NotAccepted:
    """Outcome without a prediction.

    Attributes:
        message: one line for people.
        code: HTTP status of a refusal.
        state: state of the attempt after it. What was turned away unread is `unsent`: the take is planned again.
    """

    message: str
    code: int | None = None
    state: ClassVar[State] = State.UNSENT


@dataclass(frozen=True, slots=True)
class Unsent(NotAccepted):
    """Nothing left this machine."""


@dataclass(frozen=True, slots=True)
class Busy(NotAccepted):
    """More starts than the account allows; the API asked for a wait of `retry_after_s`, from 1 to 120, or None."""

    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class ProxyRefused(NotAccepted):
    """A proxy does not let us through to the API."""


@dataclass(frozen=True, slots=True)
class AccountRefused(NotAccepted):
    """The key or the account was refused, not this request."""


@dataclass(frozen=True, slots=True)
class Refused(NotAccepted):
    """The API refused this request."""

    state: ClassVar[State] = State.REJECTED


@dataclass(frozen=True, slots=True)
class Unknown(NotAccepted):
    """Nothing proves whether the API accepted it."""

    state: ClassVar[State] = State.UNKNOWN


Outcome = Accepted | Unsent | Busy | ProxyRefused | AccountRefused | Refused | Unknown


def is_refusal(http: int) -> bool:
    """Tell if an HTTP status is a definite no, from any server, that is neither about the account nor about pace."""
    return 400 <= http < 500 and http not in AMBIGUOUS | ACCOUNT_REFUSALS | {BUSY, PROXY_REFUSAL}


def class_of(http: int) -> str:
    """Return the outcome of a request in metrics, given the HTTP status: `ok`, `busy`, `refused` or `failed`."""
    if http == BUSY:
        return "busy"
    if 400 <= http < 500:
        return "refused"
    return "ok" if http < 300 else "failed"


def classify(reply: Reply | NoReply) -> Outcome:  # noqa: PLR0911 - one return a row of the table
    """Return the outcome of a submission, given what came back: the table above, row by row."""
    if isinstance(reply, NoReply):
        return _without_reply(reply)
    accepted = _accepted_in(reply.body)
    if accepted is not None:
        return accepted
    http, envelope = reply.status, read_envelope(reply.body)
    words = words_of(reply.body, envelope)
    if http == PROXY_REFUSAL:
        return ProxyRefused(f"submit: a proxy answered {http}{words}. {PROXY_ADVICE}", http)
    refusal = f"submit: WaveSpeed answered {http}{words}"
    if http == BUSY:
        return Busy(refusal, http, reply.retry_after_s)
    if http in ACCOUNT_REFUSALS:
        return AccountRefused(f"{refusal}. {ACCOUNT_ADVICE}", http)
    if is_refusal(http):
        return Refused(refusal, http)
    code = f" with code {envelope.code}" if envelope is not None and envelope.code is not None else ""
    return Unknown(f"submit: WaveSpeed answered HTTP {http}{code}{words}, and no prediction id")


def _without_reply(failure: NoReply) -> ProxyRefused | Unsent | Unknown:
    if failure.is_by_proxy:
        return ProxyRefused(f"{failure.why}. {PROXY_ADVICE}")
    return Unknown(failure.why) if failure.has_left else Unsent(failure.why)


def _accepted_in(body: bytes) -> Accepted | None:
    """Read what an answer says of a prediction, if it holds a usable id: faults around an id must not lose it."""
    found = _prediction_in(body)
    prediction_id, status, model = found.get("id"), found.get("status"), found.get("model")
    if not isinstance(prediction_id, str) or not _ID.fullmatch(prediction_id):
        return None
    return Accepted(
        prediction_id,
        status=status if isinstance(status, str) and len(status) <= _MAX_STATUS_CHARS else None,
        model=model[:MAX_MODEL_CHARS] if isinstance(model, str) and model else None,
        created_at=moment_of(found.get("created_at")),
    )


def _prediction_in(body: bytes) -> dict[str, Any]:
    """Read the prediction in a body as leniently as JSON allows; empty where there is none.

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
