"""When a frame becomes a keyframe, for which masks are generated."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class CadenceSettings:
    """How often to refine.

    Attributes:
        every_n: every n-th image of the camera is a keyframe; 0 switches this off.
        period_s: seconds of image time between keyframes; above 0 it takes the place of `every_n`.

    With both 0, frames are refined on request only.
    """

    every_n: int = 10
    period_s: float = 0.0


class Cadence:
    """Decides for one camera which frames are keyframes.

    Time is image time (`CameraState.time_s`), not the wall clock: a drive replayed at another speed
    gets the same keyframes. With a rhythm, the first frame is always due.
    """

    def __init__(self, settings: CadenceSettings) -> None:
        self.settings = settings  # may be replaced at any time
        self._last: tuple[int, float] | None = None  # number and time of the last keyframe
        self._requested = threading.Event()

    def request(self) -> None:
        """Make the next frame a keyframe, whatever the rhythm says. Safe from any thread."""
        self._requested.set()

    def due(self, number: int, time_s: float) -> bool:
        """Return whether a frame is a keyframe.

        Args:
            number: of the image since the camera's first, images that were dropped included.
            time_s: its image time in seconds.
        """
        if not (self._requested.is_set() or self._rhythm_says(number, time_s)):
            return False
        self._requested.clear()
        self._last = number, time_s
        return True

    def _rhythm_says(self, number: int, time_s: float) -> bool:
        every_n, period_s = self.settings.every_n, self.settings.period_s
        if every_n <= 0 and period_s <= 0:
            return False
        if self._last is None:
            return True
        if period_s > 0:
            # A tenth of a millisecond for stamps that floating point rounds below the period.
            return time_s - self._last[1] >= period_s - 1e-4
        return number - self._last[0] >= every_n

    def reset(self) -> None:
        """Forget the past, for a new recording or a clock that jumped; a request is kept."""
        self._last = None
