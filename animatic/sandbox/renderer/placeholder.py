"""A still to stand in for one that lives elsewhere: the sandbox fetches nothing from the network."""

import colorsys
import hashlib
import io

import numpy as np
from PIL import Image

_SIZE_PX = {"16:9": (1280, 720), "9:16": (720, 1280), "1:1": (1024, 1024), "4:3": (1152, 864), "3:4": (864, 1152)}


def draw_placeholder(url: str, aspect_ratio: str) -> bytes:
    """Draw a PNG: an evening sky over a dark ridge, its colours and its outline drawn from the URL."""
    width_px, height_px = _SIZE_PX[aspect_ratio]
    digest = hashlib.sha256(url.encode("utf-8", "surrogatepass")).digest()
    hue = digest[0] / 255
    top, bottom = (
        np.array(colorsys.hsv_to_rgb(h % 1, s, v)) for h, s, v in ((hue, 0.6, 0.35), (hue + 0.1, 0.45, 0.95))
    )
    down = np.linspace(0, 1, height_px)[:, None, None]
    sky = np.broadcast_to(top * (1 - down) + bottom * down, (height_px, width_px, 3)).copy()
    across = np.linspace(0, 2 * np.pi, width_px)
    waves = sum(np.sin(across * (n + 1) + digest[n] / 40) / (n + 1) for n in range(1, 6))
    ridge_px = height_px * (0.72 + 0.06 * np.asarray(waves))
    below = np.arange(height_px)[:, None] > ridge_px[None, :]
    sky[below] = np.array(colorsys.hsv_to_rgb((hue + 0.55) % 1, 0.5, 0.12))
    drawn = io.BytesIO()
    Image.fromarray((sky * 255).astype(np.uint8)).save(drawn, "PNG", compress_level=1)
    return drawn.getvalue()


def as_png(still: bytes) -> bytes:
    """Return a picture as a PNG, its pixels unchanged: here, the output of a model that makes pictures."""
    drawn = io.BytesIO()
    with Image.open(io.BytesIO(still), formats=["PNG", "JPEG", "WEBP"]) as image:
        image.convert("RGB").save(drawn, "PNG", compress_level=1)
    return drawn.getvalue()
