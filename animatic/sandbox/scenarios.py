"""Scenarios of a submission, as named values.

Asked for by a token in the prompt, `[sandbox:NAME]` or `[sandbox:NAME=VALUE]` (the first one counts), or set in the
configuration as the default or for the n-th submission.

    | name                 | what happens                                                           | value            |
    | -------------------- | ---------------------------------------------------------------------- | ---------------- |
    | ok                   | accepted, works, completes with one output                             |                  |
    | slow                 | the same, ten times as long                                            | seconds          |
    | nsfw                 | completes, its output flagged                                          |                  |
    | fails                | fails, `data.code` 5000                                                | another code     |
    | moderated            | fails, 1200                                                            |                  |
    | unreachable          | fails, 1402: the image cannot be had                                   |                  |
    | cancelled, timeout,  | ends with that status                                                  |                  |
    | deleted              |                                                                        |                  |
    | stuck                | never final                                                            |                  |
    | unknown-status       | says `hibernating` while it works, then completes                      | forever          |
    | empty                | completes without outputs                                              |                  |
    | mismatch             | completes with one output and no flag                                  | number of flags  |
    | busy                 | 429 with Retry-After for the first 2 submissions of the prompt         | how many         |
    | rejects              | 400; nothing accepted                                                  |                  |
    | unauthorised, unpaid,| 401, 403, 402; nothing accepted                                        |                  |
    | payment-required     |                                                                        |                  |
    | server-error         | 500; nothing accepted                                                  |                  |
    | server-error-billed  | accepted, then 500                                                     |                  |
    | reset-before         | the connection is cut; nothing accepted                                |                  |
    | lost-reply           | accepted, then the connection is cut without a reply                   |                  |
    | conflict,            | 409, 408; nothing accepted                                             | billed           |
    | request-timeout      |                                                                        |                  |
    | bad-gateway          | 502 with a page of HTML; nothing accepted                              | billed           |
    | retry-after          | 429 for the first submission of the prompt, with this Retry-After      | the header       |
    | server-error-with-id | accepted, then 500 around the data with the id                         |                  |
    | same-id              | accepted, but the reply has the id of the prediction before it         |                  |
    | late-accept          | the connection is cut, and it is accepted 2 s later                    | seconds          |
    | list-late            | accepted without a reply, and in the list only 2 s later               | seconds          |
    | redirect             | 302 to another host; nothing accepted                                  | its URL          |
    | bad-id               | accepted, but the reply's id is no id                                  | the id           |
    | foreign-get          | accepted; `urls.get` points to another host                            | its URL          |
    | not-found            | each look is a 404 for the first 2 s after it was accepted             | seconds          |
    | unavailable          | each look is a 503                                                     | looks            |
    | poll-busy            | each look is a 429 with Retry-After                                    | looks            |
    | garbage              | each look is HTML with status 200                                      | looks            |
    | null-data            | each look has `data: null`                                             | looks            |
    | code-500-in-200      | each look is an HTTP 200 whose envelope says 500                       | looks            |
    | drip                 | each look sends its body a byte at a time, for ever                    | looks            |
    | huge                 | each look is 10 MB                                                     | looks            |
    | bad-types            | completes with wrong types all over `data`                             | submit           |
    | nan                  | completes with NaN for `timings.inference`                             | submit           |
    | half                 | each look is half of its JSON                                          | looks            |
    | cut-short            | each look breaks off in the middle of its body                         | looks            |
    | deep                 | each look is JSON nested 100,000 deep                                  | looks            |
    | flaps                | each look shows the next of these statuses; the last one stays         | statuses         |
    | key-echo             | fails, and its error holds the caller's key                            | escaped          |
    | control-characters   | fails, and its error holds characters that steer a terminal            |                  |
    | recorded             | all its replies have the form of recorded exchanges (`--shape`)        |                  |
    | error-only           | 400 with `{"error": ...}` and no envelope; nothing accepted            | HTTP status      |
    | message-only         | the same with `{"message": ...}`                                       | HTTP status      |
    | detail               | 422 with `{"detail": [...]}`; nothing accepted                         | HTTP status      |
    | code-as-text         | 400 in an envelope whose code is text; nothing accepted                | HTTP status      |
    | text-refusal         | 401 with a line of text; nothing accepted                              | HTTP status      |
    | float-timings        | completes with fractions in `timings`                                  | submit           |
    | null-flags           | completes with null for each flag                                      | submit           |
    | null-fields          | completes with null or empty text in all optional fields              | submit           |
    | object-outputs       | completes with outputs that are objects with a `url`                   | submit           |
    | text-output          | completes with outputs that are one text                               | submit           |
    | foreign-output       | completes with an output on another host                               | its URL          |
    | sync-timeout         | in sync mode, the reply gives up at once                               | seconds          |
    | expired-clip         | each download of its clip is a 410                                     | downloads        |
    | cut-clip             | each download breaks off half-way                                      | downloads        |
    | stalled-clip         | each download stops half-way, and the connection stays open            | downloads        |
    | short-clip           | each download is one byte shorter than its `Content-Length` says       | downloads        |
    | endless-clip         | each download goes on for 8 GiB, without a length                      | downloads        |
    | html-clip            | each download is a page of HTML with status 200                        | downloads        |
    | moved-clip           | each download is a 302 to another host                                 | its URL          |
    | black-video          | its clip is black for a fifth of its time                              |                  |
    | frozen-video         | its clip stands still after a third                                    |                  |
    | cut-video            | its clip cuts to another picture half-way                              |                  |
    | other-video          | its clip does not begin with the still: it is upside down              |                  |
    | shorter-video        | its clip is a third shorter than asked                                 |                  |
    | small-video          | its clip has half the width and half the height                        |                  |
    | square-video         | its clip is square                                                     |                  |
    | broken-video         | a third of its clip is noise instead of coded pictures                 |                  |

Where the value is "downloads", a number limits the fault to that many first downloads of each output.
With the value `billed` the submission is accepted before that reply. Where the value is "looks", a number limits the
fault to that many first looks at the result, and `submit` puts it on the reply to the (accepted) submission instead.
To add a scenario: one entry in `SCENARIOS` and one line above.
"""

import enum
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from animatic.sandbox.lifecycle import COMPLETED, FAILED

Data = dict[str, Any]
KEY_PLACE = "sandbox: no such key as {key}"
"""The error text in which `{key}` stands for the caller's key."""

# The value is printable ASCII without `]`: it ends up in headers and bodies.
_TOKEN = re.compile(r"\[sandbox:([a-z0-9-]+)(?:=([\x20-\x5c\x5e-\x7e]*))?\]")


class ScenarioError(ValueError):
    """A scenario that does not exist, or a value that it cannot take; `str()` says which, and what is allowed."""


class Trick(enum.Enum):
    """A reply that is not an answer."""

    CUT = "the connection ends without a reply"
    REDIRECT = "302 to the value"
    GARBAGE = "not JSON"
    NULL_DATA = "data is null"
    CODE_500 = "an error inside an HTTP 200"
    DRIP = "slower than any deadline"
    HUGE = "10 MB"
    HALF = "the first half of the JSON"
    CUT_SHORT = "a body that breaks off"
    DEEP = "JSON nested 100,000 deep"
    GATEWAY = "502 with HTML"
    WITH_ID = "500 around the data"
    BUSY = "429 with the value as Retry-After"
    ERROR_ONLY = "an error reply whose body has only `error`"
    MESSAGE_ONLY = "an error reply whose body has only `message`"
    DETAIL = "an error reply whose body has only `detail`"
    CODE_AS_TEXT = "an error reply whose code is text"
    TEXT = "an error reply in plain text"


class ClipFault(enum.Enum):
    """A download that is not the clip."""

    EXPIRED = "410"
    CUT = "the first half, and the connection ends"
    STALLED = "the first half, and the connection stays open"
    SHORT = "one byte less than announced"
    ENDLESS = "8 GiB without a length"
    PAGE = "HTML"
    MOVED = "302 to the value"


class ClipDamage(enum.Enum):
    """A clip that came whole, and is not what was asked for."""

    BLACK = "black for a while"
    FROZEN = "still from some moment on"
    CUT = "another picture from half-way on"
    OTHER = "another picture from the beginning"
    SHORTER = "shorter"
    SMALL = "half as wide and high"
    SQUARE = "square"
    BROKEN = "noise for coded pictures"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An honest error reply, with this HTTP status in its envelope."""

    http: int
    message: str


Reply = Trick | Refusal


class Takes(enum.Enum):
    """Kind of value that may follow a scenario's name."""

    NOTHING = "no value"
    NUMBER = "a number, 0 or more"
    LOOKS = 'a whole number of looks, or "submit"'
    DOWNLOADS = "a whole number of downloads"
    SUBMIT = '"submit"'
    FOREVER = '"forever"'
    BILLED = '"billed"'
    ESCAPED = '"escaped"'
    HTTP = "an HTTP status from 400 to 599"
    TEXT = "any text"

    def allows(self, value: str) -> bool:
        """Tell if a value is of this kind."""
        match self:
            case Takes.NOTHING:
                return not value
            case Takes.NUMBER:
                return _is_number(value)
            case Takes.HTTP:
                return re.fullmatch(r"[45]\d\d", value, re.ASCII) is not None
            case Takes.LOOKS | Takes.DOWNLOADS:
                return (value.isascii() and value.isdigit()) or (self is Takes.LOOKS and value == "submit")
            case Takes.SUBMIT | Takes.FOREVER | Takes.BILLED | Takes.ESCAPED:
                return value == self.name.lower()
            case Takes.TEXT:
                return True


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table.

    Attributes:
        takes: what its value may be; `default` stands in where there is none.
        before: instead of accepting it.
        after: instead of the reply, once accepted.
        look: instead of the answer to a look at its result.
        alters: changes the data of a completed result (with the value `submit`: of the submission's reply).
        ends_as: the final status; empty: never final.
        says: the status shown instead of `processing`.
        code, error: of a failed prediction.
        slowdown: factor on the latency.
        outputs: how many clips it gives.
        clip: instead of each download of a clip.
        damage: that its clips have.
    """

    takes: Takes = Takes.NOTHING
    default: str = ""
    before: Reply | None = None
    after: Reply | None = None
    look: Reply | None = None
    alters: Callable[[Data, str], Data] | None = None
    ends_as: str = COMPLETED
    says: str = ""
    code: int = 0
    error: str = ""
    slowdown: float = 1.0
    outputs: int = 1
    clip: ClipFault | None = None
    damage: ClipDamage | None = None


@dataclass(frozen=True, slots=True)
class ScenarioRequest:
    """A scenario and its value, as a submission asked for it."""

    name: str
    value: str
    scenario: Scenario

    def __str__(self) -> str:
        return f"{self.name}={self.value}" if self.value else self.name

    @property
    def number(self) -> float:
        """The value (or its default) as a number; infinity where there is none."""
        text = self.value or self.scenario.default
        return float(text) if _is_number(text) else math.inf

    @property
    def is_for_the_submission(self) -> bool:
        """True if a fault of the polls is put on the submission's reply instead."""
        return self.value == "submit" or self.name in {"bad-id", "foreign-get"}

    @property
    def is_refused(self) -> bool:
        """True if its reply comes instead of accepting it."""
        return self.scenario.before is not None and self.value != "billed"

    def status_at_look(self, looks: int, status: str) -> str:
        """Return the status that a poll shows, counted from 1, given the true one."""
        if self.name != "flaps":
            return status
        scripted = (self.value or self.scenario.default).split(",")
        return scripted[min(looks, len(scripted)) - 1]

    def latency_s(self, drawn_s: float) -> float:
        """Seconds of work, given what was drawn."""
        if self.name == "slow" and self.value:
            return self.number
        return drawn_s * self.scenario.slowdown

    @property
    def error_code(self) -> int:
        """The `data.code` of its failure; 0 where it does not fail with one."""
        return int(self.number) if self.scenario.code and _is_number(self.value) else self.scenario.code


def asked_in(prompt: str) -> str | None:
    """Return the text of the first token in a prompt, `NAME` or `NAME=VALUE`, or None."""
    found = _TOKEN.search(prompt)
    if found is None:
        return None
    name, value = found.groups()
    return f"{name}={value}" if value else name


def read_scenario(text: str) -> ScenarioRequest:
    """Return the scenario that `NAME` or `NAME=VALUE` asks for; raises ScenarioError."""
    name, _, value = text.partition("=")
    scenario = SCENARIOS.get(name)
    if scenario is None:
        raise ScenarioError(f'found "{name}"; allowed: {", ".join(SCENARIOS)}')
    if value and not scenario.takes.allows(value):
        raise ScenarioError(f'"{name}": found the value "{value}"; allowed: {scenario.takes.value}')
    return ScenarioRequest(name, value, scenario)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII) is not None


def _bad_types(data: Data, _: str) -> Data:
    wrong = {
        "outputs": "clip.mp4",
        "has_nsfw_contents": "no",
        "created_at": 5,
        "error": 17,
        "timings": {"inference": "soon"},
    }
    return data | wrong


def _nan(data: Data, _: str) -> Data:
    return data | {"timings": {"inference": math.nan}}


def _flagged(data: Data, _: str) -> Data:
    return data | {"has_nsfw_contents": [True for _ in data["outputs"]]}


def _flag_count(data: Data, value: str) -> Data:
    return data | {"has_nsfw_contents": [False] * min(int(float(value)), 1_000)}


def _bad_id(data: Data, value: str) -> Data:
    return data | {"id": value}


def _foreign_get(data: Data, value: str) -> Data:
    return data | {"urls": {"get": value}}


def _float_timings(data: Data, _: str) -> Data:
    timings = {"inference": data["timings"]["inference"] + 0.5, "queue": 12.25}
    return data | {"timings": timings, "executionTime": timings["inference"]}


def _null_flags(data: Data, _: str) -> Data:
    return data | {"has_nsfw_contents": [None for _ in data["outputs"]]}


def _null_fields(data: Data, _: str) -> Data:
    nothing = dict.fromkeys(("model", "urls", "has_nsfw_contents", "error", "timings"))
    return data | nothing | {"created_at": ""}


def _foreign_output(data: Data, value: str) -> Data:
    return data | {"outputs": [value]} if data["outputs"] else data


def _object_outputs(data: Data, _: str) -> Data:
    return data | {"outputs": [{"url": url} for url in data["outputs"]]}


def _text_output(data: Data, _: str) -> Data:
    return data | {"outputs": "".join(data["outputs"][:1])}


def _refused(trick: Trick, http: int) -> Scenario:
    return Scenario(Takes.HTTP, default=str(http), before=trick)


def _ends(status: str) -> Scenario:
    return Scenario(ends_as=status, error=f"sandbox: this prediction ends as {status}", outputs=0)


def _fails(code: int, error: str, takes: Takes = Takes.NOTHING) -> Scenario:
    return Scenario(takes, ends_as=FAILED, code=code, error=error, outputs=0)


def _polls(reply: Reply) -> Scenario:
    return Scenario(Takes.LOOKS, look=reply)


def _clips(fault: ClipFault) -> Scenario:
    return Scenario(Takes.DOWNLOADS, clip=fault)


SCENARIOS: Mapping[str, Scenario] = {
    "ok": Scenario(),
    "slow": Scenario(Takes.NUMBER, slowdown=10.0),
    "nsfw": Scenario(alters=_flagged),
    "fails": _fails(5000, "sandbox: the model failed on its side", Takes.NUMBER),
    "moderated": _fails(1200, "sandbox: the content was refused by moderation"),
    "unreachable": _fails(1402, "sandbox: the image could not be fetched from its URL"),
    "cancelled": _ends("cancelled"),
    "timeout": _ends("timeout"),
    "deleted": _ends("deleted"),
    "stuck": Scenario(ends_as="", outputs=0),
    "unknown-status": Scenario(Takes.FOREVER, says="hibernating"),
    "empty": Scenario(outputs=0),
    "mismatch": Scenario(Takes.NUMBER, default="0", alters=_flag_count),
    "busy": Scenario(Takes.NUMBER, default="2", before=Refusal(429, "sandbox: busy, come again")),
    "rejects": Scenario(before=Refusal(400, "sandbox: these inputs are refused")),
    "unauthorised": Scenario(before=Refusal(401, "sandbox: invalid authentication")),
    "unpaid": Scenario(before=Refusal(403, "sandbox: insufficient balance")),
    "payment-required": Scenario(before=Refusal(402, "sandbox: insufficient credits")),
    "server-error": Scenario(before=Refusal(500, "sandbox: server error before accepting")),
    "server-error-billed": Scenario(after=Refusal(500, "sandbox: server error after accepting")),
    "reset-before": Scenario(before=Trick.CUT),
    "lost-reply": Scenario(after=Trick.CUT),
    "conflict": Scenario(Takes.BILLED, before=Refusal(409, "sandbox: conflict")),
    "request-timeout": Scenario(Takes.BILLED, before=Refusal(408, "sandbox: request time-out")),
    "bad-gateway": Scenario(Takes.BILLED, before=Trick.GATEWAY),
    "retry-after": Scenario(Takes.TEXT, default="1", before=Trick.BUSY),
    "server-error-with-id": Scenario(after=Trick.WITH_ID),
    "same-id": Scenario(),
    "late-accept": Scenario(Takes.NUMBER, default="2", before=Trick.CUT),
    "list-late": Scenario(Takes.NUMBER, default="2", after=Trick.CUT),
    "redirect": Scenario(Takes.TEXT, default="https://elsewhere.invalid/api/v3/predictions", before=Trick.REDIRECT),
    "bad-id": Scenario(Takes.TEXT, default="../../balance", alters=_bad_id),
    "foreign-get": Scenario(Takes.TEXT, default="https://elsewhere.invalid/result", alters=_foreign_get),
    "not-found": Scenario(Takes.NUMBER, default="2", look=Refusal(404, "sandbox: no such prediction yet")),
    "unavailable": _polls(Refusal(503, "sandbox: unavailable for a moment")),
    "poll-busy": _polls(Refusal(429, "sandbox: too many looks")),
    "garbage": _polls(Trick.GARBAGE),
    "null-data": _polls(Trick.NULL_DATA),
    "code-500-in-200": _polls(Trick.CODE_500),
    "drip": _polls(Trick.DRIP),
    "huge": _polls(Trick.HUGE),
    "half": _polls(Trick.HALF),
    "cut-short": _polls(Trick.CUT_SHORT),
    "deep": _polls(Trick.DEEP),
    "flaps": Scenario(Takes.TEXT, default="created,processing,created,Processing,completed"),
    "key-echo": Scenario(Takes.ESCAPED, ends_as=FAILED, code=1400, error=KEY_PLACE, outputs=0),
    "control-characters": _fails(1400, "sandbox: \x1b[31mred\x1b]0;title\x07\r\x9b2J \u202egpj.exe"),
    "bad-types": Scenario(Takes.SUBMIT, alters=_bad_types),
    "nan": Scenario(Takes.SUBMIT, alters=_nan),
    "recorded": Scenario(),
    "error-only": _refused(Trick.ERROR_ONLY, 400),
    "message-only": _refused(Trick.MESSAGE_ONLY, 400),
    "detail": _refused(Trick.DETAIL, 422),
    "code-as-text": _refused(Trick.CODE_AS_TEXT, 400),
    "text-refusal": _refused(Trick.TEXT, 401),
    "float-timings": Scenario(Takes.SUBMIT, alters=_float_timings),
    "null-flags": Scenario(Takes.SUBMIT, alters=_null_flags),
    "null-fields": Scenario(Takes.SUBMIT, alters=_null_fields),
    "object-outputs": Scenario(Takes.SUBMIT, alters=_object_outputs),
    "text-output": Scenario(Takes.SUBMIT, alters=_text_output),
    "foreign-output": Scenario(Takes.TEXT, default="https://10.0.0.1/clip.mp4", alters=_foreign_output),
    "sync-timeout": Scenario(Takes.NUMBER, default="0"),
    "expired-clip": _clips(ClipFault.EXPIRED),
    "cut-clip": _clips(ClipFault.CUT),
    "stalled-clip": _clips(ClipFault.STALLED),
    "short-clip": _clips(ClipFault.SHORT),
    "endless-clip": _clips(ClipFault.ENDLESS),
    "html-clip": _clips(ClipFault.PAGE),
    "moved-clip": Scenario(Takes.TEXT, default="https://elsewhere.invalid/clip.mp4", clip=ClipFault.MOVED),
    "black-video": Scenario(damage=ClipDamage.BLACK),
    "frozen-video": Scenario(damage=ClipDamage.FROZEN),
    "cut-video": Scenario(damage=ClipDamage.CUT),
    "other-video": Scenario(damage=ClipDamage.OTHER),
    "shorter-video": Scenario(damage=ClipDamage.SHORTER),
    "small-video": Scenario(damage=ClipDamage.SMALL),
    "square-video": Scenario(damage=ClipDamage.SQUARE),
    "broken-video": Scenario(damage=ClipDamage.BROKEN),
}
