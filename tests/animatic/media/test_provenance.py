"""Copies of clips that say where they came from: what they say, and that they are the same clip."""

import hashlib
from pathlib import Path

import av
import numpy as np
import pytest
from filmed import film, frames_in, grey, turn

from animatic.media.provenance import copy_with, tags_of

PROMPT = 'Crane up — über "alles";\nline two = 猫\\# and then' + " on" * 2_000
ROW = {"fingerprint": "f" * 64, "prompt": PROMPT, "model": "a/b", "prediction_id": "p1", "run_id": "r1"}


def metadata_of(path: Path) -> dict[str, str]:
    with av.open(str(path)) as clip:
        return dict(clip.metadata)


def packets_of(path: Path) -> list[tuple[int, object, object, bytes]]:
    with av.open(str(path)) as clip:
        return [
            (packet.stream.index, packet.pts and packet.pts * packet.time_base, packet.is_keyframe, bytes(packet))
            for packet in clip.demux()
            if packet.size
        ]


def clip(path: Path, *, tone_hz: float | None = 440.0) -> Path:
    return film(path, [grey(5 * number, (320, 180)) for number in range(24)], tone_hz=tone_hz)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_copy_says_where_it_came_from_and_is_the_same_clip(tmp_path: Path, suffix: str) -> None:
    source, copy = clip(tmp_path / f"clip{suffix}"), tmp_path / f"copy{suffix}"
    before = source.read_bytes()
    tags = tags_of(ROW, hashlib.sha256(before).hexdigest())
    copy_with(tags, source, copy)
    assert source.read_bytes() == before
    assert metadata_of(copy).items() >= tags.items()
    assert metadata_of(copy)["animatic.prompt"] == PROMPT
    assert sorted(packets_of(copy), key=repr) == sorted(packets_of(source), key=repr)
    assert all(np.array_equal(*pair) for pair in zip(frames_in(source), frames_in(copy), strict=True))


def test_a_copy_is_turned_as_its_clip_is(tmp_path: Path) -> None:
    source, copy = turn(clip(tmp_path / "plain.mp4"), tmp_path / "turned.mp4"), tmp_path / "copy.mp4"
    copy_with({"animatic.run": "r"}, source, copy)
    with av.open(str(source)) as one, av.open(str(copy)) as other:
        assert next(one.decode(video=0)).rotation == next(other.decode(video=0)).rotation != 0


def test_the_same_clip_and_tags_make_the_same_bytes(tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.mp4", tone_hz=None)
    for name in ("one.mp4", "two.mp4"):
        copy_with(tags_of(ROW, "0" * 64), source, tmp_path / name)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


@pytest.mark.parametrize("data", [b"", b"no clip", b"#EXTM3U\nfile:///etc/passwd\n"])
def test_what_is_no_clip_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "clip.mp4").write_bytes(data)
    with pytest.raises(ValueError, match="cannot be copied"):
        copy_with({}, tmp_path / "clip.mp4", tmp_path / "copy.mp4")


def test_a_tag_holds_no_zero_byte_and_is_bounded() -> None:
    tags = tags_of({**ROW, "prompt": "a\0b" + "x" * 100_000, "prediction_id": None}, "0" * 64)
    assert tags["animatic.prompt"].startswith("abx")
    assert len(tags["animatic.prompt"]) == 20_000
    assert "animatic.prediction" not in tags
