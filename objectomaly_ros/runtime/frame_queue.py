"""A bounded queue between the cameras and the detector, fair among the cameras, without delay.

A queue that is full for a moment loses nothing. One that stays full only delays every frame: then
the newest frame is served and the others are dropped (controlled delay, after CoDel, RFC 8289).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

INTERVAL_S = 0.5
"""The queue is standing if no frame of so long a time waited briefly; or of the service time of
all frames that fit, if that is longer, so that a burst passes."""

LEAST_WAIT_S = 0.03
"""Frames that wait for less have not waited."""

PAUSE_S = 1.0
"""Overload ends with so long a time, or that of two frames, without a dropped frame."""


class FrameQueue(Generic[T]):
    """Frames that wait for the detector: one lane per camera, each of `size` frames.

    A full lane drops its oldest frame. Lanes are served in turn, so no camera starves another.
    While the queue is standing, a lane's newest frame is served and its others are dropped. It is
    standing if, for INTERVAL_S, every frame waited longer than a frame's service takes, or longer
    than LEAST_WAIT_S while lanes were full; and until `get` finds it empty.

    Args:
        size: frames of a lane.
        dropped: called with the camera of every dropped frame, one call at a time.
        clock: seconds.
    """

    def __init__(
        self,
        size: int,
        dropped: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if size < 1:
            raise ValueError(f"the queue must hold at least 1 frame, not {size}")
        self._size = size
        self._dropped = dropped
        self._clock = clock
        self._lanes: dict[str, deque[tuple[float, T]]] = {}  # with times of arrival
        self._turns: deque[str] = deque()  # cameras with frames waiting, next one first
        self._ready = threading.Condition()
        self._closed = False
        self._standing = False
        self._waits: deque[tuple[float, float]] = deque()  # times of service, seconds waited
        self._full_s = -float("inf")  # when a lane was last full
        self._service_s = 0.0  # rolling mean of the time between two calls of `get`
        self._served_s: float | None = None
        self._drops_s: tuple[float, float] | None = None  # first and last of a chain

    def put(self, camera: str, frame: T) -> None:
        """Add a frame without waiting. A closed queue takes nothing."""
        with self._ready:
            if self._closed:
                return
            now = self._clock()
            lane = self._lanes.setdefault(camera, deque())
            if len(lane) >= self._size:
                self._full_s = now
                self._drop(camera, lane, now)
            lane.append((now, frame))
            if camera not in self._turns:
                self._turns.append(camera)
            self._ready.notify()

    def get(self) -> T | None:
        """Wait for the next frame and return it; None once the queue is closed."""
        with self._ready:
            if self._served_s is not None:
                took = self._clock() - self._served_s
                self._service_s += (took - self._service_s) / (5 if self._service_s else 1)
            idle = not self._turns
            self._ready.wait_for(lambda: self._turns or self._closed)
            if self._closed:
                return None
            now = self._served_s = self._clock()
            camera = self._turns.popleft()
            lane = self._lanes[camera]
            self._watch(0.0 if idle else now - lane[0][0], now)
            while self._standing and len(lane) > 1:
                self._drop(camera, lane, now)
            _, frame = lane.popleft()
            if lane:
                self._turns.append(camera)
            return frame

    def overload_s(self) -> float:
        """Return for how many seconds frames have been dropped, with short pauses; 0 if not now."""
        with self._ready:
            if self._drops_s is None or self._clock() - self._drops_s[1] > self._pause_s():
                return 0.0
            return self._drops_s[1] - self._drops_s[0]

    def close(self) -> None:
        """Drop all waiting frames and wake the reader for good."""
        with self._ready:
            self._closed = True
            self._lanes.clear()
            self._turns.clear()
            self._ready.notify_all()

    def __len__(self) -> int:
        with self._ready:
            return sum(map(len, self._lanes.values()))

    def _watch(self, wait_s: float, now: float) -> None:
        """Note how long the next frame waited, 0 if `get` found the queue empty."""
        interval_s = max(INTERVAL_S, len(self._lanes) * self._size * self._service_s)
        self._waits.append((now, wait_s))
        while self._waits[0][0] < now - interval_s:
            self._waits.popleft()
        shortest_s = min(wait for _, wait in self._waits)
        full = now - self._full_s < interval_s
        if wait_s == 0.0:
            self._standing = False
        elif shortest_s > (LEAST_WAIT_S if full else max(self._service_s, LEAST_WAIT_S)):
            self._standing = True

    def _drop(self, camera: str, lane: deque[tuple[float, T]], now: float) -> None:
        lane.popleft()
        first, last = self._drops_s or (now, now)
        self._drops_s = (first if now - last <= self._pause_s() else now), now
        self._dropped(camera)

    def _pause_s(self) -> float:
        return max(PAUSE_S, 2 * self._service_s)
