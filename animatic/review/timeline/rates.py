"""Frame rates as exact fractions, and frames of one rate counted in another. Pure."""

from fractions import Fraction

from animatic.errors import SettingsError

_NTSC = Fraction(1000, 1001)
KNOWN = tuple(
    sorted([*map(Fraction, (8, 10, 12, 15, 16, 24, 25, 30, 48, 50, 60)), *(_NTSC * whole for whole in (24, 30, 60))])
)
"""Rates that clips and cuts have; what is nearly one of them is that one: 23.98 is 24000/1001."""

TIMECODE = tuple(_NTSC * whole if is_ntsc else Fraction(whole) for whole, is_ntsc in (
    (24, True), (24, False), (25, False), (30, True), (30, False), (48, False), (50, False), (60, True), (60, False)
))  # fmt: skip
"""Rates for which there is a timecode."""

_NEARLY = 0.006
LOWEST, HIGHEST = 1.0, 240.0


def rate_of(fps: float) -> Fraction | None:
    """Return the exact rate of so many frames a second; None where no film has such a rate."""
    if not LOWEST <= fps <= HIGHEST:  # also where it is no number
        return None
    nearest = min(KNOWN, key=lambda rate: abs(rate - Fraction(fps)))
    return nearest if abs(float(nearest) - fps) <= _NEARLY else Fraction(fps).limit_denominator(1001)


def require_rate(fps: float) -> Fraction:
    """Return the exact rate of `--fps`. Raises SettingsError."""
    rate = rate_of(fps)
    if rate is None:
        raise SettingsError(f"--fps: found {fps:g}; allowed: {LOWEST:g} to {HIGHEST:g}, such as 23.976, 24, 25 or 30")
    return rate


def shown(rate: Fraction) -> str:
    """Return a rate as people write it: `23.976`."""
    return f"{float(rate):.3f}".rstrip("0").rstrip(".")


def nominal(rate: Fraction) -> int:
    """Return the number of frames that a second of timecode counts: 24 at 23.976."""
    return -(-rate.numerator // rate.denominator)


def whole_frames(frames: int, of: Fraction, at: Fraction) -> int:
    """Return the frames at one rate that lie wholly within so many frames of another; at least one."""
    return max(1, int(Fraction(frames) / of * at))


def frame_at(frame: int, of: Fraction, at: Fraction) -> int:
    """Return the frame at one rate that is seen when a frame of another begins."""
    return int(Fraction(frame) / of * at)
