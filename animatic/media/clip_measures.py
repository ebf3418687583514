"""Measures of a clip, by decoding it once through FFmpeg's filters. Runs in a process of its own: clips are hostile.

Everything but the first frame is measured on small frames, in one thread.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import av
import numpy as np
from av.error import BlockingIOError as WouldBlockError
from av.error import EOFError as EndError
from av.error import FFmpegError
from av.filter import Graph
from numpy.typing import NDArray

from animatic.media.checks import Measures
from animatic.media.first_frames import similarity
from animatic.media.frames import MOST_FRAME_PIXELS, MOST_FRAMES, as_shown, pixel_ratio, shown_size
from animatic.media.stretches import BLACK_STRETCH_S, FROZEN_STRETCH_S, Stretch, changes_of, count_cuts, less, total_s

SMALL = 320
"""Pixels of the longer side of what is measured."""

_FILTERS = (
    ("format", "yuv420p"),
    ("blackdetect", "d=0:pic_th=0.98:pix_th=0.06"),
    ("freezedetect", f"n=0.0005:d={FROZEN_STRETCH_S}"),
    ("scdet", "t=10"),
)
_BLOCKS = 32
"""Blocks along the longer side, whose means are compared to find cuts: no grain is left in them."""


class UndecodableError(ValueError):
    """A clip that cannot be decoded, or not all of it; `str()` says why."""


@dataclass(slots=True)
class _Seen:
    """Findings of the filters so far, in seconds."""

    times: list[float] = field(default_factory=list[float])
    changes: list[float] = field(default_factory=list[float])
    blocks: list[NDArray[np.float64]] = field(default_factory=list[NDArray[np.float64]])
    black: list[Stretch] = field(default_factory=list[Stretch])
    frozen: list[Stretch] = field(default_factory=list[Stretch])
    black_from: float | None = None
    frozen_from: float | None = None

    def add(self, small: Any) -> None:
        """Add what was found in a small frame."""
        said = small.metadata
        self.times.append(small.time)
        self.changes.append(float(said["lavfi.scd.mafd"]) * 2.55)
        self.blocks.append(_block_means(small))
        if "lavfi.black_start" in said:
            self.black_from = float(said["lavfi.black_start"])
        if "lavfi.black_end" in said and self.black_from is not None:
            self.black.append(Stretch(self.black_from, float(said["lavfi.black_end"])))
            self.black_from = None
        if "lavfi.freezedetect.freeze_start" in said:  # of a short one, in the same frame as its end
            self.frozen_from = float(said["lavfi.freezedetect.freeze_start"])
        if "lavfi.freezedetect.freeze_end" in said and self.frozen_from is not None:
            self.frozen.append(Stretch(self.frozen_from, float(said["lavfi.freezedetect.freeze_end"])))
            self.frozen_from = None

    def end(self, end_s: float) -> None:
        """End the stretches that last to the end: the filters mark no end of these."""
        if self.black_from is not None:
            self.black.append(Stretch(self.black_from, end_s))
        if self.frozen_from is not None:
            self.frozen.append(Stretch(self.frozen_from, end_s))


def measure(clip: BinaryIO, container: str, still: Any = None, *, most_frames: int = MOST_FRAMES) -> Measures:
    """Decode a clip once and return its measures.

    Args:
        clip: an open file.
        container: FFmpeg's name of the format, the only one that is tried.
        still: picture of Pillow that the clip was made from.
        most_frames: a clip with more cannot be decoded, as far as we go.

    Raises:
        UndecodableError: not all of it can be decoded, or it is larger than the bounds.
    """
    try:
        with av.open(clip, "r", format=container, metadata_errors="ignore") as media:
            if not media.streams.video:
                raise UndecodableError("there is no video in it")
            return _measure(_frames(media, media.streams.video[0], most_frames), media, still)
    except (FFmpegError, OSError, EOFError) as error:
        raise UndecodableError(f"it cannot be decoded: {error}") from None


def _measure(frames: Iterator[Any], media: Any, still: Any) -> Measures:
    stream, ratio = media.streams.video[0], pixel_ratio(media)
    seen, graph, first, likeness, last_s = _Seen(), None, None, None, 0.0
    for number, frame in enumerate(frames):
        if graph is None or first is None:
            first, graph = frame, _graph(stream, is_wide=frame.width >= frame.height)
            likeness = None if still is None else similarity(as_shown(frame, ratio), still)
        if (frame.width, frame.height, frame.format.name) != (first.width, first.height, first.format.name):
            raise UndecodableError("its frames change their size or their form")
        last_s = float(frame.time if frame.time is not None else number / (stream.average_rate or 24))
        graph.push(frame)
        _pull(graph, seen)
    if graph is None or first is None:
        raise UndecodableError("there is no frame in it")
    graph.push(None)
    _pull(graph, seen)
    start_s = float(first.time or 0.0)
    frame_s = (last_s - start_s) / max(len(seen.times) - 1, 1) or 1 / float(stream.average_rate or 24)
    seen.end(last_s + frame_s)
    return _measures(seen, last_s + frame_s - start_s, shown_size(first, ratio), likeness)


def _frames(media: Any, stream: Any, most: int) -> Iterator[Any]:
    """Yield the frames of a clip.

    Raises:
        UndecodableError: one of them is damaged, or there are fewer than its index says.
    """
    if stream.codec_context.width * stream.codec_context.height > MOST_FRAME_PIXELS:
        raise UndecodableError(f"its frames have more than {MOST_FRAME_PIXELS:,} pixels")
    stream.codec_context.thread_count, stream.codec_context.thread_type = 1, "NONE"
    stream.codec_context.options = {"err_detect": "explode"}
    packets = frames = 0
    for packet in media.demux(stream):
        if packet.size and packet.is_corrupt:
            raise UndecodableError("a part of it is missing")
        packets += bool(packet.size) and not packet.is_discard
        for frame in packet.decode():
            frames += 1
            if frames > most:
                raise UndecodableError(f"it has more than {most:,} frames")
            if frame.is_corrupt:
                raise UndecodableError("a frame of it is damaged")
            if frame.width * frame.height > MOST_FRAME_PIXELS:
                raise UndecodableError(f"its frames have more than {MOST_FRAME_PIXELS:,} pixels")
            yield frame
    promised = stream.frames or packets
    if frames < min(promised, packets or promised) - 1 or packets < stream.frames * 0.98:
        raise UndecodableError(f"it has {frames:,} frames, and its index {promised:,}")


def _graph(stream: Any, *, is_wide: bool) -> Graph:
    """Return the filters, from a frame to a small one with all that they found in its metadata."""
    graph = Graph()
    graph.threads = 1
    last = graph.add_buffer(template=stream)
    size = f"{SMALL}:-2" if is_wide else f"-2:{SMALL}"
    for name, options in (("scale", f"{size}:flags=area"), *_FILTERS):
        each = graph.add(name, options)
        last.link_to(each)
        last = each
    last.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def _pull(graph: Graph, seen: _Seen) -> None:
    """Add all frames that are through the filters."""
    while True:
        try:
            small = graph.pull()
        except (WouldBlockError, EndError):
            return
        seen.add(small)


def _block_means(small: Any) -> NDArray[np.float64]:
    plane = small.planes[0]
    luma = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
    side = max(SMALL // _BLOCKS, 1)
    high, wide = luma.shape[0] // side, luma.shape[1] // side
    return luma[: high * side, : wide * side].reshape(high, side, wide, side).mean((1, 3))


def _measures(seen: _Seen, length_s: float, size: tuple[int, int], likeness: float | None) -> Measures:
    black = [each for each in seen.black if each.end_s - each.start_s >= BLACK_STRETCH_S - 1e-6]
    return Measures(
        duration_s=length_s,
        width=size[0],
        height=size[1],
        first_frame_similarity=likeness,
        black_fraction=min(total_s(black, BLACK_STRETCH_S) / length_s, 1.0),
        frozen_fraction=min(total_s(less(seen.frozen, black), 0.0) / length_s, 1.0),
        cuts=count_cuts(changes_of(seen.blocks)),
        motion=sum(seen.changes[1:]) / max(len(seen.changes) - 1, 1),
    )
