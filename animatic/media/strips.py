"""Small pictures for pages: a clip's poster and its strip of frames, and a still's thumbnail, each a JPEG.

Kept in a folder under the SHA-256 of what they show, so that each is made once. All of it blocks and reads hostile
files: let `Processes` do it, `processes.run(STRIP_WITHIN_S, make_strip, clip, into)`.
"""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from animatic import storage
from animatic.media import stills
from animatic.takes.stills import Still

STRIP_WITHIN_S = 60.0
"""Longest that a job of this module may take."""

STRIP_FRAMES = 16
STRIP_COLUMNS = 4
FRAME_BOX = (240, 480)
PICTURE_BOX = (480, 960)
"""Boxes that pictures fit into: frames of a strip; posters and thumbnails. Width decides, unless they are very tall."""

MOST_CLIP_BYTES = 1 << 30

_FORM = 1
"""Number of what is drawn here and how; a picture of another form is made again."""

_QUALITY = 76

if TYPE_CHECKING:
    from PIL import Image  # where it is used, it is imported first there: no run should wait for it

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Strip:
    """Poster and strip of one clip.

    The strip holds frames row by row: frame `i` lies at column `i % columns` of row `i // columns`. Its first frame is
    the clip's first, its last the clip's last, and those between are as far from each other as they can be.

    Attributes:
        sha256: of the clip.
        frames: in the strip, 1 to 16.
        columns: of the strip.
        width, height: of one of its frames in pixels, as the clip is shown.
        poster_width, poster_height: in pixels.
    """

    sha256: str
    frames: int
    columns: int
    width: int
    height: int
    poster_width: int
    poster_height: int

    @property
    def strip_name(self) -> str:
        """Name of the strip's file in its folder."""
        return f"{self.sha256}.strip.jpg"

    @property
    def poster_name(self) -> str:
        """Name of the poster's file in its folder."""
        return f"{self.sha256}.poster.jpg"


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture of one still, the right way up.

    Attributes:
        sha256: of the still.
        width, height: of the thumbnail in pixels.
    """

    sha256: str
    width: int
    height: int

    @property
    def name(self) -> str:
        """Name of its file in its folder."""
        return f"{self.sha256}.still.jpg"


def make_strip(clip: Path, into: Path, *, sha256: str | None = None) -> Strip:
    """Return poster and strip of a clip; those that are in the folder are not made again.

    Args:
        clip: on local disk.
        into: a folder, made as needed.
        sha256: of the clip, where it is known; then a clip whose strip is there is not read at all.

    Raises:
        ValueError: it is no clip that can be decoded, or not the one with this hash; in words that follow its name.
        OSError: it cannot be read.
        LocationError: the folder cannot be written to.
    """
    found = None if sha256 is None else find_strip(sha256, into)
    if found is not None:
        return found
    digest = _digest_of(clip, MOST_CLIP_BYTES)
    if sha256 not in {None, digest}:
        raise ValueError("is not the clip that was archived")
    return find_strip(digest, into) or _drawn(digest, clip, into)


def find_strip(sha256: str, into: Path) -> Strip | None:
    """Return the strip of a clip with this hash, None where the folder has none."""
    known = _read_note(into / f"{sha256}.strip.jpg", Strip, sha256)
    return known if known is not None and (into / known.poster_name).is_file() else None


def make_thumbnail(still: Path, into: Path, *, sha256: str | None = None) -> Thumbnail:
    """Return the thumbnail of a still on local disk; arguments and errors are those of `make_strip`."""
    found = None if sha256 is None else find_thumbnail(sha256, into)
    if found is not None:
        return found
    with still.open("rb") as file:
        probed = stills.probe(file)
        if not isinstance(probed, Still):
            raise ValueError(probed)  # noqa: TRY004 - the still's value is wrong
        if sha256 not in {None, probed.sha256}:
            raise ValueError("is not the still that was sent")
        found = find_thumbnail(probed.sha256, into)
        if found is not None:
            return found
        file.seek(0)
        picture = load_still(file, PICTURE_BOX)
    shown = Thumbnail(probed.sha256, *picture.size)
    _keep(into / shown.name, picture, shown)
    return shown


def find_thumbnail(sha256: str, into: Path) -> Thumbnail | None:
    """Return the thumbnail of a still with this hash, None where the folder has none."""
    return _read_note(into / f"{sha256}.still.jpg", Thumbnail, sha256)


def load_still(file: Any, box: tuple[int, int]) -> "Image.Image":
    """Return a probed still in RGB, the right way up, made smaller so that it fits into a box; never larger.

    Raises:
        ValueError: its pixels cannot be decoded.
    """
    from PIL import Image, ImageOps  # noqa: PLC0415 - as above

    try:
        with Image.open(file, formats=("JPEG", "PNG", "WEBP")) as image:
            image.draft("RGB", (2 * max(box), 2 * max(box)))
            upright = ImageOps.exif_transpose(image)
            upright.thumbnail(box, Image.Resampling.LANCZOS)
            if upright.has_transparency_data:
                paper = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(paper, upright.convert("RGBA"))
            return upright.convert("RGB")
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - Pillow's decoders raise whatever broken data makes them stumble over
        raise ValueError(f"cannot be decoded as an image: {error}") from None


def _drawn(sha256: str, clip: Path, into: Path) -> Strip:
    """Draw poster and strip, and keep them; the strip last, since its note speaks for both."""
    from animatic.media.frames import fitted, frames_of, opened_clip, pixel_ratio  # noqa: PLC0415 - as above

    with opened_clip(clip) as container:
        count = sum(1 for packet in container.demux(container.streams.video[0]) if packet.size)
    poster, frame, frames = None, None, list["Image.Image"]()
    with opened_clip(clip) as container:
        ratio, places = pixel_ratio(container), _places(count)
        for number, frame in enumerate(frames_of(container)):
            if poster is None:
                poster = fitted(frame, ratio, PICTURE_BOX)
            if len(frames) < len(places) and number >= places[len(frames)]:
                frames.append(fitted(frame, ratio, FRAME_BOX))
        if poster is None:
            raise ValueError("has no frame that can be decoded")
        if len(frames) < len(places):  # it has fewer frames than packets: the last one still ends the strip
            frames.append(fitted(frame, ratio, FRAME_BOX))
    width, height = frames[0].size
    strip = Strip(sha256, len(frames), min(STRIP_COLUMNS, len(frames)), width, height, *poster.size)
    _keep(into / strip.poster_name, poster, None)
    _keep(into / strip.strip_name, _sheet_of(frames, strip), strip)
    return strip


def _places(count: int) -> list[int]:
    """Return the indices of frames that a strip shows, of a clip that has about so many."""
    shown = max(min(STRIP_FRAMES, count), 1)
    return [round(number * (count - 1) / max(shown - 1, 1)) for number in range(shown)]


def _sheet_of(frames: "Sequence[Image.Image]", strip: Strip) -> "Image.Image":
    from PIL import Image  # noqa: PLC0415 - as above

    rows = -(-strip.frames // strip.columns)
    sheet = Image.new("RGB", (strip.columns * strip.width, rows * strip.height))
    for number, frame in enumerate(frames):
        column, row = number % strip.columns, number // strip.columns
        whole = frame if frame.size == (strip.width, strip.height) else frame.resize((strip.width, strip.height))
        sheet.paste(whole, (column * strip.width, row * strip.height))
    return sheet


def _keep(path: Path, picture: "Image.Image", note: Strip | Thumbnail | None) -> None:
    """Write a picture in one step, with a note of what it is in its comment."""
    comment = b"" if note is None else json.dumps({"form": _FORM, **asdict(note)}).encode()
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=_QUALITY, optimize=True, comment=comment)
    storage.replace_bytes(str(path), out.getvalue())


def _read_note(path: Path, form: Callable[..., T], sha256: str) -> T | None:
    """Return what a picture's comment says it is; None where there is no such picture, or one of another form."""
    from PIL import Image  # noqa: PLC0415 - as above

    try:
        with Image.open(path, formats=("JPEG",)) as image:
            note: Any = json.loads(image.info.get("comment", b""))
            if note.pop("form") != _FORM or note["sha256"] != sha256:
                return None
            return form(**note)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _digest_of(path: Path, most_bytes: int) -> str:
    size_bytes = path.stat().st_size
    if size_bytes > most_bytes:
        raise ValueError(f"has {size_bytes:,} bytes; allowed: up to {most_bytes:,}")
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
