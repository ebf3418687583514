"""Wire models of the API. What a take needs is required; everything else is read if possible, else left out.

Essential are the id and the status of a prediction, and an output URL of a completed one: a paid clip must not be lost
because a field beside it is odd. What cannot be read in such a field is taken as absent.

Sources: the veo2-i2v page for submit and result; WaveSpeed's documentation, its own clients and recorded replies for
the rest (marked where they are used). Nothing here was tried against the live API.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import from_json

from animatic.errors import ApiUnavailableError
from animatic.takes.states import LARGEST_MS, PREDICTION_ID
from animatic.wavespeed.json_values import (
    MAX_ERROR_CHARS,
    flag_in,
    moment_of,
    number_in,
    object_in,
    text_in,
    url_in,
    whole_in,
)

MAX_OUTPUTS = 64
MAX_MODEL_CHARS = 200
FINAL_STATUSES = frozenset({"completed", "failed", "cancelled", "timeout", "deleted"})
"""Source of all but the first two: WaveSpeed's own clients."""
PredictionId = Annotated[StrictStr, Field(pattern=rf"^{PREDICTION_ID}$")]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


T = TypeVar("T", bound=_Wire)
SUCCESS_CODES = frozenset({0, 200})
"""Codes of an envelope that mean success. Source of 0: a recorded reply."""


class Envelope(_Wire):
    """The wrapping of every answer.

    Attributes:
        code: 200 or 0 mean success; None where there is none that can be read.
        message: the API's own words, from `message`, `error` or `detail`, whichever form they have.
    """

    code: int | None = None
    message: str = ""
    data: Any = None

    @model_validator(mode="before")
    @classmethod
    def _of_any_form(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("not an object")  # noqa: TRY004 - pydantic turns it into its own error
        fields = cast("dict[str, Any]", value)
        return {"code": whole_in(fields.get("code")), "message": words_in(fields), "data": fields.get("data")}

    @property
    def is_success(self) -> bool:
        """True if it says so, or holds data and does not say otherwise."""
        return self.code in SUCCESS_CODES or (self.code is None and self.data is not None)


class Timings(_Wire):
    """Times of a prediction; `inference` in milliseconds, rounded."""

    inference: int | None = None

    @field_validator("inference", mode="before")
    @classmethod
    def _rounded(cls, value: Any) -> int | None:
        number = number_in(value)
        return round(number) if number is not None and 0 <= number <= LARGEST_MS else None


class Prediction(_Wire):
    """A job of the API.

    Attributes:
        outputs: URLs, in order; empty until it is completed.
        has_nsfw_contents: one flag for each output, normally; None where the API did not judge, as a whole or one.
        code: why it failed, where known.
        inputs: what was submitted, where the reply echoes it (on no page any more; seen in recorded replies).
    """

    id: PredictionId
    model: str = ""
    status: Annotated[StrictStr, Field(min_length=1, max_length=64)]
    outputs: tuple[str, ...] = ()
    has_nsfw_contents: tuple[bool | None, ...] | None = None
    created_at: datetime | None = None
    error: str = ""
    code: int | None = None
    timings: Timings = Timings()
    inputs: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _inputs_by_either_name(cls, value: Any) -> Any:
        """Accept `inputs` (of the list) and `input` (of a result). If one of them is null, the other counts."""
        if not isinstance(value, dict):
            return value
        fields = cast("dict[str, Any]", value)
        found = next((fields[name] for name in ("inputs", "input") if isinstance(fields.get(name), dict)), None)
        outputs = {"outputs": fields["output"]} if "outputs" not in fields and "output" in fields else {}
        return fields | outputs | {"inputs": found}

    @field_validator("outputs", mode="before")
    @classmethod
    def _urls(cls, value: Any, info: ValidationInfo) -> tuple[str, ...]:
        """URLs, as text or as objects with a `url`. What a completed one has there is never read as "no outputs"."""
        found = cast("list[Any]", value) if isinstance(value, list | tuple) else [value]
        items = [item for item in found if item is not None and item != ""]
        urls = tuple(url for url in map(url_in, items[:MAX_OUTPUTS]) if url is not None)
        if (len(items) > MAX_OUTPUTS or (items and not urls)) and info.data.get("status") == "completed":
            raise ValueError("no URL in it")
        return urls

    @field_validator("has_nsfw_contents", mode="before")
    @classmethod
    def _flags(cls, value: Any) -> tuple[bool | None, ...] | None:
        if isinstance(value, bool):
            value = [value]
        if not isinstance(value, list | tuple):
            return None
        return tuple(flag_in(item) for item in cast("list[Any]", value)[:MAX_OUTPUTS])

    @field_validator("created_at", mode="before")
    @classmethod
    def _moment(cls, value: Any) -> datetime | None:
        return moment_of(value)

    @field_validator("error", mode="before")
    @classmethod
    def _error_as_text(cls, value: Any) -> str:
        return text_in(value)[:MAX_ERROR_CHARS]

    @field_validator("code", mode="before")
    @classmethod
    def _code_as_number(cls, value: Any) -> int | None:
        return whole_in(value)

    @field_validator("model", mode="before")
    @classmethod
    def _model_as_text(cls, value: Any) -> str:
        return value[:MAX_MODEL_CHARS] if isinstance(value, str) else ""

    @field_validator("timings", mode="before")
    @classmethod
    def _timings_if_any(cls, value: Any) -> Any:
        return value if isinstance(value, dict | Timings) else {}

    @property
    def is_final(self) -> bool:
        """True if the API will not change it any more. A code does not end it: 5004 comes beside `processing` too."""
        return self.status in FINAL_STATUSES


class ListedPrediction(Prediction):
    """A prediction in the account's list. Only its id is essential: what is listed exists, whatever state it is in."""

    status: str = ""
    outputs: tuple[str, ...] = ()

    @field_validator("status", mode="before")
    @classmethod
    def _any_status(cls, value: Any) -> str:
        return value[:64] if isinstance(value, str) else ""

    @field_validator("outputs", mode="before")
    @classmethod
    def _not_read(cls, _: Any) -> tuple[str, ...]:
        return ()


class PredictionPage(_Wire):
    """One page of the list, newest first.

    Attributes:
        items: those that can be read.
        unreadable: how many could not, and may be anybody's; 1 for a page whose `items` are null.
        total: how many there are on all pages, where the list says so.
        has_more: whether the list says that there are more pages.
    """

    items: tuple[ListedPrediction, ...]
    unreadable: int = 0
    total: int | None = None
    has_more: bool = False

    @model_validator(mode="before")
    @classmethod
    def _item_by_item(cls, value: Any) -> Any:
        """Without `items` it is no page: an empty one would prove absence."""
        if not isinstance(value, dict) or "items" not in value:
            raise ValueError("no items")
        fields = cast("dict[str, Any]", value)
        items: Any = fields["items"]
        if items is not None and not isinstance(items, list):
            raise ValueError("items: not a list")
        read = [_item(item) for item in cast("list[Any]", items or [])]
        total = whole_in(fields.get("total", fields.get("total_count")))
        return {
            "has_more": fields.get("has_more") is True,
            "items": tuple(item for item in read if item is not None),
            "unreadable": 1 if items is None else sum(item is None for item in read),
            "total": total if total is not None and total >= 0 else None,
        }


def _item(value: Any) -> ListedPrediction | None:
    try:
        return ListedPrediction.model_validate(value)
    except (ValidationError, RecursionError):
        return None


class Charge(_Wire):
    """One item of the bill.

    Source: WaveSpeed's page on searching billings; not tried live. A prediction that waits is charged already.

    Attributes:
        billing_type: `deduct` or `refund`.
        price_usd: as a number of the bill's own; the sign of a refund is not documented.
        order_state: `pre` or `done`.
        status: of its prediction, as the bill has it.
    """

    uuid: str = ""
    billing_type: str = "deduct"
    price_usd: float | None = None
    created_at: datetime | None = None
    order_state: str = ""
    prediction_id: str | None = None
    model: str = ""
    status: str = ""

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("not an object")  # noqa: TRY004 - pydantic turns it into its own error
        fields = cast("dict[str, Any]", value)
        prediction, order = object_in(fields.get("prediction")), object_in(fields.get("order"))
        found = prediction.get("uuid")
        is_id = isinstance(found, str) and re.fullmatch(PREDICTION_ID, found) is not None
        return {
            "uuid": text_in(fields.get("uuid"))[:200],
            "billing_type": text_in(fields.get("billing_type"))[:64].strip().lower() or "deduct",
            "price_usd": number_in(fields.get("price")),
            "created_at": moment_of(fields.get("created_at")),
            "order_state": text_in(order.get("state"))[:64],
            "prediction_id": found if is_id else None,
            "model": text_in(prediction.get("model_uuid"))[:MAX_MODEL_CHARS],
            "status": text_in(prediction.get("status"))[:64],
        }


class ChargePage(_Wire):
    """One page of the bill; as `PredictionPage`."""

    items: tuple[Charge, ...]
    unreadable: int = 0
    total: int | None = None
    has_more: bool = False

    @model_validator(mode="before")
    @classmethod
    def _item_by_item(cls, value: Any) -> Any:
        items: Any = value.get("items", "") if isinstance(value, dict) else ""
        if items is not None and not isinstance(items, list):
            raise ValueError("no items")
        charges: list[Charge] = []
        for item in cast("list[Any]", items or []):
            try:
                charges.append(Charge.model_validate(item))
            except (ValidationError, RecursionError):
                continue
        fields = cast("dict[str, Any]", value)
        total = whole_in(fields.get("total"))
        return {
            "items": tuple(charges),
            "unreadable": 1 if items is None else len(items) - len(charges),
            "total": total if total is not None and total >= 0 else None,
            "has_more": fields.get("has_more") is True,
        }


class Usage(_Wire):
    """Sum of a span, by WaveSpeed's usage statistics. It is not documented whether a refund lowers it."""

    total_usd: Annotated[float, Field(ge=-1e9, le=1e12)]

    @model_validator(mode="before")
    @classmethod
    def _of_summary(cls, value: Any) -> Any:
        return {"total_usd": number_in(object_in(object_in(value).get("summary")).get("total_cost"))}


class Balance(_Wire):
    """Balance of the account, in USD; may be negative."""

    balance: Annotated[float, Field(ge=-1e9, le=1e12)]


class Upload(_Wire):
    """Uploaded file, and its URL for 7 days."""

    download_url: Annotated[StrictStr, Field(max_length=2_083)]


def read_envelope(body: bytes) -> Envelope | None:
    """Return the envelope in a body, or None if there is none (a gateway's page, half a reply, NaN, nesting bombs)."""
    try:
        return Envelope.model_validate(from_json(body, allow_inf_nan=True))
    except (ValueError, RecursionError):
        return None


def read_body(body: bytes) -> Any:
    """Return the JSON in a body, or None."""
    try:
        return from_json(body, allow_inf_nan=True)
    except (ValueError, RecursionError):
        return None


def is_prediction(value: Any) -> bool:
    """Tell if an object is a prediction without its envelope: it has an id and a status as text."""
    fields = object_in(value)
    return isinstance(fields.get("id"), str) and isinstance(fields.get("status"), str)


def words_in(fields: Mapping[str, Any]) -> str:
    """Return the API's own words in a body, from `message`, `error` or `detail`; empty if there are none.

    Source of the other two: WaveSpeed's page on base64 outputs, and its clients.
    """
    names = ("message", "error", "detail", "msg", "errors")
    return next((said for said in (text_in(fields.get(name)) for name in names) if said), "")


def read_data(model: type[T], data: Any, *, what: str) -> T:
    """Return the `data` of an envelope as `model`.

    Raises:
        ApiUnavailableError: it is something else; the message names the fields, never their values.
    """
    try:
        return model.model_validate(data)
    except (ValidationError, RecursionError) as error:
        faults = error.errors() if isinstance(error, ValidationError) else []
        fields = ", ".join(".".join(str(part) for part in fault["loc"]) or "data" for fault in faults[:5]) or "data"
        raise ApiUnavailableError(f"{what}: WaveSpeed answered something unexpected in: {fields}") from None
