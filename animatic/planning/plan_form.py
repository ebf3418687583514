"""The form of a plan's file: its parts, what they mean, and what their sums must be. Pure.

Version 1. A reader refuses fields that it does not know, so every change makes a new version.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from animatic.planning.planned_rows import Do
from animatic.takes.inputs import Inputs
from animatic.takes.money.amounts import microusd, usd
from animatic.takes.schemas import PriceClass
from animatic.takes.shots import MAX_TAKES

VERSION = 1

USD, HASH = r"^[0-9]{1,12}\.[0-9]{6}$", r"^[0-9a-f]{64}$"

Usd = Annotated[str, Field(pattern=USD, examples=["2.500000"])]
Hash = Annotated[str, Field(pattern=HASH)]
Count = Annotated[int, Field(ge=0, lt=1 << 53)]
Text = Annotated[str, Field(max_length=100_000)]
Model = Annotated[str, Field(max_length=1_000)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ManifestPart(_Part):
    """The manifest that the plan was made of."""

    uri: Text = Field(description="absolute URI")
    sha256: Hash = Field(description="of its bytes")
    rows: Count


class OptionsPart(_Part):
    """The options that decide what is bought; the run takes them from here."""

    only: list[Text]
    limit: Annotated[int, Field(ge=1)] | None
    map: list[Text]
    models: Text | None
    stills: Text | None
    check_stills: bool
    decisions: Text | None = Field(description="the table of decisions; null: none, not even one beside the results")
    follow_approved: bool
    changed_stills: bool
    skip_invalid: bool
    retry_failed: bool
    attempts: Annotated[int, Field(ge=1, le=10)]


class CostPart(_Part):
    """The cost of one attempt at each take to buy, and the most that it can become."""

    usd: Usd | None = Field(description="of all takes to buy; null where a price is not known")
    most_usd: Usd | None = Field(description="with every attempt that `attempts` allows: the limit of the run")
    known_usd: Usd = Field(description="of the takes whose price is known")
    estimated_usd: Usd | None = Field(description="of all, with estimates where no price is known; null without them")
    unpriced_takes: Count = Field(description="takes to buy whose price is not known")


class PricePart(_Part):
    """One price, and the takes that it is for: those of one model with the same inputs that a price depends on."""

    model: Model
    inputs: dict[str, JsonValue]
    takes: Count = Field(description="how many are to be bought")
    usd: Usd | None = Field(description="of one attempt; null where it is not known")
    source: Literal["quote", "setting"] | None = Field(description="WaveSpeed's quote, or ANIMATIC_PRICE_USD")
    from_usd: Usd | None = Field(description="WaveSpeed's base price, where it names no other: the least")
    estimated_usd: Usd | None = Field(description="the most that takes like it cost before; never a price by itself")
    estimated_from: Count = Field(description="the number of those takes")

    @property
    def price_class(self) -> PriceClass:
        """The class of takes that it is for."""
        return PriceClass(self.model, Inputs(self.inputs))

    @property
    def microusd(self) -> int | None:
        """The price in millionths of a dollar."""
        return None if self.usd is None else microusd(self.usd)


class HeadPart(_Part):
    """The plan but for its takes."""

    animatic_plan: Literal[1] = Field(description="version of this form")
    made_at: AwareDatetime
    valid_until: AwareDatetime = Field(description="the plan is refused after this moment")
    made_by: Text
    manifest: ManifestPart
    provider: Text = Field(description="whom the takes are bought from")
    ledger: Text = Field(description="the ledger that the plan was held against")
    options: OptionsPart
    counts: dict[Text, Count] = Field(description="rows and takes by what is done about them")
    cost: CostPart
    time_s: dict[Text, Annotated[float, Field(ge=0)]] = Field(
        description="expected duration in seconds at the limits of each account level, and at `yours`"
    )
    prices: Annotated[list[PricePart], Field(max_length=100_000)]


class TakePart(_Part):
    """One row and take of the manifest that is chosen; the last four are those of takes to buy."""

    row: Annotated[int, Field(ge=1, lt=1 << 31)] = Field(description="data row of the manifest, from 1")
    shot_id: Text | None
    take: Annotated[int, Field(ge=0, le=MAX_TAKES)] = Field(description="0 for an invalid row")
    do: Do = Field(description="what the run does about it", strict=False)
    model: Model | None
    fingerprint: Hash | None
    price: Count | None = Field(None, description="its place in `prices`, from 0")
    usd: Usd | None = Field(None, description="the price of one attempt; null where it is not known")
    attempt: Count | None = Field(None, description="of a take to buy again: the ledger's number of the attempt before")
    inputs: dict[Model, JsonValue] | None = Field(
        None, description="in short: a long value is the start of its SHA-256"
    )


class WholePart(HeadPart):
    """A plan as `animatic plan -o` writes it."""

    takes: list[TakePart]
    sha256: Hash = Field(description="of all bytes before the line that it stands in")


def cost_of(prices: Sequence[PricePart], attempts: int) -> CostPart:
    """Return what takes at these prices cost."""
    bought = [each for each in prices if each.takes]
    known = sum((each.microusd or 0) * each.takes for each in bought)
    guesses = [each.usd or each.estimated_usd for each in bought]
    guessed = None
    if any(each.usd is None for each in bought) and None not in guesses:
        guessed = sum(microusd(guess or 0) * each.takes for guess, each in zip(guesses, bought, strict=True))
    unpriced = sum(each.takes for each in bought if each.usd is None)
    return CostPart(
        usd=None if unpriced else as_text(known),
        most_usd=None if unpriced else as_text(known * attempts),
        known_usd=str(as_text(known)),
        estimated_usd=as_text(guessed),
        unpriced_takes=unpriced,
    )


def as_text(amount_microusd: int | None) -> str | None:
    """Return the dollars of an amount as the file holds them."""
    return None if amount_microusd is None else f"{usd(amount_microusd):f}"
