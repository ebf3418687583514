"""Media that a page lacks, in lines for people."""

from typing import NamedTuple

from animatic.errors.text import one_line
from animatic.results.board import Board
from animatic.review.page_data import Media, archived_clips

_NAME_CHARS = 100


class Problems(NamedTuple):
    """Lines on the media of a page.

    Attributes:
        missing: clips that should be beside the page, and are not, or without their pictures.
        notes: stills that cannot be fetched, and clips that cannot be decoded.
    """

    missing: list[str]
    notes: list[str]

    @property
    def summary(self) -> str:
        """All of it in one line; empty where there is none."""
        lines = [*self.missing, *self.notes]
        if not lines:
            return ""
        more = f"; and {len(lines) - 1:,} more" if len(lines) > 1 else ""
        return f"{len(lines):,} of its clips and stills cannot be shown: {lines[0]}{more}"


def problems_of(board: Board, media: Media) -> Problems:
    """Return lines on the clips and stills of a board that are not in the page's folder."""
    missing, notes, seen = list[str](), list[str](), set[str]()
    for shot in board.shots:
        name = one_line(shot.shot_id, _NAME_CHARS)
        for take in shot.takes:
            uri = take.row.get("still_uri") or ""
            still = media.stills.get(uri)
            if isinstance(still, str) and uri not in seen:
                seen.add(uri)
                notes.append(f"shot {name}: {one_line(still)}")
            clips = [media.clips.get(sha256) for sha256, _ in archived_clips(take.row)]
            for clip in clips:
                if clip is not None and clip.problem and (clip.is_missing or clip.name):
                    line = f"shot {name}, take {take.number}: the clip {one_line(clip.problem)}"
                    (missing if clip.is_missing else notes).append(line)
    return Problems(missing, notes)
