"""Storyboards of a board, as commands choose them and name files after them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from animatic.errors import SettingsError
from animatic.errors.text import quoted
from animatic.media.clip_names import safe_name, same_name_key
from animatic.results.board import Board, Storyboard

_CHOSEN_BY = ("storyboard", "shot_id")
_MOST_NAMED = 5


def chosen_storyboards(board: Board, only: Mapping[str, Sequence[str]]) -> list[Storyboard]:
    """Return the storyboards that `--only` leaves, with those of their shots that it leaves.

    Raises:
        SettingsError: it names another column, or leaves nothing.
    """
    unknown = [name for name in only if name not in _CHOSEN_BY]
    if unknown:
        raise SettingsError(f"--only: found the column {quoted(unknown[0])}; allowed: {', '.join(_CHOSEN_BY)}")
    chosen: list[Storyboard] = []
    for storyboard in board.storyboards:
        if "storyboard" in only and storyboard.name not in only["storyboard"]:
            continue
        shots = tuple(shot for shot in storyboard.shots if "shot_id" not in only or shot.shot_id in only["shot_id"])
        if shots:
            chosen.append(replace(storyboard, shots=shots))
    if not chosen:
        raise SettingsError(f"--only: no shot is left; the tables have the storyboards {names_of(board.storyboards)}")
    return chosen


def with_file_names(storyboards: Sequence[Storyboard]) -> list[tuple[Storyboard, str]]:
    """Return each storyboard with a name for its file, without a suffix; no two are the same, on any disk."""
    named: list[tuple[Storyboard, str]] = []
    taken: set[str] = set()
    for storyboard in storyboards:
        number, name = 1, safe_name(storyboard.name or "storyboard")
        while same_name_key(name) in taken:
            number += 1
            name = safe_name(storyboard.name, f"_{number}")
        taken.add(same_name_key(name))
        named.append((storyboard, name))
    return named


def names_of(storyboards: Sequence[Storyboard]) -> str:
    """Return the names of the first storyboards, for people."""
    names = [quoted(storyboard.name) for storyboard in storyboards]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
