"""Says whether a drive is fit to learn from: long enough, and moving."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.types import Image

LEAST_SECONDS = 60.0
LEAST_MOVING = 0.5
"""Share of its seconds in which a drive must move."""

# Of thumbnails a second apart, with contrast 1: on CamVid at most 13 % of the pixels change by more
# than 0.15 while the car waits at a light, and 34 % (5th percentile) while it drives; 20 % on a
# highway.
_SIZE = (64, 48)
_CHANGE, _CHANGED = 0.15, 0.14


class Fitness:
    """Watches the images of a drive."""

    def __init__(self) -> None:
        self._first_s = self._last_s = self._compared_s = 0.0
        self._thumbnail: npt.NDArray[np.float32] | None = None
        self._seconds = self._moving = 0

    def add(self, image: Image, time_s: float) -> None:
        """Take the next image, and its time in seconds."""
        if self._thumbnail is None:
            self._first_s = time_s
        self._last_s = time_s
        if self._thumbnail is None or time_s - self._compared_s >= 1:
            now = _thumbnail(image)
            if self._thumbnail is not None:
                self._seconds += 1
                changed = np.abs(now - self._thumbnail) > _CHANGE
                self._moving += bool(changed.mean() > _CHANGED)
            self._thumbnail, self._compared_s = now, time_s

    def problem(self) -> str | None:
        """Return why the drive is not fit to learn from; None if it is."""
        seconds = self._last_s - self._first_s
        if seconds < LEAST_SECONDS:
            return (
                f"the drive is too short: {seconds:.0f} s, and at least {LEAST_SECONDS:.0f} s are "
                "needed to know what is normal; three minutes are good"
            )
        if self._moving < LEAST_MOVING * self._seconds:
            return (
                f"the drive stands still: the image changes in {self._moving} of {self._seconds} "
                "seconds only, so that one place would be learnt"
            )
        return None


def _thumbnail(image: Image) -> npt.NDArray[np.float32]:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, _SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray((small - small.mean()) / (small.std() + 1), np.float32)
