"""What masks remember of the frames before: their score's sums, carried from frame to frame.

A mask that follows its object sees it again in every frame, each time with other noise: a mean over
some frames is steadier than that of one. Only sums belong to the masks and move with them; no score
map is ever moved.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from objectomaly_ros.video.incidence import CellSums

_F64 = npt.NDArray[np.float64]


class MaskMemory:
    """The sums of one keyframe's masks over the frames they were used on, the older the fainter.

    A frame t seconds before the current one counts exp(-t / memory_s) of it.

    Args:
        memory_s: `OascRule.memory_s`; 0 remembers nothing.
    """

    def __init__(self, memory_s: float) -> None:
        self.memory_s = memory_s
        self._total: CellSums | None = None
        self._age_s = 0.0

    def joined(self, now: CellSums, age_s: float) -> CellSums:
        """Take the sums of the next frame and return them joined with those before.

        Args:
            now: of the current frame.
            age_s: seconds from the keyframe to it.
        """
        if self.memory_s == 0:
            return now
        total = now
        if self._total is not None:
            since = max(0.0, age_s - self._age_s)
            total = now.plus(self._total, math.exp(-since / self.memory_s))
        self._total, self._age_s = total, age_s
        return total
