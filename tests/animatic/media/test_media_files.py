"""Audio and video that models take: looked at before they are uploaded, and known by their bytes."""

import hashlib
import io
import wave
from pathlib import Path

import av
import pytest

from animatic.media.local_stills import LocalStills
from animatic.media.media_files import probe_media
from animatic.sandbox.renderer.blank import blank_clip
from animatic.takes import stills
from animatic.takes.stills import MEDIA_FORMS, MediaFile, MissingStill


def sound(seconds: float = 0.2) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8_000)
        out.writeframes(bytes(int(16_000 * seconds)))
    return file.getvalue()


def encoded(container: str, codec: str) -> bytes:
    """Half a second of silence, or of black."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=48_000)
        frame = av.AudioFrame(format="fltp" if codec != "flac" else "s16", layout="stereo", samples=1_024)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate = 48_000
        for number in range(20):
            frame.pts = number * 1_024
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


FILES = {
    ".wav": sound,
    ".mp4": lambda: blank_clip("16:9", 5),
    ".mov": lambda: blank_clip("16:9", 5),
    ".m4a": lambda: encoded("ipod", "aac"),
    ".aac": lambda: encoded("adts", "aac"),
    ".flac": lambda: encoded("flac", "flac"),
}


@pytest.mark.parametrize("suffix", FILES)
def test_audio_and_video_are_known_by_their_bytes(suffix: str) -> None:
    data = FILES[suffix]()
    found = probe_media(io.BytesIO(data), suffix)
    assert found == MediaFile(hashlib.sha256(data).hexdigest(), len(data), suffix)
    assert found.media_type == MEDIA_FORMS[suffix].media_type


@pytest.mark.parametrize(
    ("data", "suffix", "fault"),
    [
        (b"", ".wav", "is empty"),
        (b"no sound at all", ".mp3", "cannot be read as audio; is it cut off, or is its suffix wrong?"),
        (b"<html></html>", ".mp4", "cannot be read as video; is it cut off, or is its suffix wrong?"),
        (sound(), ".mp4", "cannot be read as video; is it cut off, or is its suffix wrong?"),
        (blank_clip("16:9", 5)[:200], ".mp4", "cannot be read as video; is it cut off, or is its suffix wrong?"),
        (blank_clip("16:9", 5), ".m4a", "has no sound in it"),
        (encoded("ipod", "aac"), ".mov", "has no picture in it"),
    ],
)
def test_what_is_neither_audio_nor_video_is_a_fault(data: bytes, suffix: str, fault: str) -> None:
    assert probe_media(io.BytesIO(data), suffix) == fault


def test_a_playlist_that_names_other_files_is_never_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(sound())
    (tmp_path / "a.wav").write_text(f"ffconcat version 1.0\nfile {tmp_path / 'secret.wav'}\n")
    (tmp_path / "b.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\nfile://{tmp_path / 'secret.wav'}\n")
    found = LocalStills(str(tmp_path / "shots.csv")).probe_all(["a.wav", "b.mp4", "none.mp3"])
    assert [str(found[name]).partition(";")[0] for name in ("a.wav", "b.mp4")] == [
        "cannot be read as audio",
        "cannot be read as video",
    ]
    assert isinstance(found["none.mp3"], MissingStill)


def test_a_file_that_is_too_large_is_not_read_on(tmp_path: Path) -> None:
    with (tmp_path / "a.wav").open("wb") as file:
        file.write(sound())
        file.truncate(stills.MAX_MEDIA_BYTES + 1)  # a hole, which takes no room
    assert LocalStills(str(tmp_path / "shots.csv")).probe("a.wav") == "is larger than 200 MiB"
