"""Probing of clips."""

from pathlib import Path

import pytest

from animatic.media.clips import probe_clip


@pytest.mark.parametrize("data", [b"", b"not a video", bytes(4096)])
def test_what_is_no_video_is_refused_with_a_sentence(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)

    with pytest.raises(ValueError, match="not a playable video"):
        probe_clip(data)
    with pytest.raises(ValueError, match=r"clip\.mp4"):
        probe_clip(path)
