"""Paint and brushes for the demo stills: skies, ridges, mist, light, silhouettes on a float canvas. Knows no scene."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Floats = NDArray[np.floating[Any]]
Point = tuple[float, float]
Stops = Sequence[tuple[float, str]]
JPEG_QUALITY = 80


def colour(hex_code: str) -> Floats:
    """`#rrggbb` as three floats in 0..1."""
    return np.array([int(hex_code[i : i + 2], 16) / 255 for i in (1, 3, 5)], dtype=np.float32)


def smoothstep(low: float, high: float, value: Floats) -> Floats:
    """0 below `low`, 1 above `high`, an S between them."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return (t * t * (3.0 - 2.0 * t)).astype(np.float32)


def through(points: Sequence[Point], steps: int = 14) -> list[Point]:
    """Return a closed Catmull-Rom curve through the points, as a polygon."""
    knots = np.array(points, dtype=np.float64)
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[:, None]
    curve: list[Point] = []
    for i in range(len(knots)):
        a, b, c, d = (knots[(i + k) % len(knots)] for k in (-1, 0, 1, 2))
        xy = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        curve.extend((float(x), float(y)) for x, y in xy)
    return curve


def shifted(field: Floats, rows: int, columns: int) -> Floats:
    """Move the field down and right; what comes in repeats the edge."""
    pad = ((abs(rows), abs(rows)), (abs(columns), abs(columns)))
    height, width = field.shape
    top, left = abs(rows) - rows, abs(columns) - columns
    return np.pad(field, pad, mode="edge")[top : top + height, left : left + width]


class Stencil:
    """Shapes cut into one mask, at twice the canvas's resolution so that their edges are smooth."""

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._image = Image.new("L", (width * 2, height * 2), 0)
        self._draw = ImageDraw.Draw(self._image)

    def poly(self, points: Sequence[Point], ink: int = 255) -> "Stencil":
        """Draw a filled polygon; `ink=0` cuts it out again."""
        self._draw.polygon([(x * 2, y * 2) for x, y in points], fill=ink)
        return self

    def blob(self, points: Sequence[Point], ink: int = 255) -> "Stencil":
        """Draw a filled smooth closed curve through the points."""
        return self.poly(through(points), ink)

    def oval(self, x: float, y: float, rx: float, ry: float, ink: int = 255) -> "Stencil":
        """Draw a filled ellipse around (x, y)."""
        self._draw.ellipse([(x - rx) * 2, (y - ry) * 2, (x + rx) * 2, (y + ry) * 2], fill=ink)
        return self

    def box(self, left: float, top: float, right: float, bottom: float, ink: int = 255) -> "Stencil":
        """Draw a filled rectangle."""
        self._draw.rectangle([left * 2, top * 2, right * 2, bottom * 2], fill=ink)
        return self

    def line(self, points: Sequence[Point], width: float, ink: int = 255) -> "Stencil":
        """Draw a stroke along the points."""
        self._draw.line([(x * 2, y * 2) for x, y in points], fill=ink, width=max(1, round(width * 2)), joint="curve")
        return self

    def mask(self) -> Floats:
        """Return the coverage of each pixel, 0..1."""
        small = self._image.resize(self._size, Image.Resampling.BOX)
        return np.asarray(small, dtype=np.float32) / 255


class Painting:
    """A canvas of (height, width, 3) floats in 0..1, painted from far to near. The seed fixes every brush."""

    def __init__(self, width: int, height: int, seed: int) -> None:
        self.width = width
        self.height = height
        self.rng = np.random.default_rng(seed)
        self.pixels: Floats = np.zeros((height, width, 3), np.float32)
        self.xs: Floats = np.arange(width, dtype=np.float32)[None, :]
        self.ys: Floats = np.arange(height, dtype=np.float32)[:, None]

    # -- masks and textures ------------------------------------------------------------------------------------

    def stencil(self) -> Stencil:
        """Return an empty stencil of the canvas's size."""
        return Stencil(self.width, self.height)

    def cut(self, draw: Callable[[Stencil], Any]) -> Floats:
        """Return the mask of what `draw` cuts."""
        stencil = self.stencil()
        draw(stencil)
        return stencil.mask()

    def noise(self, cell_x: float, cell_y: float, octaves: int = 5) -> Floats:
        """Fractal noise around 0.5, mostly within 0.2..0.8; the coarsest cells are `cell_x` by `cell_y` pixels."""
        total = np.zeros((self.height, self.width), np.float32)
        weight = 0.0
        for octave in range(octaves):
            columns = int(self.width / cell_x * 2**octave) + 2
            rows = int(self.height / cell_y * 2**octave) + 2
            grid = Image.fromarray(self.rng.random((rows, columns), dtype=np.float32))
            total += np.asarray(grid.resize((self.width, self.height), Image.Resampling.BICUBIC)) * 0.55**octave
            weight += 0.55**octave
        return total / weight

    def profile(self, level: float, swing: float, cell: float, octaves: int = 6, rough: float = 0.5) -> Floats:
        """Return a skyline: the y of each column, `level` plus or minus about `swing`; higher `rough` is craggier."""
        line = np.zeros(self.width, np.float32)
        for octave in range(octaves):
            knots = self.rng.uniform(-1, 1, int(self.width / cell * 2**octave) + 4)
            at = np.linspace(1, len(knots) - 3, self.width)
            i = at.astype(int)
            f = at - i
            f = f * f * (3 - 2 * f)
            line += ((knots[i] * (1 - f) + knots[i + 1] * f) * rough**octave).astype(np.float32)
        return (level + swing * line).astype(np.float32)

    def below(self, skyline: Floats, softness: float = 1.0) -> Floats:
        """Return the mask of everything under a skyline."""
        return np.clip((self.ys - skyline[None, :]) / softness + 0.5, 0.0, 1.0).astype(np.float32)

    def band(self, top: float, bottom: float) -> Floats:
        """Return a soft horizontal band: 1 in the middle, 0 at `top` and `bottom`; a column of the canvas's height."""
        middle = (top + bottom) / 2
        return np.clip(1 - np.abs(self.ys - middle) / ((bottom - top) / 2), 0, 1) ** 1.5

    def gradient(self, stops: Stops, along: Floats | None = None) -> Floats:
        """Colours by y (or by `along`, of any shape), blended between the stops."""
        at = self.ys if along is None else along
        places = [place for place, _ in stops]
        shades = np.array([colour(code) for _, code in stops])
        return np.stack([np.interp(at, places, shades[:, i]) for i in range(3)], axis=-1).astype(np.float32)

    def receding(self, horizon: float, cell: float, stretch: float = 4.0) -> Floats:
        """Noise lying on a ground plane under `horizon`, foreshortened towards it; 0.5 above the horizon."""
        size = 256
        knots = self.rng.random((size, size), dtype=np.float32)
        depth = np.maximum(self.ys - horizon, 1.0) / (self.height - horizon)
        u = (self.xs - self.width / 2) / (cell * stretch * (0.08 + depth)) + size / 2
        v = 9.0 / (0.05 + depth) * (12.0 / cell) * 2 + 0 * u
        column, row = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
        across, down = smoothstep(0, 1, (u - column).astype(np.float32)), smoothstep(0, 1, (v - row).astype(np.float32))
        column, row = column % size, row % size
        upper = knots[row, column] * (1 - across) + knots[row, (column + 1) % size] * across
        row = (row + 1) % size
        lower = knots[row, column] * (1 - across) + knots[row, (column + 1) % size] * across
        return np.where(self.ys > horizon, upper * (1 - down) + lower * down, 0.5).astype(np.float32)

    # -- paint -------------------------------------------------------------------------------------------------

    def lay(self, mask: Floats, paint: str | Floats, opacity: float = 1.0) -> None:
        """Cover what the mask shows with a colour, or with colours of the canvas's shape."""
        ink = colour(paint) if isinstance(paint, str) else paint
        amount = (mask * opacity)[..., None]
        self.pixels += (ink - self.pixels) * amount

    def wash(self, stops: Stops) -> None:
        """Cover the whole canvas with a vertical gradient."""
        self.pixels[:] = self.gradient(stops)

    def mosaic(self, tiles: Sequence[tuple[Sequence[Point], Floats]]) -> None:
        """Many flat polygons at once, later ones over earlier ones; each with its own colour."""
        size = (self.width * 2, self.height * 2)
        flat, cover = Image.new("RGB", size), self.stencil()
        draw = ImageDraw.Draw(flat)
        for points, ink in tiles:
            doubled = [(x * 2, y * 2) for x, y in points]
            draw.polygon(doubled, fill=tuple(int(c * 255) for c in np.clip(ink, 0, 1)))
            cover.poly(points)
        small = flat.resize((self.width, self.height), Image.Resampling.BOX)
        self.lay(cover.mask(), np.asarray(small, dtype=np.float32) / 255)

    def rock(self, s: Stencil, left: float, right: float, top: float, foot: float) -> None:
        """Draw a weathered stack: a crag of jittered steps that stands on `foot`."""
        shares = np.array([0, 0.06, 0.13, 0.17, 0.28, 0.36, 0.5, 0.61, 0.7, 0.76, 0.86, 0.92, 1.0])
        rise = np.array([0, 0.45, 0.62, 0.86, 0.93, 1.0, 0.97, 0.88, 0.9, 0.66, 0.55, 0.3, 0])
        rise = rise + self.rng.uniform(-0.06, 0.06, len(rise)) * (rise > 0)
        points = [(left + (right - left) * x, foot - (foot - top) * y) for x, y in zip(shares, rise, strict=True)]
        s.poly([points[0], *[(x + float(self.rng.uniform(-2, 2)), y) for x, y in points[1:-1]], points[-1]])

    def light(self, mask: Floats, tint: str, strength: float = 1.0) -> None:
        """Add light (screen), which never burns out."""
        amount = (mask * strength)[..., None] * colour(tint)
        self.pixels += (1.0 - self.pixels) * np.clip(amount, 0.0, 1.0)

    def glow(self, x: float, y: float, radius: float, tint: str, strength: float = 1.0, squash: float = 1.0) -> None:  # noqa: PLR0913, PLR0917 - a light is its place, size and colour
        """Draw a soft light around (x, y); `squash` above 1 flattens it."""
        away = ((self.xs - x) ** 2 + ((self.ys - y) * squash) ** 2) / radius**2
        self.light(((1.0 + away) ** -1.6).astype(np.float32), tint, strength)

    def mist(self, top: float, bottom: float, tint: str, strength: float, cell: float = 420) -> None:
        """Drifting haze in a horizontal band."""
        texture = smoothstep(0.25, 0.75, self.noise(cell, cell / 5, 4))
        self.lay(self.band(top, bottom) * (0.45 + 0.55 * texture), tint, strength)

    def clouds(self, cover: Floats, shade: str, lit: str, sun: Point, cell: Point = (520.0, 150.0)) -> None:
        """Clouds where `cover` (0..1, canvas-shaped or a column) lets them be, lit from the sun's side."""
        field = self.noise(cell[0], cell[1], 6)
        density = smoothstep(0.0, 0.22, field - (1.0 - cover) * 0.75)
        step = int(cell[1] / 9)
        toward = (-step if sun[1] < self.height / 2 else step, -step if sun[0] < self.width / 2 else step)
        relief = field - shifted(field, -toward[0], -toward[1])
        light = np.clip(0.5 + relief * 4.0, 0, 1)
        near_sun = np.exp(-((self.xs - sun[0]) ** 2 + (self.ys - sun[1]) ** 2) / (0.55 * self.width) ** 2)
        amount = (light * (0.35 + 0.65 * near_sun))[..., None]
        self.lay(density, colour(shade) * (1 - amount) + colour(lit) * amount, 0.9)

    def rim(self, mask: Floats, shift: tuple[int, int], tint: str, strength: float = 1.0) -> None:
        """Draw a thin edge of light on a silhouette, on the side opposite to `shift` (rows, columns)."""
        moved = shifted(mask, *shift)
        self.light(np.clip(mask - moved, 0, 1) * mask, tint, strength)

    def beam(self, x: float, y: float, angle_deg: float, spread_deg: float, tint: str, strength: float) -> None:  # noqa: PLR0913, PLR0917 - a beam is its source, direction and colour
        """Draw a cone of light from (x, y); 0 degrees points right, 90 up."""
        bearing = np.degrees(np.arctan2(y - self.ys, self.xs - x))
        off = np.abs((bearing - angle_deg + 180) % 360 - 180) / spread_deg
        reach = np.hypot(self.xs - x, self.ys - y) / self.width
        self.light((np.clip(1 - off, 0, 1) ** 1.3 / (0.6 + 1.6 * reach)).astype(np.float32), tint, strength)

    # -- finish ------------------------------------------------------------------------------------------------

    def jpeg(self, vignette: float = 0.28, grain: float = 0.007) -> bytes:
        """Return the finished still: vignette, grain (which also dithers the gradients), JPEG."""
        across = (self.xs / self.width - 0.5) ** 2 + (self.ys / self.height - 0.5) ** 2
        shaded = self.pixels * (1.0 - vignette * smoothstep(0.12, 0.62, across))[..., None]
        shaded += self.rng.normal(0.0, grain, (self.height, self.width, 1)).astype(np.float32)
        eight_bit = (np.clip(shaded, 0.0, 1.0) * 255 + self.rng.random(shaded.shape, dtype=np.float32)).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(eight_bit).save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True, progressive=True)
        return buffer.getvalue()
