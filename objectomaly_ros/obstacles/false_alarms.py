"""False obstacles over the threshold, counted on a drive without any obstacle."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from objectomaly_ros.arrays.log_odds import log_odds
from objectomaly_ros.obstacles.extraction import find_regions, obstacle_mask
from objectomaly_ros.obstacles.roi import road_roi
from objectomaly_ros.obstacles.tracking import ObstacleTracker
from objectomaly_ros.types import Detection

MIN_AREA = 50
"""Default of the node's `min_area`."""

_STEPS = 24
_MOST_REGIONS = 64
_MANY = 30


class FalseAlarms:
    """Counts the obstacles that the node would report on normal frames, for several thresholds.

    As in the node, an obstacle stands on the road, has at least `MIN_AREA` pixels, and counts once
    for as long as it is tracked.

    Attributes:
        thresholds: (N,) ascending.
        counts: (N,) false obstacles at each of them.
    """

    def __init__(self, highest: npt.ArrayLike) -> None:
        """Choose the thresholds by the highest score of each of some frames of the drive."""
        tops = np.asarray(highest, np.float64)
        self._bounded = bool(tops.min() >= 0 and tops.max() <= 1)
        levels = log_odds(tops) if self._bounded else tops
        low, middle, high = np.quantile(levels, (0.05, 0.5, 1.0))
        # Other frames may reach higher.
        self._levels = np.linspace(low, high + 0.25 * (high - middle) + 1e-3, _STEPS)
        self.thresholds = self._score(self._levels)
        self.counts = np.zeros(_STEPS, np.int64)
        self._trackers = [ObstacleTracker() for _ in self.thresholds]

    def add(self, found: Detection, time_s: float) -> None:
        """Count the obstacles of the next frame of the drive."""
        score, highest = found.score, float(found.score.max())
        roi = road_roi(found.road) if found.road is not None else None
        for index, threshold in enumerate(self.thresholds):
            regions = []
            if highest > threshold:
                mask = obstacle_mask(score, float(threshold), min_area=MIN_AREA, roi=roi)
                regions = find_regions(mask, score, limit=_MOST_REGIONS)
            ids = self._trackers[index].update(regions, time_s)
            self.counts[index] = max([self.counts[index], *ids])

    def threshold_for(self, allowed: float) -> float:
        """Return the threshold with at most `allowed` false obstacles on a drive as long as this.

        The counts of rare events fall about exponentially. If the drive is too short to show the
        wanted number (below 1), the fall from the last `_MANY` obstacles to the last one is
        continued, at most to half an obstacle: no drive shows more than that.
        """
        allowed = max(allowed, 0.5)
        too_many = np.flatnonzero(self.counts > allowed)
        if not len(too_many):
            return float(self.thresholds[0])
        last = too_many[-1]
        level = self._levels[last]
        step = self._levels[1] - self._levels[0]
        if allowed < 1:
            many = np.flatnonzero(self.counts >= min(_MANY, self.counts.max()))[-1]
            fall = np.log(self.counts[many] / self.counts[last])
            scale = (level - self._levels[many]) / fall if fall > 0 else step
            level += scale * np.log(self.counts[last] / allowed)
        return float(self._score(level + step))

    def _score(self, level: npt.ArrayLike) -> npt.NDArray[np.float64]:
        levels = np.asarray(level, np.float64)
        return 1 / (1 + np.exp(-levels)) if self._bounded else levels
