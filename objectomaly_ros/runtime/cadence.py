"""When a frame becomes a keyframe, for which masks are generated."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class CadenceSettings:
    """How often to refine.

    Attributes:
        every_n: every n-th frame is a keyframe; 0 switches this off.
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
        self._frames_since: int | None = None  # None: no keyframe yet
        self._last_s = 0.0
        self._requested = threading.Event()

    def request(self) -> None:
        """Make the next frame a keyframe, whatever the rhythm says. Safe from any thread."""
        self._requested.set()

    def due(self, time_s: float) -> bool:
        """Count one frame with its image time in seconds; return whether it is a keyframe."""
        if self._frames_since is not None:
            self._frames_since += 1
        if not (self._requested.is_set() or self._rhythm_says(time_s)):
            return False
        self._requested.clear()
        self._frames_since = 0
        self._last_s = time_s
        return True

    def _rhythm_says(self, time_s: float) -> bool:
        every_n, period_s = self.settings.every_n, self.settings.period_s
        if every_n <= 0 and period_s <= 0:
            return False
        if self._frames_since is None:
            return True
        if period_s > 0:
            # A tenth of a millisecond for stamps that floating point rounds below the period.
            return time_s - self._last_s >= period_s - 1e-4
        return self._frames_since >= every_n

    def reset(self) -> None:
        """Forget the past, for a new recording or a clock that jumped; a request is kept."""
        self._frames_since = None
