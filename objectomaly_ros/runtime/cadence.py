"""Decides which frames become keyframes, for which masks are generated."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class CadenceSettings:
    """How often to generate masks; with both 0, on request only.

    Attributes:
        every_n: every n-th image of the camera is a keyframe; 0 for none.
        period_s: seconds of image time between keyframes; above 0 it replaces `every_n`.
    """

    every_n: int = 10
    period_s: float = 0.0


class Cadence:
    """The cadence of one camera, in image time (`ImageClock.time_s`).

    A drive replayed at another speed gets the same keyframes. The first frame is always one, unless
    `settings` ask for masks on request only.
    """

    def __init__(self, settings: CadenceSettings) -> None:
        self.settings = settings  # may be replaced at any time
        self._last: tuple[int, float] | None = None  # number and time of the last keyframe
        self._requested = threading.Event()

    def request(self) -> None:
        """Make the next frame a keyframe, whatever the settings say. Safe from any thread."""
        self._requested.set()

    def due(self, number: int, time_s: float) -> bool:
        """Return whether a frame is a keyframe.

        Args:
            number: of the image since the camera's first, images that were dropped included.
            time_s: its image time in seconds.
        """
        if not (self._requested.is_set() or self._in_rhythm(number, time_s)):
            return False
        self._requested.clear()
        self._last = number, time_s
        return True

    def _in_rhythm(self, number: int, time_s: float) -> bool:
        every_n, period_s = self.settings.every_n, self.settings.period_s
        if every_n <= 0 and period_s <= 0:
            return False
        if self._last is None:
            return True
        if period_s > 0:
            # Floating point may round a difference of stamps below the period.
            return time_s - self._last[1] >= period_s - 1e-4
        return number - self._last[0] >= every_n

    def reset(self) -> None:
        """Forget the last keyframe, after a clock jump or for a new recording; keep a request."""
        self._last = None
