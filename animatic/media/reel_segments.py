"""One segment of a reel, encoded with fixed parameters, so that any two can be joined by copying their packets.

Segments have no B-frames: their packets are as many as their pictures, in the order in which they are shown. A clip's
sound is AAC; a segment without sound has no such stream.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import file_digest
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from animatic.media.frames import opened_clip
from animatic.media.reel_marks import BurnIn, shown_with
from animatic.media.reel_pictures import pictures_of_clip, pictures_of_slate
from animatic.media.reel_shots import MOST_SHOT_S, Canvas, SegmentSpec
from animatic.media.strips import MOST_CLIP_BYTES

SEGMENT_WITHIN_S = 900.0
"""Longest that one segment may take."""

X264 = {"preset": "veryfast", "crf": "20", "bf": "0", "profile": "high", "x264-params": "stitchable=1:scenecut=40"}
KEY_EVERY_S = 2
SOUND_RATE, SOUND_BLOCK, SOUND_BITS = 48_000, 1_024, 160_000
SOFTWARE = f"PyAV {av.__version__} {sorted(X264.items())} {SOUND_RATE} {SOUND_BITS}"

_BT709, _TV_RANGE = 1, 1

Samples = np.ndarray[Any, np.dtype[np.int16]]


@dataclass(frozen=True, slots=True)
class Written:
    """A segment that was written.

    Attributes:
        sha256: of its file.
        pictures: in it.
    """

    sha256: str
    pictures: int


def write_segment(spec: SegmentSpec, medium: Path | None, into: Path) -> Written:
    """Encode a segment into a file, which is replaced.

    Raises:
        ValueError: the medium is not the one in the spec, or cannot be decoded; in words that follow its name.
        OSError: the file cannot be written.
    """
    if medium is not None:
        _require_same(medium, spec.media_sha256)
    shown = pictures_of_clip(medium, spec.canvas) if medium is not None and not spec.is_slate else None
    sound = sound_of_clip(medium) if shown is not None and medium is not None else None
    count = _write(shown or pictures_of_slate(spec, medium), sound, spec, into)
    with into.open("rb") as file:
        return Written(file_digest(file, "sha256").hexdigest(), count)


def _require_same(medium: Path, sha256: str) -> None:
    if medium.stat().st_size > MOST_CLIP_BYTES:
        raise ValueError(f"has more than {MOST_CLIP_BYTES:,} bytes")
    with medium.open("rb") as file:
        if file_digest(file, "sha256").hexdigest() != sha256:
            raise ValueError("is not the file that was archived")


def _write(pictures: Iterator[tuple[Any, int]], sound: Samples | None, spec: SegmentSpec, into: Path) -> int:
    canvas, count = spec.canvas, 0
    burn_in = BurnIn(canvas, spec.label) if spec.label else None
    with av.open(str(into), "w", format="matroska") as out:
        video = _video_stream(out, canvas)
        audio: Any = None if sound is None else out.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        if audio is not None:
            audio.codec_context.bit_rate = SOUND_BITS
        for picture, times in pictures:
            for _ in range(times):
                picture.pts, picture.time_base = count, 1 / canvas.fps
                with shown_with(picture, [] if burn_in is None else burn_in.marks(count)):
                    out.mux(video.encode(picture))
                count += 1
        out.mux(video.encode(None))
        if sound is not None:
            length = round(count / canvas.fps * SOUND_RATE)
            for packet in encoded(audio, fitted_sound(sound, length + 2 * SOUND_BLOCK, length)):
                out.mux(packet)
    return count


def _video_stream(out: Any, canvas: Canvas) -> Any:
    video = out.add_stream("libx264", rate=canvas.fps, options=X264)
    video.width, video.height, video.pix_fmt = canvas.width, canvas.height, "yuv420p"
    context = video.codec_context
    context.thread_count, context.gop_size = 1, round(KEY_EVERY_S * canvas.fps)
    context.time_base = 1 / canvas.fps
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _TV_RANGE
    return video


def encoded(stream: Any, sound: Samples) -> list[Any]:
    """Return the packets of a sound; `sound` has a row for each sample and a column for each channel."""
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound).reshape(1, -1), format="s16", layout="stereo")
    frame.sample_rate, frame.pts = SOUND_RATE, 0
    return [*stream.encode(frame), *stream.encode(None)]


def fitted_sound(sound: Samples, length: int, audible: int) -> Samples:
    """Return a sound of so many samples: cut after those that are audible, and filled up with silence."""
    found = np.zeros((length, 2), np.int16)
    heard = sound[: min(audible, length)]
    found[: len(heard)] = heard
    return found


def sound_of_clip(clip: Path) -> Samples | None:
    """Return a clip's first sound in stereo at 48 kHz, from where its picture begins; None where it has none.

    A sound that cannot be decoded is none: the picture is what a reel is for.
    """
    try:
        with opened_clip(clip) as container:
            if not container.streams.audio:
                return None
            video, audio = container.streams.video[0], container.streams.audio[0]
            resampler = av.AudioResampler("s16", "stereo", SOUND_RATE)
            parts, ahead = list[Samples](), None
            room = MOST_SHOT_S * SOUND_RATE
            for frame in container.decode(audio):
                if ahead is None:
                    ahead = _start_of(audio) - _start_of(video)
                for each in resampler.resample(frame):
                    parts.append(each.to_ndarray().astype(np.int16).reshape(-1, 2))
                    room -= len(parts[-1])
                if room < 0:
                    break
    except (ValueError, FFmpegError):
        return None
    return None if not parts or ahead is None else _begun_at(parts, ahead)


def _start_of(stream: Any) -> Fraction:
    return (stream.start_time or 0) * (stream.time_base or Fraction(0))


def _begun_at(parts: Sequence[Samples], ahead_s: Fraction) -> Samples:
    """Return a sound that begins so long after the picture, or before it where the time is negative."""
    sound = np.concatenate(parts)
    shift = round(max(min(ahead_s, MOST_SHOT_S), -MOST_SHOT_S) * SOUND_RATE)
    if shift <= 0:
        return sound[-shift:]
    return np.concatenate([np.zeros((shift, 2), np.int16), sound])
