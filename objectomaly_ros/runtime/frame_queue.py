"""A bounded queue between the cameras and the detector, fair among the cameras."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FrameQueue(Generic[T]):
    """Frames that wait for the detector: one lane per camera, each of `size` frames.

    A full lane drops its oldest frame. Lanes are served in turn, so no camera starves another.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"the queue must hold at least 1 frame, not {size}")
        self._size = size
        self._lanes: dict[str, deque[T]] = {}
        self._turns: deque[str] = deque()  # cameras with frames waiting, next one first
        self._ready = threading.Condition()
        self._closed = False

    def put(self, camera: str, frame: T) -> T | None:
        """Add a frame without waiting; return the frame that was dropped for it, if any.

        A closed queue takes nothing and returns None.
        """
        with self._ready:
            if self._closed:
                return None
            lane = self._lanes.setdefault(camera, deque())
            dropped = lane.popleft() if len(lane) >= self._size else None
            lane.append(frame)
            if camera not in self._turns:
                self._turns.append(camera)
            self._ready.notify()
            return dropped

    def get(self) -> T | None:
        """Wait for the next frame and return it; None once the queue is closed."""
        with self._ready:
            self._ready.wait_for(lambda: self._turns or self._closed)
            if self._closed:
                return None
            camera = self._turns.popleft()
            lane = self._lanes[camera]
            frame = lane.popleft()
            if lane:
                self._turns.append(camera)
            return frame

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
