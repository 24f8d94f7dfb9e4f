"""From scores to tracked obstacles, with settings that may change between frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from objectomaly_ros.obstacles.extraction import Region, find_regions, obstacle_mask
from objectomaly_ros.obstacles.roi import polygon_roi, road_roi
from objectomaly_ros.obstacles.tracking import ObstacleTracker, obstacle_ids
from objectomaly_ros.types import Detection, Mask, ScoreMap

MOST_REGIONS = 256
"""Of more obstacles the smallest are left out: so many are noise, and tracking takes too long."""

RoiMode = Literal["none", "road", "polygon"]


@dataclass(frozen=True)
class ObstacleSettings:
    """Settings of thresholding, region of interest and tracking.

    Attributes:
        high, low, min_area: see `obstacle_mask`.
        roi: region of interest: everywhere, the detector's road (everywhere if it knows none), or a
            polygon.
        polygon: its corners x, y as fractions of the image, flat.
        min_iou, max_missed: see `ObstacleTracker`.
    """

    high: float
    low: float | None = None
    min_area: int = 0
    roi: RoiMode = "none"
    polygon: tuple[float, ...] = ()
    min_iou: float = 0.2
    max_missed: int = 5


@dataclass(frozen=True, eq=False)
class Obstacles:
    """The obstacles of one frame.

    Attributes:
        mask: obstacle pixels, (H, W) bool.
        roi: region of interest, (H, W) bool; None for everywhere.
        regions: the obstacles, largest first, at most MOST_REGIONS.
        ids: one stable id per region.
        ages: frames since each one was first seen.
    """

    mask: Mask
    roi: Mask | None
    regions: list[Region]
    ids: list[int]
    ages: list[int]

    def labels(self, obstacle: int = 1) -> npt.NDArray[np.uint8]:
        """Return (H, W) uint8: 0 free, `obstacle`, 255 outside the region of interest."""
        labels = np.zeros(self.mask.shape, np.uint8)
        if self.roi is not None:
            labels[~self.roi] = 255
        labels[self.mask] = obstacle
        return labels


class ObstacleStage:
    """Finds and tracks the obstacles of one camera.

    Args:
        ids: the ids of new obstacles.
    """

    def __init__(self, ids: Iterator[int] | None = None) -> None:
        self._ids = obstacle_ids() if ids is None else ids
        self._tracker: ObstacleTracker | None = None
        self._tracker_settings: tuple[float, int] | None = None
        self._shape: tuple[int, ...] | None = None

    def find(
        self,
        detection: Detection,
        score: ScoreMap,
        time_s: float,
        settings: ObstacleSettings,
        *,
        late: bool = False,
    ) -> Obstacles:
        """Find the obstacles of the next frame.

        Args:
            detection: its road is the region of interest, if `settings` say so.
            score: the best score known, (H, W) float32.
            time_s: time of the image in seconds.
            settings: of this frame.
            late: whether the image is older than the one before it; its obstacles move no track.
        """
        roi = self._roi(detection, settings, (score.shape[0], score.shape[1]))
        mask = obstacle_mask(
            score, settings.high, low=settings.low, min_area=settings.min_area, roi=roi
        )
        regions = find_regions(mask, score, limit=MOST_REGIONS)
        if late:
            tracker = self._tracker or ObstacleTracker(ids=self._ids)
            return Obstacles(mask, roi, regions, *tracker.look_up(regions, time_s))
        tracker = self._tracker_for(settings, score.shape)
        ids = tracker.update(regions, time_s)
        return Obstacles(mask, roi, regions, ids, [tracker.age(track_id) for track_id in ids])

    def reset(self) -> None:
        """Forget the obstacles, after a clock jump or for a new recording; their ids stay used."""
        self._tracker = None

    def _roi(
        self, detection: Detection, settings: ObstacleSettings, shape: tuple[int, int]
    ) -> Mask | None:
        if settings.roi == "polygon":
            return polygon_roi(settings.polygon, shape)
        if settings.roi == "road" and detection.road is not None:
            return road_roi(detection.road)
        return None

    def _tracker_for(self, settings: ObstacleSettings, shape: tuple[int, ...]) -> ObstacleTracker:
        wanted = (settings.min_iou, settings.max_missed)
        if self._tracker is None or self._tracker_settings != wanted or self._shape != shape:
            self._tracker = ObstacleTracker(*wanted, self._ids)
            self._tracker_settings, self._shape = wanted, shape
        return self._tracker
