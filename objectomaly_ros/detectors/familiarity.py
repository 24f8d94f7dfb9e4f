"""Tells images that are unlike all that a detector was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from objectomaly_ros.detectors.memory.patches import Floats
from objectomaly_ros.types import ScoreMap


@dataclass(frozen=True, eq=False)
class Familiarity:
    """Statistics of training images, from the metadata of a network's weights.

    Attributes:
        alarm_area: share of the image above the threshold that 1 % of the images of the worst
            training set exceed.
        feature_distance: the same of the distance from `feature_mean`.
        feature_mean: mean `direction` of the training images, (C,).
    """

    alarm_area: float
    feature_distance: float
    feature_mean: Floats

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> Familiarity | None:
        """Read the entry `familiar`, which `tools.training.familiar` makes; None without it.

        Raises:
            ValueError: it is damaged.
        """
        if "familiar" not in metadata:
            return None
        try:
            entry = metadata["familiar"]
            area, far = float(entry["alarm_area_p99"]), float(entry["feature_distance_p99"])
            mean = np.array(entry["feature_mean"], np.float32)
            if not (area > 0 and far > 0 and mean.ndim == 1 and np.isfinite(mean).all()):
                raise ValueError("a number is not above 0")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the entry 'familiar' is damaged: {error!r}") from error
        return cls(area, far, mean)

    def strangeness(self, score: ScoreMap, threshold: float, features16: Floats) -> float:
        """Return how far an image is beyond training images; above 1 for 1 % of them at most.

        Args:
            score: (h, w) in [0, 1].
            threshold: of obstacles.
            features16: (C, h, w).
        """
        area = float((score[::2, ::2] > threshold).mean())
        far = float(np.linalg.norm(direction(features16) - self.feature_mean))
        return max(area / self.alarm_area, far / self.feature_distance)


def direction(features16: Floats) -> Floats:
    """Return the mean of features (C, h, w) as a vector of length 1, (C,)."""
    mean = features16.mean((1, 2))
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-6), np.float32)
