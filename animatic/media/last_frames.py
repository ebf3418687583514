"""Last frames of archived clips, for shots that start from them. Reads clips, writes none.

A clip is only used while it is the file that was archived. The picture is sent as it is decoded here and now; what
identifies it is the take that made the clip.
"""

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import file_digest
from typing import Any, BinaryIO, cast

from animatic import storage
from animatic.errors import LocationError, SourceError
from animatic.ledger import Clip, Ledger
from animatic.takes.chains import source_of
from animatic.takes.stills import LocalFile
from animatic.wavespeed.client import WaveSpeedClient
from animatic.web.network import DIRECT, Network

MOST_CLIP_BYTES = 4 << 30
MOST_PIXELS = 64_000_000
MOST_FRAMES = 200_000
"""So many frames are decoded to find the last; ten minutes at 60 a second are 36,000."""

MEDIA_TYPE = "image/png"


@dataclass(frozen=True, slots=True)
class LastFrames:
    """Last frames of the takes of one ledger."""

    ledger: Ledger
    network: Network = DIRECT

    async def upload(self, client: WaveSpeedClient, file: LocalFile) -> str:
        """Upload the last frame that a file of a shot stands for; where it can be fetched.

        Raises:
            SourceError: the clip is gone, or is no video any more.
        """
        source = source_of(file.identity) or ""
        clips = await self.clips_of([source])
        reasons: list[str] = []
        for clip in clips.get(source, ()):
            try:
                picture = await asyncio.to_thread(self._extract, clip)
            except (LocationError, ValueError) as error:
                reasons.append(str(error))
                continue
            return await client.upload(f"{source[:32]}.png", io.BytesIO(picture), MEDIA_TYPE)
        why = "; ".join(reasons) or "it is in no archive"
        raise SourceError(f"shot {file.shot_id}: the clip of take {source[:12]}, which it starts from, is gone: {why}")

    async def clips_of(self, sources: Sequence[str]) -> dict[str, list[Clip]]:
        """Return the archived clips of takes by fingerprint: of the first output that is a video, the newest first.

        Only those of the newest attempt at each: a take that was bought again has another clip now.
        """
        found, records = dict[str, list[Clip]](), await self.ledger.look_up(sources)
        for source, clip in await self.ledger.clips_of(sources):
            is_current = source not in records or records[source].attempt_id == clip.attempt_id
            if clip.file is not None and clip.frames and is_current:
                found.setdefault(source, []).insert(0, clip)
        return {
            source: [each for each in clips if each.output == min(other.output for other in clips)]
            for source, clips in found.items()
        }

    def _extract(self, clip: Clip) -> bytes:
        with storage.open_copy(clip.uri or "", max_bytes=MOST_CLIP_BYTES, network=self.network) as copy:
            if file_digest(cast("Any", copy), "sha256").hexdigest() != clip.sha256:
                raise ValueError(f"{clip.uri} is not the file that was archived")
            copy.seek(0)
            return last_frame(copy, clip.uri or "")


def last_frame(clip: BinaryIO, name: str) -> bytes:
    """Return the last frame of a clip as a PNG, as players show it.

    Raises:
        ValueError: it cannot be decoded, or is too large; in a sentence that names the clip.
    """
    import av  # noqa: PLC0415 - the start of a run need not wait for it
    from av.error import FFmpegError  # noqa: PLC0415 - the same

    from animatic.media.frames import SAFELY, as_shown  # noqa: PLC0415 - the same

    try:
        with av.open(clip, "r", options=SAFELY, metadata_errors="ignore") as container:
            if not container.streams.video:
                raise ValueError(f"{name} has no video in it")
            stream = container.streams.video[0]
            if stream.width * stream.height > MOST_PIXELS:
                raise ValueError(f"{name} has pictures of {stream.width} x {stream.height}, too large to be a still")
            frame, ratio = _last(container, stream), float(stream.sample_aspect_ratio or 1)
    except (FFmpegError, OSError) as error:
        raise ValueError(f"{name} cannot be decoded: {error}") from None
    if frame is None:
        raise ValueError(f"{name} has no frame that can be decoded")
    out = io.BytesIO()
    as_shown(frame, ratio if 0.1 < ratio < 10 else 1.0).save(out, "PNG")
    return out.getvalue()


def _last(container: Any, stream: Any) -> Any:
    """Decode from the last key frame on; from the beginning where that shows none."""
    for is_near_end in (True, False):
        if is_near_end and not stream.duration:
            continue
        container.seek((stream.start_time or 0) + stream.duration if is_near_end else 0, stream=stream)
        frame = None
        for number, frame in enumerate(container.decode(stream)):  # noqa: B007 - the last one is what we keep
            if number >= MOST_FRAMES:
                raise ValueError(f"more than {MOST_FRAMES:,} frames in a clip")
        if frame is not None:
            return frame
    return None
