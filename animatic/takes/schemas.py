"""Schema of a model, as far as takes depend on it: which inputs decide the price and the latency, and are files. Pure.

Everything else takes `Inputs` and asks the schema.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from animatic.takes.clip_inputs import DURATION, FRAMES, frames_in
from animatic.takes.inputs import Inputs, parts_of

ANY_FILE = "https://example.com/still.jpg"
"""Stands for a file in a quote."""

TIMED_BY = (DURATION, *FRAMES)
"""Names of inputs that latencies are learned by."""


class PriceClass(NamedTuple):
    """Model and inputs that a price depends on."""

    model: str
    inputs: Inputs


class LatencyClass(NamedTuple):
    """Model, and what its latency depends on, as text that the ledger stores: `5s`, `81 frames`."""

    model: str
    values: str

    @property
    def length_s(self) -> float:
        """The length of the clip in seconds, where the values say it; else 0."""
        found = re.search(r"(?<![\w.])([0-9]{1,3})s(?!\w)", self.values)
        return float(found[1]) if found else 0.0


@dataclass(frozen=True, slots=True)
class Choice:
    """An input with a few allowed values. Its name is that of a manifest column and of a results column.

    Attributes:
        allowed: the values; the first is the default.
        read: the value in a cell's text, in whatever form it is accepted; the text itself where it is none.
        guess: the value that another text seems to mean, or None.
    """

    name: str
    allowed: tuple[str, ...]
    read: Callable[[str], str]
    guess: Callable[[str], str | None]

    @property
    def default(self) -> str:
        """The value of a blank cell."""
        return self.allowed[0]


class TakeClass(NamedTuple):
    """Takes that cost the same and are made in a similar time."""

    price: PriceClass
    latency: LatencyClass


@dataclass(frozen=True, slots=True)
class ModelSchema:
    """The inputs of one model that something depends on.

    Attributes:
        priced_by: names of the inputs that decide the price.
        media: names of those that are files, or lists of files.
        images: names of those among them that are pictures.
    """

    model: str
    priced_by: tuple[str, ...]
    media: tuple[str, ...] = ("image",)
    images: tuple[str, ...] = ("image",)

    def files_in(self, inputs: Inputs) -> list[Any]:
        """Return what identifies the files among these inputs."""
        return [each for name in self.media if name in inputs for each in parts_of(inputs[name])]

    def stills_on_web(self, inputs: Inputs) -> list[str]:
        """Return the URLs of the pictures among these inputs."""
        found = (each for name in self.images if name in inputs for each in parts_of(inputs[name]))
        return [each for each in found if isinstance(each, str) and "://" in each]

    def price_class(self, inputs: Inputs) -> PriceClass:
        """Return the price class of a take with these inputs."""
        shown = {name: _priced(inputs[name], is_file=name in self.media) for name in self.priced_by if name in inputs}
        return PriceClass(self.model, Inputs(shown))

    def take_class(self, inputs: Inputs) -> TakeClass:
        """Return both classes of a take with these inputs."""
        return TakeClass(self.price_class(inputs), latency_class_of(self.model, inputs))


def _priced(value: Any, *, is_file: bool) -> Any:
    """Return an input as far as a price can depend on it: of files, whether they are there and how many."""
    if not is_file:
        return value
    return [ANY_FILE] * len(parts_of(value)) if isinstance(value, list) else ANY_FILE


def latency_class_of(model: str, inputs: Inputs) -> LatencyClass:
    """Return the latency class of a take: by its duration or its frames, whichever its model goes by."""
    if (duration := inputs.get(DURATION)) is not None:
        text = str(duration)
        return LatencyClass(model, f"{text}s" if text.replace(".", "", 1).isdigit() else text)
    frames = frames_in(inputs)
    return LatencyClass(model, "" if frames is None else f"{frames} frames")
