"""Schema of a model: the inputs that it takes besides the still and the prompt. Pure.

Everything else takes `Inputs` and asks the schema which of them decide the price and the latency.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from animatic.takes.inputs import Inputs


class PriceClass(NamedTuple):
    """Model and inputs that a price depends on."""

    model: str
    inputs: Inputs


class LatencyClass(NamedTuple):
    """Model, and inputs that a latency depends on, as text that the ledger stores."""

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


@dataclass(frozen=True, slots=True)
class ModelSchema:
    """The inputs of one model.

    Attributes:
        priced_by, timed_by: names of the inputs that decide the price and the latency.
    """

    model: str
    choices: tuple[Choice, ...]
    priced_by: tuple[str, ...]
    timed_by: tuple[str, ...]

    def price_class(self, inputs: Inputs) -> PriceClass:
        """Return the price class of a take with these inputs."""
        return PriceClass(self.model, inputs.only(self.priced_by))

    def latency_class(self, inputs: Inputs) -> LatencyClass:
        """Return the latency class of a take with these inputs."""
        return LatencyClass(self.model, ", ".join([str(inputs[name]) for name in self.timed_by if name in inputs]))
