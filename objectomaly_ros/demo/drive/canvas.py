"""What is drawn on, and what lies between it and the things: air."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from objectomaly_ros.demo.drive.view import Points

Ids: TypeAlias = npt.NDArray[np.uint8]
HAZE = np.array([218, 226, 232.0])
_HAZE_M = 420.0


@dataclass(frozen=True)
class Canvas:
    """What is being drawn: `image` (H, W, 3) uint8 RGB, `ids` (H, W) uint8 of unknown objects."""

    image: npt.NDArray[np.uint8]
    ids: Ids


def haze_share(depth: float) -> float:
    """How much of a thing the air hides, 0..1."""
    return float(1 - np.exp(-max(0.0, depth) / _HAZE_M))


def turn_about_z(heading: float) -> Points:
    """Rotation (3, 3) by `heading` radians about the vertical."""
    c, s = np.cos(heading), np.sin(heading)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
