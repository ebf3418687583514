"""Review pages as Prefect shows them: what is on them, in words and in one picture."""

from animatic import storage
from animatic.errors import AnimaticError
from animatic.errors.text import counted
from animatic.results.board import Board
from animatic.review.media import FOLDER
from animatic.review.page import INDEX, place_in
from tasks.review import MOST_PICTURE_BYTES, ReviewShown

_MOST_POSTER_BYTES = 4 << 20


def words_on(board: Board) -> str:
    """Return what is on a board, in a sentence."""
    takes = [take for shot in board.shots for take in shot.takes]
    completed = sum(take.row["status"] == "completed" for take in takes)
    return f"{counted(len(board.shots), 'shot')}, {counted(len(takes), 'take')}, {completed:,} completed"


def shown_of(board: Board, out: str) -> ReviewShown:
    """Return what Prefect shows of the page in a folder. Takes that are flagged NSFW are not in the picture."""
    from animatic.media.poster_sheet import MOST_POSTERS, draw_poster_sheet  # noqa: PLC0415 - Pillow, for pages only

    picked = [(shot.shot_id, shot.picked) for shot in board.shots]
    clean = [(name, take.row) for name, take in picked if take is not None and not take.row["nsfw"]]
    posters = list[tuple[str, bytes]]()
    for name, row in clean:
        if row.get("sha256") and len(posters) < MOST_POSTERS:
            try:
                place = place_in(place_in(out, FOLDER), f"{row['sha256']}.poster.jpg")
                posters.append((f"{name} take {row['take']}", storage.read_bytes(place, max_bytes=_MOST_POSTER_BYTES)))
            except AnimaticError:  # there is no poster of a clip that cannot be decoded
                continue
    page = storage.absolute_uri(place_in(out, INDEX))
    return ReviewShown(page, words_on(board), draw_poster_sheet(posters, MOST_PICTURE_BYTES * 3 // 4))
