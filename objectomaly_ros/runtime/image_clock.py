"""The image time of one camera, from stamps that may be disordered, stand still or jump back."""

from __future__ import annotations

from enum import Enum

DISORDER_S = 1.0
"""A stamp that is older than the newest one by less is out of order; by more, the clock jumped."""

MOST_LATE = 30
"""So many late frames in a row are a jump, too: the loop of a bag shorter than DISORDER_S."""


class Order(Enum):
    """Place of a frame among the frames before it."""

    NEXT = "next"
    LATE = "late"  # older than a frame before it, by disorder
    JUMP = "jump"  # the clock was set back, or a bag loops


class ImageClock:
    """Orders the frames of one camera by stamp. The only place that judges stamps.

    Attributes:
        newest_s: the newest stamp since the last jump, None before the first frame.
        time_s: image time of the newest frame: its stamp, plus the time between arrivals for as
            long as stamps stand still. So a drive replayed at another speed has the same times.
            Late frames do not move it.
    """

    def __init__(self) -> None:
        self.newest_s: float | None = None
        self.time_s = 0.0
        self._late = 0  # in a row
        self._anchor_s = 0.0  # arrival of the first frame with the newest stamp
        self._offset_s = 0.0  # its image time minus its stamp

    def take(self, stamp_s: float, received_s: float) -> Order:
        """Take stamp and arrival of the next frame."""
        newest = self.newest_s
        if stamp_s == newest:
            self.time_s = stamp_s + self._offset_s + received_s - self._anchor_s
            return Order.NEXT
        order = Order.NEXT
        if newest is not None and stamp_s < newest:
            self._late += 1
            if newest - stamp_s < DISORDER_S and self._late < MOST_LATE:
                return Order.LATE
            order = Order.JUMP
        if newest is None or order is Order.JUMP:
            self.time_s = stamp_s
        else:
            self.time_s = max(self.time_s, stamp_s + self._offset_s)
        self._late = 0
        self.newest_s, self._anchor_s = stamp_s, received_s
        self._offset_s = self.time_s - stamp_s
        return order
