"""Shots and takes: what is asked for, and the fingerprint by which it is known. Pure; no files, money or states."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

from animatic.takes.canonical import canonical_provider
from animatic.takes.inputs import NO_INPUTS, Inputs, form_of
from animatic.takes.schemas import LatencyClass, ModelSchema, PriceClass, latency_class_of
from animatic.takes.stills import LocalFile

MAX_TAKES = 16
MAX_PROMPT_CHARS = 2_500


@dataclass(frozen=True, slots=True)
class Shot:
    """One row of the manifest.

    Attributes:
        row: data row in the manifest, from 1.
        shot_id: the user's own name for the row, or the start of its first fingerprint.
        image: as in the manifest: an https URL, or a path relative to the manifest's folder; empty where the model
            takes none.
        schema: of its model.
        inputs: as written in the row; a file in them is what identifies it: the URL itself, or `sha256:<hex>` of a
            local file's bytes.
        takes: how many takes it asks for, 1 to 16.
        paths: the local files among its inputs: from what identifies them to their paths in the manifest.
    """

    row: int
    shot_id: str
    storyboard: str
    image: str
    schema: ModelSchema
    inputs: Inputs
    takes: int
    paths: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)

    @property
    def model(self) -> str:
        """Id of its model."""
        return self.schema.model

    @property
    def media(self) -> list[str]:
        """Identities of the files among its inputs: URLs, or `sha256:<hex>`."""
        return self.schema.files_in(self.inputs)

    @property
    def files(self) -> list[LocalFile]:
        """The local files that must be uploaded before it can be sent."""
        return [LocalFile(identity, path, self.shot_id) for identity, path in self.paths.items()]

    @property
    def price_class(self) -> PriceClass:
        """Class of the price of its takes."""
        return self.schema.price_class(self.inputs)

    @property
    def latency_class(self) -> LatencyClass:
        """Class of the latency of its takes."""
        return latency_class_of(self.model, self.inputs)


@dataclass(frozen=True, slots=True)
class Take:
    """One paid generation of a shot. Equal fingerprints are the same take, whichever rows ask for it."""

    fingerprint: str
    shot: Shot
    number: int

    @property
    def name(self) -> str:
        """For people: the shot and, where there are several takes, which."""
        return f"{self.shot.shot_id} take {self.number}"


def fingerprint(*, provider: str, model: str, inputs: Inputs, take: int) -> str:
    """Return 64 hex digits: SHA-256 of the canonical form of what a take asks which provider for.

    The provider is part of it, so that a sandbox clip never stands in for a real one.
    """
    return digest(canonical(provider, model, inputs), take).hex()


def canonical(provider: str, model: str, inputs: Inputs) -> str:
    """Return the canonical JSON of what all takes of a shot ask for, up to their number."""
    return verbatim(canonical_provider(provider), model, inputs.canonical())


def verbatim(provider: str, model: str, inputs: Inputs) -> str:
    """Return the same JSON of the parts as they are written.

    Its digests are the fingerprints of ledgers and tables from before there was a canonical form.
    """
    return asked_form(provider, model, tuple(inputs))(tuple(inputs.values()))


@lru_cache(maxsize=64)
def asked_form(
    provider: str, model: str, names: tuple[str, ...], known: Inputs = NO_INPUTS
) -> Callable[[Sequence[Any]], str]:
    """Return a function that turns the values of these inputs into a take's JSON, up to its number.

    Keys are sorted, without blanks, UTF-8. `known` are inputs whose values are the same each time. It fills in a
    template: `json` takes three times as long, which is felt with a hundred thousand rows.

    Raises:
        ValueError: an input is called like another part of what is asked.
    """
    fixed = {**known, "model": model, "provider": provider}
    if taken := {"model", "provider", "take"} & {*names, *known}:
        raise ValueError(f"inputs cannot be called {', '.join(sorted(taken))}")
    parts = dict.fromkeys(names, "%s") | {name: asked_value(value).replace("%", "%%") for name, value in fixed.items()}
    heads = {name: asked_value(name).replace("%", "%%") for name in parts}
    template = "{" + "".join(f"{heads[name]}:{parts[name]}," for name in sorted(parts)) + '"take":'
    order = [names.index(name) for name in sorted(names)]
    text = encode_basestring
    return lambda values: (
        template % tuple([text(values[at]) if isinstance(values[at], str) else asked_value(values[at]) for at in order])
    )


def asked_part(name: str, value: Any) -> str:
    """Return the part that an input has in the JSON of what is asked, in canonical form, with the comma behind it."""
    form = form_of(name)
    return f"{encode_basestring(name)}:{asked_value(value if form is None else form(value))},"


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def asked_value(value: Any) -> str:
    """Return a value as it stands in the JSON of what is asked."""
    if type(value) is str:
        return encode_basestring(value)
    return str(value) if type(value) is int else _encode(value)


def digest(asked: str, take: int) -> bytes:
    """Return the 32 bytes of the fingerprint of the take with this number; `asked` is `canonical` or `verbatim`."""
    return hashlib.sha256(f"{asked}{take}}}".encode("utf-8", "surrogatepass")).digest()
