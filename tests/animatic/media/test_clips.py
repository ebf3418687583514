"""Probing of clips."""

import io
import struct
from pathlib import Path

import av
import pytest

from animatic.media.clips import probe_clip
from animatic.media.frames import frames_of, opened_clip
from animatic.sandbox.renderer.blank import blank_clip


@pytest.mark.parametrize("data", [b"", b"not a video", bytes(4096)])
def test_what_is_no_video_is_refused_with_a_sentence(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)

    with pytest.raises(ValueError, match="not a playable video"):
        probe_clip(data)
    with pytest.raises(ValueError, match=r"clip\.mp4"):
        probe_clip(path)


def test_a_clip_that_claims_more_samples_than_it_has_room_for_is_refused(tmp_path: Path) -> None:
    clip = bytearray(blank_clip("16:9", 5))
    at = clip.index(b"stsz") + 8
    clip[at : at + 8] = struct.pack(">II", 1, 170_000_000)  # each of one byte, as FFmpeg believes
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip)
    with pytest.raises(ValueError, match="claims to have more samples than a clip may have"):
        probe_clip(path)
    assert probe_clip(blank_clip("16:9", 5)).frames == 5


def test_the_metadata_of_a_clip_may_be_in_any_encoding(tmp_path: Path) -> None:
    file = io.BytesIO()
    with av.open(io.BytesIO(blank_clip("16:9", 1))) as source, av.open(file, "w", format="mp4") as copy:
        copy.metadata["comment"] = "caf#"
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)
    path = tmp_path / "clip.mp4"
    path.write_bytes(file.getvalue().replace(b"caf#", b"caf\xe9"))
    assert probe_clip(path).frames == 1
    with opened_clip(path) as container:
        assert len(list(frames_of(container))) == 1
