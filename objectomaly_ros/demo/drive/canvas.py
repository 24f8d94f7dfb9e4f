"""The canvas, and the haze between it and what is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Ids: TypeAlias = npt.NDArray[np.uint8]
HAZE = np.array([218, 226, 232.0])
_HAZE_M = 420.0


@dataclass(frozen=True)
class Canvas:
    """The frame so far: `image` (H, W, 3) uint8 RGB, `ids` (H, W) uint8 of unknown objects."""

    image: npt.NDArray[np.uint8]
    ids: Ids


def haze_share(depth: float) -> float:
    """Return how much the air hides at a depth in metres, 0..1."""
    return float(1 - np.exp(-max(0.0, depth) / _HAZE_M))
