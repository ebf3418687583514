"""Names of clips: a template, filled in for each output, safe on every system, and unique in an archive. Pure.

A name is the same on Linux, macOS and Windows, and never leaves the folder, whatever a manifest or a reply says.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from string import Formatter

from animatic.errors import SettingsError
from animatic.errors.text import did_you_mean, nearest, quoted

DEFAULT_CLIP_NAME = "{storyboard}_{shot_id}_t{take:02}"
FIELDS = {"storyboard": "x", "shot_id": "x", "prediction_id": "x", "take": 1, "version": 1}
"""Fields of a template, each with a sample; the numbers may be given a width, such as `{take:02}`."""

MAX_NAME_BYTES = 180
"""Of a name in UTF-8, suffix aside: file systems hold 255 bytes, and unfinished files have longer names."""

_FORBIDDEN = frozenset('<>:"/\\|?*#%')
"""Characters that Windows refuses in names, and two that mean something in URLs."""

_DEVICES = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?=$|[. ])", re.IGNORECASE)
_SAFE = re.compile(r"[A-Za-z0-9_]+(?:[ .-][A-Za-z0-9_]+)*", re.ASCII)
"""Names that are safe as they are: nearly all. The quick test counts where there are a hundred thousand."""

_WIDTH = re.compile(r"0?[0-9]?d?")
_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class ClipIdentity:
    """Values that a name is made of.

    Attributes:
        version: number of the shot's version, from 1.
        output: which output of the take, from 1.
    """

    fingerprint: str
    storyboard: str
    shot_id: str
    take: int
    version: int
    prediction_id: str
    output: int = 1


@dataclass(frozen=True, slots=True)
class ClipName:
    """A template of names, checked.

    Raises:
        SettingsError: it names what there is not, or is no name of a file.
    """

    template: str = DEFAULT_CLIP_NAME

    def __post_init__(self) -> None:
        try:
            parts = list(Formatter().parse(self.template))
        except ValueError as error:
            raise self._refusal(str(error)) from None
        for text, name, spec, conversion in parts:
            if any(char in _FORBIDDEN for char in text) or not text.isprintable():
                raise self._refusal(f"{quoted(text)} cannot stand in the name of a file")
            if name is not None:
                self._require_field(name, spec or "", conversion)
        if not any(name for _, name, _, _ in parts):
            raise self._refusal("without a field all clips would have one name")

    @property
    def needs_version(self) -> bool:
        """Tell if the number of the shot's version must be known."""
        return any(name == "version" for _, name, _, _ in Formatter().parse(self.template))

    def candidates(self, clip: ClipIdentity, suffix: str) -> Iterator[str]:
        """Yield the names that a clip may have, the best first; the last is a name that no other clip has.

        `suffix` is the ending of the file, such as `.mp4`. An archive takes the first one that is free in it.
        """
        filled = self.template.format(
            storyboard=_plain(clip.storyboard),
            shot_id=_plain(clip.shot_id),
            take=clip.take,
            version=clip.version,
            prediction_id=_plain(clip.prediction_id),
        )
        ending = suffix if _SUFFIX.fullmatch(suffix) else ".bin"
        stem = filled.removesuffix(ending)
        output = f"_{clip.output}" if clip.output > 1 else ""
        for own in ("", f"_{clip.fingerprint[:8]}", f"_{clip.fingerprint}"):
            yield safe_name(stem, f"{own}{output}") + ending

    def _require_field(self, name: str, spec: str, conversion: str | None) -> None:
        if name not in FIELDS:
            near = nearest(name, FIELDS, 0.6)
            hint = f"; {did_you_mean(near)}" if near else ""
            raise self._refusal(f"found the field {quoted(name)}{hint}")
        is_number = isinstance(FIELDS[name], int)
        if conversion or (spec and not (is_number and _WIDTH.fullmatch(spec))):
            how = "a width such as 02" if is_number else "nothing"
            raise self._refusal(f"{{{name}}}: allowed after it is {how}")

    def _refusal(self, why: str) -> SettingsError:
        fields = ", ".join(f"{{{name}}}" for name in FIELDS)
        return SettingsError(
            f"--clip-name: found {quoted(self.template)}: {why}; allowed: the name of a file with any of {fields}, "
            f"such as {DEFAULT_CLIP_NAME}"
        )


def safe_name(stem: str, end: str = "") -> str:
    """Return a name for a file without its suffix: what is refused somewhere is `-`, too long a stem is cut.

    A stem that is cut gets a digest of all of it, so that two of them stay two. `end` is never cut.
    """
    if _SAFE.fullmatch(stem) and not _DEVICES.match(stem) and len(stem) + len(end) <= MAX_NAME_BYTES:
        return stem + end
    name = "".join("-" if _is_refused(char) else char for char in unicodedata.normalize("NFC", stem))
    name = " ".join(name.split()).rstrip(". ") or "_"
    if name[0] in ".-~" or _DEVICES.match(name):
        name = f"_{name}"
    room = MAX_NAME_BYTES - len(end.encode())
    if len(name.encode()) > room:
        mark = "_" + hashlib.sha256(name.encode()).hexdigest()[:8]
        name = name.encode()[: room - len(mark)].decode("utf-8", "ignore").rstrip(". ") + mark
    return name + end


def same_name_key(name: str) -> str:
    """Return the same key for names that are one file on a disk that knows no case or no Unicode form."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _plain(text: str) -> str:
    """Return the text with nothing in it that a path means: a value is never a folder."""
    if _SAFE.fullmatch(text):
        return text
    return "".join("-" if _is_refused(char) else char for char in text)


def _is_refused(char: str) -> bool:
    return char in _FORBIDDEN or unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
