"""A still and a prompt, rendered as a clip: the picture in depth layers, a camera moving through them, H.264 in an MP4.

The same arguments give the same bytes. Nothing here waits, forks or keeps state: `render_clip` fits any process pool.
"""

import io
import math
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps

from animatic.sandbox.renderer.camera import Move, Pose, parse_move
from animatic.sandbox.renderer.compositor import LayerPlanes, Planes, Window, draw, fit, rolled, sheet
from animatic.sandbox.renderer.layers import NEARNESS, Bytes, Layer, split_layers

FPS = 24
FRAME_SIZES = {"16:9": (1280, 720), "9:16": (720, 1280)}
MAX_DURATION_S = 10
MAX_STILL_BYTES = 20 * 1024 * 1024
MAX_STILL_PIXELS = 50_000_000
ENOUGH = 1700  # pixels on the short side of a still: more of them show in no frame
SPARE = 1.5  # of a still that is wider or taller than the frame, a move may use this many frames' worth
FINEST = 1.3  # canvas pixels to a frame pixel, at most
ORBIT_PIVOT = 0.75  # the nearness around which the camera circles
ENCODER = {"preset": "superfast", "crf": "23", "threads": "1", "bf": "0", "g": "48"}
LIGHTS = ((1.0, 0.0), (1.13, -0.05), (0.89, 0.035), (1.06, 0.05))
"""Gamma (above 1 is darker) and warmth of the takes of a shot, by seed: another hour, not another picture."""
BT709 = 1
LIMITED = 1


def render_clip(still: bytes, prompt: str, *, aspect_ratio: str, duration_s: int, seed: int) -> bytes:
    """Render an MP4 (H.264, 24 frames a second, playable while it loads): the still, moved as the prompt says.

    `aspect_ratio` is a key of FRAME_SIZES, `duration_s` whole seconds. Raises ValueError, with a sentence, for anything
    that is not an image we can use.
    """
    if aspect_ratio not in FRAME_SIZES:
        raise ValueError(f"aspect_ratio: found {aspect_ratio!r}; allowed: {', '.join(FRAME_SIZES)}")
    if not 1 <= duration_s <= MAX_DURATION_S:
        raise ValueError(f"duration_s: found {duration_s}; allowed: 1 to {MAX_DURATION_S}")
    size = FRAME_SIZES[aspect_ratio]
    move = parse_move(prompt, seed)
    count = FPS * duration_s
    poses = [move.pose(i / (count - 1), i / FPS) for i in range(count)]
    with open_still(still) as image:
        shot = _frame(image, poses, size)
    return _encode(_frames(shot, move, poses, size, _curves(*LIGHTS[seed % len(LIGHTS)])), size)


def open_still(data: bytes) -> Image.Image:
    """Open the still, upright and opaque, in RGB. Raises ValueError, with a sentence, for no good JPEG, PNG or WEBP."""
    if len(data) > MAX_STILL_BYTES:
        raise ValueError(f"the still has {len(data):,} bytes; allowed: {MAX_STILL_BYTES:,}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # damaged EXIF: the picture is what counts
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _upright(Image.open(io.BytesIO(data), formats=["JPEG", "PNG", "WEBP"]))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ValueError(f"the still has too many pixels; allowed: {MAX_STILL_PIXELS:,}") from None
    except Image.UnidentifiedImageError:
        raise ValueError("the still is not an image; allowed: JPEG, PNG, WEBP") from None
    except (OSError, SyntaxError, EOFError) as error:
        raise ValueError(f"the still is damaged or cut off: {error}") from None


def _upright(image: Image.Image) -> Image.Image:
    pixels = image.width * image.height
    if pixels > MAX_STILL_PIXELS:
        raise ValueError(f"the still has {pixels:,} pixels; allowed: {MAX_STILL_PIXELS:,}")
    if min(image.size) > ENOUGH:  # a JPEG can be decoded smaller, in a fraction of the time
        smaller = ENOUGH / min(image.size)
        image.draft("RGB", (math.ceil(image.width * smaller), math.ceil(image.height * smaller)))
    return _opaque(ImageOps.exif_transpose(image))


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image, dtype=np.float64) / 257).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        whole = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", whole.size, (16, 16, 18, 255)), whole).convert("RGB")
    return image.convert("RGB")


# -- the canvas, and the windows through which it is seen ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shot:
    """A canvas, (height, width, 3), and how windows lie on it.

    Attributes:
        fine: canvas pixels to a frame pixel when the still is seen plainly.
        crop: how much smaller than that windows are, so that no move ever sees an edge; at least 1.
        margin: frame pixels drawn beyond each side, for the roll.
    """

    canvas: Bytes
    fine: float
    crop: float
    margin: int

    def window(self, pose: Pose, nearness: float, size: tuple[int, int]) -> Window:
        """Return the camera's window on a layer, the margin included."""
        height, width = self.canvas.shape[:2]
        off_x, off_y, scale = _seen_from(pose, nearness)
        unit = self.fine / self.crop
        middle_x, middle_y = width / 2 + off_x * size[0] * unit, height / 2 + off_y * size[1] * unit
        half_x, half_y = ((side / 2 + self.margin) * unit / scale for side in size)
        return Window(middle_x - half_x, middle_y - half_y, middle_x + half_x, middle_y + half_y)


def _seen_from(pose: Pose, nearness: float) -> tuple[float, float, float]:
    """Return how far the window of a layer is off the middle, in frames, and how much the layer is magnified."""
    off_x = pose.pan_x + pose.truck_x * nearness + pose.orbit * (nearness - ORBIT_PIVOT)
    off_y = pose.pan_y + pose.truck_y * nearness
    return off_x, off_y, math.exp(pose.zoom) / (1.0 - pose.dolly * nearness)


def _frame(image: Image.Image, poses: Sequence[Pose], size: tuple[int, int]) -> _Shot:
    """Crop the still to cover the frame, with as much spare picture around it as there is and the move can use."""
    cover = max(size[0] / image.width, size[1] / image.height)
    frames = [min(SPARE, side * cover / target) for side, target in zip(image.size, size, strict=True)]
    turn = max(abs(math.radians(pose.roll_deg)) for pose in poses)
    margin = 2 * math.ceil((turn * max(size) / 2 + 1) / 2) if turn else 0
    seen = [_seen_from(pose, nearness) for pose in poses for nearness in NEARNESS]
    reach = [
        max(2 * abs(view[axis]) + (1 + 2 * margin / size[axis]) / view[2] for view in seen) / frames[axis]
        for axis in (0, 1)
    ]
    crop = max(1.0, *reach)
    fine = min(FINEST, max(1.0, crop * max(view[2] for view in seen)))
    width, height = (2 * round(share * side * fine / 2) for share, side in zip(frames, size, strict=True))
    half_x, half_y = (share * side / cover / 2 for share, side in zip(frames, size, strict=True))
    middle_x, middle_y = image.width / 2, image.height / 2
    box = (
        max(0.0, middle_x - half_x),
        max(0.0, middle_y - half_y),
        min(float(image.width), middle_x + half_x),
        min(float(image.height), middle_y + half_y),
    )
    canvas = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS, box=box))
    return _Shot(canvas, fine, crop, margin)


def _curves(gamma: float, warmth: float) -> list[int]:
    """Return the curve of a light for red, green and blue; black and white stay."""
    values = np.arange(256) / 255
    channels = [values ** (gamma * (1.0 - side * warmth)) for side in (1, 0, -1)]
    return [round(float(value) * 255) for channel in channels for value in channel]


def _lit(layer: Layer, curves: Sequence[int]) -> Layer:
    return Layer(layer.nearness, np.asarray(Image.fromarray(layer.rgb).point(list(curves))), layer.alpha)


def _frames(
    shot: _Shot, move: Move, poses: Sequence[Pose], size: tuple[int, int], curves: Sequence[int]
) -> Iterator[Planes]:
    layers = [Layer(1.0, shot.canvas, None)] if move.is_static else split_layers(shot.canvas)
    layers = [_lit(layer, curves) for layer in layers]  # lit afterwards: all takes are parted into the same layers
    drawn = (size[0] + 2 * shot.margin, size[1] + 2 * shot.margin)
    paths = [[shot.window(pose, layer.nearness, size) for pose in poses] for layer in layers]
    sheets: list[LayerPlanes] = []
    for i, layer in enumerate(layers):
        fitted, paths[i] = fit(layer, paths[i], drawn)
        sheets.append(sheet(fitted))
    frame: Planes | None = None
    for number, pose in enumerate(poses):
        if frame is None or not move.is_static:
            frame = draw(sheets, [path[number] for path in paths], drawn)
            if shot.margin:
                frame = rolled(frame, math.radians(pose.roll_deg), shot.margin)
        yield frame


# -- encoding -----------------------------------------------------------------------------------------------------


def _encode(frames: Iterator[Planes], size: tuple[int, int]) -> bytes:
    """Encode the frames as an MP4 whose index comes first. One thread and no dates: equal frames, equal bytes."""
    width, height = size
    with tempfile.TemporaryDirectory(prefix="animatic-clip-") as folder:
        path = Path(folder) / "clip.mp4"
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}) as clip:
            stream = clip.add_stream("libx264", rate=FPS, options=ENCODER)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            context = stream.codec_context
            context.color_primaries = context.color_trc = context.colorspace = BT709
            context.color_range = LIMITED
            packed = np.empty((height * 3 // 2, width), np.uint8)
            for number, planes in enumerate(frames):
                packed[:height] = planes.luma
                packed[height : height * 5 // 4] = planes.blue.reshape(-1, width)
                packed[height * 5 // 4 :] = planes.red.reshape(-1, width)
                picture = av.VideoFrame.from_ndarray(packed, format="yuv420p")
                picture.pts, picture.time_base = number, Fraction(1, FPS)
                clip.mux(stream.encode(picture))
            clip.mux(stream.encode(None))
        return path.read_bytes()
