"""Segments of a reel, joined by copying their packets: nothing is decoded or encoded, and no moment is rounded twice.

Pictures are counted, so that a reel has just the pictures of its segments. Sound is laid on one grid of blocks of 1,024
samples: each shot's begins within half a block (11 ms) of its picture, however long the reel is.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from animatic.errors.text import one_line
from animatic.media.frames import CONTAINERS
from animatic.media.reel_segments import SOUND_BITS, SOUND_BLOCK, SOUND_RATE, encoded

JOIN_WITHIN_S = 900.0

_FULLY = {"format_whitelist": CONTAINERS}
_QUICKLY = _FULLY | {"analyzeduration": "1", "probesize": "32"}
"""Without decoding frames, which takes 50 ms a segment: its header says all that copying needs."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A reel that was written.

    Attributes:
        starts: number of the first picture of each segment.
        pictures: of the whole.
    """

    starts: tuple[int, ...]
    pictures: int
    has_sound: bool


@dataclass(frozen=True, slots=True)
class _Segment:
    """A segment as its packets say."""

    path: Path
    pictures: int
    has_sound: bool
    header: bytes


def join_segments(
    segments: Sequence[Path], names: Sequence[str], fps: Fraction, into: Path, *, is_silent: bool
) -> Joined:
    """Write a reel of some segments as an MP4, with a chapter for each.

    Where any segment has sound, the others are silent; with `is_silent`, or without any sound, there is no such track.

    Raises:
        ValueError: a segment cannot be read, or was not encoded like the others.
        OSError: the reel cannot be written.
    """
    try:
        found = [_look_at(path) for path in segments]
        if any(segment.header != found[0].header for segment in found):
            raise ValueError("the segments of the reel were not encoded alike")
        ends = list(accumulate(segment.pictures for segment in found))
        has_sound = not is_silent and any(segment.has_sound for segment in found)
        with av.open(str(into), "w", format="mp4", options={"movflags": "faststart"}) as out:
            starts = (0, *ends[:-1])
            out.set_chapters(_chapters(starts, ends, names, fps))
            _copy_all(out, found, ends, fps, has_sound=has_sound)
    except FFmpegError as error:
        raise ValueError(f"the reel cannot be joined: {error}") from None
    return Joined(starts, ends[-1], has_sound)


def _look_at(path: Path) -> _Segment:
    with av.open(str(path), "r", options=_QUICKLY) as segment:
        video = segment.streams.video[0]
        header, has_sound = video.codec_context.extradata or b"", bool(segment.streams.audio)
        return _Segment(path, sum(1 for packet in segment.demux(video) if packet.size), has_sound, header)


def _copy_all(out: Any, segments: Sequence[_Segment], ends: Sequence[int], fps: Fraction, *, has_sound: bool) -> None:
    """Copy the packets of all segments, each after those of the one before it."""
    video: Any = None
    audio = out.add_stream("aac", rate=SOUND_RATE, layout="stereo") if has_sound else None
    if audio is not None:
        audio.codec_context.bit_rate = SOUND_BITS
    silent, blocks, shown = _silent_block() if has_sound else None, 0, 0
    of_picture, of_sample, per_second = 1 / fps, Fraction(1, SOUND_RATE), float(fps)
    for segment, end in zip(segments, ends, strict=True):
        with av.open(str(segment.path), "r", options=_FULLY if video is None else _QUICKLY) as source:
            if video is None:
                video = out.add_stream_from_template(source.streams.video[0])
                video.time_base = of_picture
            pictures, sound = _packets_of(source)
            queue = [
                (at / per_second, _placed(packet, video, at, 1, of_picture))
                for at, packet in enumerate(pictures, shown)
            ]
            shown = end
            if silent is not None:
                until = round(end / fps * SOUND_RATE / SOUND_BLOCK)
                wanted = until - blocks + (segment is segments[-1])
                own = [*(bytes(packet) for packet in sound[:wanted]), *[silent] * max(wanted - len(sound), 0)]
                for index, data in enumerate(own):
                    at = (blocks + index - 1) * SOUND_BLOCK
                    packet = _placed(av.Packet(data), audio, at, SOUND_BLOCK, of_sample)
                    packet.is_keyframe = True
                    queue.append((at / SOUND_RATE, packet))
                blocks = until
            for _, packet in sorted(queue, key=lambda each: each[0]):
                out.mux(packet)


def _packets_of(source: Any) -> tuple[list[Any], list[Any]]:
    """Return the packets of a segment's pictures, and those of its sound."""
    pictures, sound = list[Any](), list[Any]()
    for packet in source.demux():
        if packet.size:
            (pictures if packet.stream.type == "video" else sound).append(packet)
    return pictures, sound


def _placed(packet: Any, stream: Any, at: int, duration: int, time_base: Fraction) -> Any:
    packet.stream, packet.time_base = stream, time_base
    packet.pts = packet.dts = at
    packet.duration = duration
    return packet


def _silent_block() -> bytes:
    """Return a packet of sound in which nothing is heard, as it comes in the middle of silence."""
    with av.open(io.BytesIO(), "w", format="matroska") as nowhere:
        stream: Any = nowhere.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        stream.codec_context.bit_rate = SOUND_BITS
        packets = encoded(stream, np.zeros((8 * SOUND_BLOCK, 2), np.int16))
        return bytes(packets[4])


def _chapters(starts: Sequence[int], ends: Sequence[int], names: Sequence[str], fps: Fraction) -> list[Any]:
    return [
        {"id": number, "start": start, "end": end, "time_base": 1 / fps, "metadata": {"title": one_line(name, 80)}}
        for number, (start, end, name) in enumerate(zip(starts, ends, names, strict=True))
    ]
