"""The clips that the results table shows: one for each output of a take."""

from collections.abc import Iterable, Sequence

from animatic.ledger import Clip


def clips_by_attempt(found: Iterable[tuple[str, Clip]], archive: str) -> dict[int, Sequence[Clip]]:
    """Return the clips to show of each attempt, in the order of its outputs.

    Args:
        found: a fingerprint and a clip of it each, oldest first.
        archive: URI of the folder that is preferred; what is there comes before what is elsewhere.
    """
    chosen: dict[int, dict[int, Clip]] = {}
    for _, clip in found:
        of_attempt = chosen.setdefault(clip.attempt_id, {})
        other = of_attempt.get(clip.output)
        if other is None or _rank(clip, archive) >= _rank(other, archive):
            of_attempt[clip.output] = clip
    return {attempt_id: [clips[output] for output in sorted(clips)] for attempt_id, clips in chosen.items()}


def _rank(clip: Clip, archive: str) -> int:
    return 2 * (clip.file is not None) + (clip.archive == archive)
