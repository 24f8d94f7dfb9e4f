"""Brings 16-bit images to 8 bits by the bits that their camera uses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

DEPTHS = (8, 10, 12, 14, 16)
_FRAMES = 100  # that need fewer bits, before fewer are used
_FEW = 1e-4  # share of pixels above the range that are clipped: defects of the sensor


class BitDepth:
    """Finds how many of 16 bits the images of one camera use.

    Sensors of 10 or 12 bits leave the upper bits at zero. Values above 12 bits with zeros in the
    lowest four are shifted up to the top, and count as 16 bits. More bits are used at once when an
    image needs them, fewer only after many images: dark ones say little.

    Args:
        warn: takes one text, when it is first found that not all bits are used.
    """

    def __init__(self, warn: Callable[[str], None] | None = None) -> None:
        self._warn = warn
        self._bits = DEPTHS[0]
        self._lower = 0  # the most bits that the last images needed
        self._waited = 0

    def to_eight_bits(self, pixels: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
        """Return pixels of any shape with the upper 8 of the bits in use."""
        needed = self._needed(pixels)
        if needed >= self._bits:
            self._bits, self._lower, self._waited = needed, 0, 0
        else:
            self._lower, self._waited = max(self._lower, needed), self._waited + 1
            if self._waited >= _FRAMES:
                self._bits, self._lower, self._waited = self._lower, 0, 0
        if self._bits < DEPTHS[-1] and self._warn is not None:
            self._warn(
                f"of their 16 bits these images use {self._bits} so far; they are brightened as "
                "if the sensor had no more"
            )
            self._warn = None
        upper = np.minimum(pixels >> (self._bits - 8), 255)
        return np.asarray(upper, np.uint8)

    def _needed(self, pixels: npt.NDArray[np.uint16]) -> int:
        used = int(np.bitwise_or.reduce(pixels, axis=None))
        if used >= 1 << 12 and not used & 0b1111:
            return DEPTHS[-1]
        depth = next(depth for depth in DEPTHS if used < 1 << depth)
        if depth > self._bits and np.count_nonzero(pixels >> self._bits) <= _FEW * pixels.size:
            return self._bits
        return depth
