"""What the API says, as types: extra fields are tolerated, everything else is distrusted.

Sources: the veo2-i2v page for submit and result; WaveSpeed's documentation and its own clients for the rest (marked
where they are used). Nothing here was tried against the live API.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    field_validator,
)
from pydantic_core import from_json

from animatic.errors import ApiUnavailableError

MAX_URL_CHARS = 8_192
FIRST_YEAR = 2000
MAX_OUTPUTS = 64
MAX_ERROR_CHARS = 4_000
MAX_MODEL_CHARS = 200
LARGEST_MS = 10**12
LARGEST_CODE = 2**63 - 1

FINAL_STATUSES = frozenset({"completed", "failed", "cancelled", "timeout", "deleted"})
"""Source of all but the first two: WaveSpeed's own clients."""

PredictionId = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_-]{1,200}$")]
"""An id that is safe as one path segment; anything else is not an id."""


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


T = TypeVar("T", bound=_Wire)


class Envelope(_Wire):
    """The wrapping of every answer: `code` 200 means success, whatever the HTTP status says."""

    code: StrictInt
    message: StrictStr = ""
    data: Any = None


class Timings(_Wire):
    """Times of a prediction; `inference` in milliseconds."""

    inference: Annotated[StrictInt, Field(ge=0, le=LARGEST_MS)] | None = None


class Prediction(_Wire):
    """A job of the API. `outputs` is empty until it is completed; `code` says why it failed, where known."""

    id: PredictionId
    model: StrictStr = ""
    status: Annotated[StrictStr, Field(max_length=64)]
    outputs: tuple[Annotated[StrictStr, Field(max_length=MAX_URL_CHARS)], ...] = Field(
        default=(), max_length=MAX_OUTPUTS
    )
    has_nsfw_contents: tuple[StrictBool, ...] = Field(default=(), max_length=MAX_OUTPUTS)
    created_at: datetime | None = None
    error: StrictStr = ""
    code: Annotated[StrictInt, Field(ge=-LARGEST_CODE, le=LARGEST_CODE)] | None = None
    timings: Timings = Timings()

    @field_validator("outputs", "has_nsfw_contents", mode="before")
    @classmethod
    def _null_is_empty(cls, value: Any) -> Any:
        return () if value is None else value

    @field_validator("created_at")
    @classmethod
    def _in_utc(cls, value: datetime | None) -> datetime | None:
        """A moment without a zone is taken for UTC; one that UTC cannot say is none."""
        if value is None or value.year < FIRST_YEAR:  # a zero time means that there is none
            return None
        if value.tzinfo is None:
            return value.replace(tzinfo=UTC)
        try:
            return value.astimezone(UTC)
        except OverflowError:
            return None

    @field_validator("error", mode="before")
    @classmethod
    def _null_is_no_error(cls, value: Any) -> Any:
        return "" if value is None else value

    @field_validator("error")
    @classmethod
    def _error_is_bounded(cls, value: str) -> str:
        return value[:MAX_ERROR_CHARS]

    @field_validator("model")
    @classmethod
    def _model_is_bounded(cls, value: str) -> str:
        return value[:MAX_MODEL_CHARS]

    @field_validator("timings", mode="before")
    @classmethod
    def _null_is_no_timings(cls, value: Any) -> Any:
        return {} if value is None else value

    @property
    def is_final(self) -> bool:
        """Whether the API will not change it any more."""
        return self.status in FINAL_STATUSES


class ListedPrediction(Prediction):
    """A prediction in the account's list; `inputs` only where the list has them (seen in WaveSpeed's clients only)."""

    inputs: dict[str, Any] | None = Field(default=None, validation_alias=AliasChoices("inputs", "input"))


class PredictionPage(_Wire):
    """One page of the list, newest first. Without `items` it is no page: an empty one would prove absence."""

    items: tuple[ListedPrediction, ...]


class Quote(_Wire):
    """What one take costs, in USD."""

    price: Annotated[float, Field(ge=0, le=100_000)]
    discounted_price: Annotated[float, Field(ge=0, le=100_000)] | None = None

    @property
    def price_usd(self) -> float:
        """What would be charged."""
        return self.price if self.discounted_price is None else self.discounted_price


class Balance(_Wire):
    """What is left in the account, in USD; may be negative."""

    balance: Annotated[float, Field(ge=-1e9, le=1e12)]


class Upload(_Wire):
    """Where an uploaded file can be fetched from, for 7 days."""

    download_url: Annotated[StrictStr, Field(max_length=2_083)]


def read_envelope(body: bytes) -> Envelope | None:
    """The envelope in a body, or None where there is none (a gateway's page, half an answer, NaN, nesting bombs)."""
    try:
        return Envelope.model_validate(from_json(body, allow_inf_nan=False))
    except (ValueError, RecursionError):
        return None


def read_data(kind: type[T], data: Any, *, what: str) -> T:
    """The `data` of an envelope as `kind`.

    Raises:
        ApiUnavailableError: it is something else; the message names the fields, never their values.
    """
    try:
        return kind.model_validate(data)
    except (ValidationError, RecursionError) as error:
        faults = error.errors() if isinstance(error, ValidationError) else []
        fields = ", ".join(".".join(str(part) for part in fault["loc"]) or "data" for fault in faults[:5]) or "data"
        raise ApiUnavailableError(f"{what}: WaveSpeed answered something unexpected in: {fields}") from None
