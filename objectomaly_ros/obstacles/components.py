"""Connected components of a mask."""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.types import Mask


class Components:
    """The 8-connected components of a mask with few pixels.

    Their statistics come from the pixels of the mask alone: on an image of obstacles that takes a
    third of the time of `cv2.connectedComponentsWithStats`.

    Attributes:
        labels: (H, W) int32, 0 outside the mask.
        areas: (N,) pixels of each label; 0 for label 0.
    """

    def __init__(self, mask: Mask) -> None:
        """Label the components of a mask, (H, W) bool."""
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        self.labels = np.asarray(labels, np.int32)
        places = np.flatnonzero(mask)
        self._rows, self._columns = np.divmod(places, mask.shape[1])
        self._owners = self.labels.ravel()[places]
        self.areas = np.bincount(self._owners, minlength=count)

    @cached_property
    def boxes(self) -> npt.NDArray[np.int64]:
        """Bounding boxes x, y, width, height, (N, 4); of no meaning for label 0."""
        low = np.full((2, len(self.areas)), max(self.labels.shape))
        high = np.zeros_like(low)
        for k, places in enumerate((self._columns, self._rows)):
            np.minimum.at(low[k], self._owners, places)
            np.maximum.at(high[k], self._owners, places)
        return np.concatenate([low, high - low + 1]).T

    @cached_property
    def centroids(self) -> npt.NDArray[np.float64]:
        """Centres of gravity x, y, (N, 2); of no meaning for label 0."""
        sums = [
            np.bincount(self._owners, weights=places, minlength=len(self.areas))
            for places in (self._columns, self._rows)
        ]
        return np.stack(sums, axis=1) / np.maximum(self.areas, 1)[:, None]
