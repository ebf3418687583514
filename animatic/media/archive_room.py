"""The room that the clips of a run need on the archive's disk."""

import asyncio

from animatic.errors import LocationError
from animatic.ledger import Ledger
from animatic.storage.folder import Folder

USUAL_CLIP_BYTES = 5_000_000
"""Size of a clip where none was archived yet: 720p, some seconds."""


def room_note(uri: str, room_bytes: int | None, clips: int, clip_bytes: int | None) -> str | None:
    """Return a line for people where the clips would not fit; None where they do, or where that is not known.

    Args:
        uri: of the archive.
        room_bytes: free for clips on the archive's disk; None where it is not known.
        clips: number of clips to come.
        clip_bytes: mean size of earlier ones; None where there are none.
    """
    needed = clips * (clip_bytes or USUAL_CLIP_BYTES)
    if room_bytes is None or needed <= max(room_bytes, 0):
        return None
    return (
        f"archive {uri}: {_in_words(max(room_bytes, 0))} are free for clips, and {clips:,} clips need about "
        f"{_in_words(needed)}; make room, or give another --archive. All takes are bought either way, and a later run "
        "archives the rest"
    )


def _in_words(size_bytes: int) -> str:
    for unit, name in ((10**12, "TB"), (10**9, "GB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:,.1f} {name}"
    return f"{size_bytes / 10**6:,.1f} MB"


async def find_room_note(folder: Folder, ledger: Ledger | None, clips: int) -> str | None:
    """Return a line for people where so many clips would not fit into the archive.

    Raises:
        LocationError: its disk cannot be looked at.
    """
    try:
        room_bytes = await asyncio.to_thread(folder.room_bytes)
    except OSError as error:
        raise LocationError(f"{folder.uri}: cannot look into it: {error.strerror}") from None
    return room_note(folder.uri, room_bytes, clips, None if ledger is None else await ledger.usual_clip_bytes())
