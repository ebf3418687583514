"""The line that names an archive without room for its clips."""

import pytest

from animatic.media.archive_room import room_note


@pytest.mark.parametrize(
    ("room_bytes", "clips", "clip_bytes"),
    [(None, 1_000, None), (5_000_000, 1, None), (600_000, 2, 300_000), (0, 0, None), (10**12, 100_000, None)],
)
def test_nothing_is_said_where_clips_fit_or_room_is_unknown(
    room_bytes: int | None, clips: int, clip_bytes: int | None
) -> None:
    assert room_note("file:///clips", room_bytes, clips, clip_bytes) is None


@pytest.mark.parametrize(
    ("room_bytes", "clips", "clip_bytes", "free", "needed"),
    [
        (4_999_999, 1, None, "5.0 MB are free", "1 clips need about 5.0 MB"),
        (-5, 1, 10, "0.0 MB are free", "need about 0.0 MB"),
        (2 * 10**9, 100_000, None, "2.0 GB are free", "100,000 clips need about 500.0 GB"),
        (2 * 10**9, 400, 10**10, "2.0 GB are free", "400 clips need about 4.0 TB"),
    ],
)
def test_a_lack_of_room_is_named_with_both_sizes(
    room_bytes: int, clips: int, clip_bytes: int | None, free: str, needed: str
) -> None:
    note = str(room_note("file:///clips", room_bytes, clips, clip_bytes))
    assert free in note
    assert needed in note
    assert "--archive" in note
