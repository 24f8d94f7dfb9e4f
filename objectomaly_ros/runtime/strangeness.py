"""Notices that the images of a camera stay unlike all that the detector was trained on."""

from __future__ import annotations

LASTING_S = 10.0
"""After so long it is no passing thing."""

ADVICE = (
    "these images are unlike all that the detector was trained on, expect false obstacles: a "
    "memory of normal driving helps (`objectomaly learn`, or the service ~/learn)"
)


class Strangeness:
    """Watches `Detection.strangeness` of one camera.

    Attributes:
        lasts: every image of the last `LASTING_S` was strange.
    """

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._told = False
        self.lasts = False

    def add(self, strangeness: float | None, now_s: float) -> bool:
        """Take that of the next image; return whether to tell it, which is once."""
        if strangeness is None or strangeness <= 1:
            self._since_s, self.lasts = None, False
            return False
        if self._since_s is None:
            self._since_s = now_s
        self.lasts = now_s - self._since_s >= LASTING_S
        tell = self.lasts and not self._told
        self._told |= tell
        return tell
