"""Shots, takes and fingerprints: what is asked of the provider. Pure; knows nothing of files, money or states."""

import hashlib
from dataclasses import dataclass
from json.encoder import encode_basestring

from animatic.takes.canonical import canonical_provider, canonical_still, canonical_text

DEFAULT_MODEL = "wavespeed-ai/veo2-i2v"
ASPECT_RATIOS = ("16:9", "9:16")
DURATIONS = ("5s", "6s", "7s", "8s")
MAX_TAKES = 16
MAX_PROMPT_CHARS = 2_500


@dataclass(frozen=True, slots=True)
class Shot:
    """One row of the manifest.

    Attributes:
        row: data row in the manifest, from 1.
        shot_id: the user's own name for the row, or the start of its first fingerprint.
        image: as in the manifest: an https URL, or a path relative to the manifest's folder.
        still: what identifies the image: the URL itself, or `sha256:<hex>` of a local still's bytes.
        takes: how many takes it asks for, 1 to 16.
    """

    row: int
    shot_id: str
    storyboard: str
    image: str
    still: str
    prompt: str
    model: str
    aspect_ratio: str
    duration: str
    takes: int

    @property
    def is_local(self) -> bool:
        """True if the still must be uploaded before it can be sent."""
        return self.still.startswith("sha256:")


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


def fingerprint(  # noqa: PLR0913 - each part of what is asked is an argument, so that none is forgotten
    *, provider: str, model: str, still: str, prompt: str, aspect_ratio: str, duration: str, take: int
) -> str:
    """Return 64 hex digits: SHA-256 of the canonical form of what a take asks which provider for.

    The provider is part of it, so that a sandbox clip never stands in for a real one.
    """
    asked = canonical(
        provider=provider, model=model, still=still, prompt=prompt, aspect_ratio=aspect_ratio, duration=duration
    )
    return digest(asked, take).hex()


def canonical(  # noqa: PLR0913 - as above
    *, provider: str, model: str, still: str, prompt: str, aspect_ratio: str, duration: str
) -> str:
    """Return the canonical JSON of what all takes of a shot ask for, up to their number."""
    return verbatim(
        provider=canonical_provider(provider),
        model=model,
        still=canonical_still(still),
        prompt=canonical_text(prompt),
        aspect_ratio=aspect_ratio,
        duration=duration,
    )


def verbatim(  # noqa: PLR0913 - as above
    *, provider: str, model: str, still: str, prompt: str, aspect_ratio: str, duration: str
) -> str:
    """Return the same JSON (keys sorted, no blanks, UTF-8) of the parts as they are written.

    Its digests are the fingerprints of ledgers and tables from before there was a canonical form.
    Spelled out, because `json` takes three times as long, and a hundred thousand rows are waited for.
    """
    text = encode_basestring
    return (
        f'{{"aspect_ratio":{text(aspect_ratio)},"duration":{text(duration)},"image":{text(still)},'
        f'"model":{text(model)},"prompt":{text(prompt)},"provider":{text(provider)},"take":'
    )


def digest(asked: str, take: int) -> bytes:
    """Return the 32 bytes of the fingerprint of the take with this number; `asked` is `canonical` or `verbatim`."""
    return hashlib.sha256(f"{asked}{take}}}".encode("utf-8", "surrogatepass")).digest()
