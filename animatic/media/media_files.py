"""Audio and video files that models take: identity by their bytes, and a look by PyAV before they are uploaded."""

import hashlib
from typing import Any, BinaryIO

from animatic.takes.stills import MAX_MEDIA_BYTES, MEDIA_FORMS, MediaFile

_CHUNK_BYTES = 1 << 20
_MOST_PACKETS = 1_000
TOO_LARGE = f"is larger than {MAX_MEDIA_BYTES >> 20} MiB"


def probe_media(file: BinaryIO, suffix: str) -> MediaFile | str:
    """Return the audio or video in a file with this suffix, or its fault in words that follow the file's name.

    Its first frame is decoded. The suffix says which container it is: nothing else is tried on hostile bytes. Raises
    OSError where reading fails.
    """
    form = MEDIA_FORMS[suffix]
    digest, size_bytes = hashlib.sha256(), 0
    while size_bytes <= MAX_MEDIA_BYTES and (chunk := file.read(_CHUNK_BYTES)):
        digest.update(chunk)
        size_bytes += len(chunk)
    if not size_bytes:
        return "is empty"
    if size_bytes > MAX_MEDIA_BYTES:
        return TOO_LARGE
    file.seek(0)
    fault = _fault_of(file, form.kind, form.container)
    return fault or MediaFile(digest.hexdigest(), size_bytes, suffix)


def _fault_of(file: BinaryIO, kind: str, container: str) -> str | None:
    """Return the fault of a file; None for one whose first frame of sound or picture can be decoded."""
    import av  # noqa: PLC0415 - FFmpeg's libraries, for manifests with audio or video only
    from av.error import FFmpegError  # noqa: PLC0415 - beside the import above

    try:
        with av.open(file, "r", format=container, metadata_errors="ignore") as media:
            streams: Any = media.streams.audio if kind == "audio" else media.streams.video
            if not streams:
                return f"has no {'sound' if kind == 'audio' else 'picture'} in it"
            for number, packet in enumerate(media.demux(streams[0])):
                if packet.decode():
                    return None
                if number > _MOST_PACKETS:
                    break
    except (FFmpegError, OSError, ValueError, EOFError):
        return f"cannot be read as {kind}; is it cut off, or is its suffix wrong?"
    return f"has nothing in it that can be decoded as {kind}"
