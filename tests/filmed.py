"""Clips for tests, written by PyAV from pictures that a test thinks up; and what can be seen and heard in a clip."""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

SOUND_RATE = 44_100


def grey(lightness: int, size: tuple[int, int] = (640, 360)) -> np.ndarray:
    """Return a picture of one grey with a red top left corner."""
    picture = np.full((size[1], size[0], 3), lightness, np.uint8)
    picture[: size[1] // 4, : size[0] // 4] = (255, 0, 0)
    return picture


def circle(colour: tuple[int, int, int], size: tuple[int, int] = (640, 360)) -> np.ndarray:
    """Return a circle in the middle of a dark picture; its radius is a quarter of the shorter side."""
    y, x = np.ogrid[: size[1], : size[0]]
    inside = (x - size[0] / 2 + 0.5) ** 2 + (y - size[1] / 2 + 0.5) ** 2 < (min(size) / 4) ** 2
    picture = np.full((size[1], size[0], 3), 40, np.uint8)
    picture[inside] = colour
    return picture


def film(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    fps: Fraction | int = 24,
    tone_hz: float | None = None,
    moments: Sequence[float] | None = None,
    pixel_ratio: Fraction | None = None,
    codec: str = "libx264",
) -> Path:
    """Write a clip; with `tone_hz`, one with sound; with `moments` in seconds, one of a variable frame rate."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=fps, options={"crf": "12"} if codec == "libx264" else {})
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"
        if pixel_ratio is not None:
            stream.codec_context.sample_aspect_ratio = pixel_ratio
        if moments is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 12_000)
        sound: Any = None if tone_hz is None else container.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if moments is not None:
                frame.pts, frame.time_base = round(moments[number] * 12_000), Fraction(1, 12_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if tone_hz is not None:
            _hum(container, sound, tone_hz, len(pictures) / float(fps))
    return path


def _hum(container: Any, stream: Any, hz: float, seconds: float) -> None:
    samples = np.sin(np.arange(int(seconds * SOUND_RATE)) * 2 * np.pi * hz / SOUND_RATE).astype(np.float32) / 2
    frame = av.AudioFrame.from_ndarray(np.stack([samples, samples]), format="fltp", layout="stereo")
    frame.sample_rate = SOUND_RATE
    frame.pts = 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode())


def turn(clip: Path, into: Path) -> Path:
    """Copy a clip, and say in it that it is shown a quarter turned clockwise, as phones do."""
    data = bytearray(clip.read_bytes())
    track = data.index(b"tkhd") + 4
    data[track + 40 : track + 76] = np.array([0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000], ">i4").tobytes()
    into.write_bytes(data)
    return into


def frames_in(clip: Path) -> list[np.ndarray]:
    """Return all frames of a clip in RGB, as they are stored."""
    with av.open(str(clip)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def loudness_of(clip: Path) -> np.ndarray | None:
    """Return the loudness of each tenth of a second of a clip's sound, 0 to 1; None where it has no sound."""
    with av.open(str(clip)) as container:
        if not container.streams.audio:
            return None
        rate = container.streams.audio[0].rate
        parts = [frame.to_ndarray().mean(axis=0) for frame in container.decode(audio=0)]
    samples = np.concatenate(parts)
    step = rate // 10
    return np.array([np.abs(samples[at : at + step]).max() for at in range(0, len(samples) - step + 1, step)])


def lightness_of(pictures: Iterable[np.ndarray], where: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return the mean lightness of a part of each picture."""
    return np.array([where(picture).mean() for picture in pictures])
