"""Depth images of a camera, kept until the obstacles of their frame are placed."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from objectomaly_ros.arrays.image_messages import decode_depth

KEPT = 30
"""Depth images that wait for their frame: 1 s at 30 Hz."""

TOLERANCE_S = 0.02
"""Stamps of image and depth that differ by more are not of one moment."""

WAIT_S = 0.05
"""A frame waits so long for a depth image that is on its way."""

SILENCE_S = 1.0
"""Nobody waits for a depth topic that has been silent for longer."""

JUMP_S = 1.0
"""A stamp that goes back by more starts anew: a bag loops, or the clock was set."""

SHAPE_TOLERANCE = 0.03
"""A depth image of another shape is not aligned to the image."""

_S = 1_000_000_000


class DepthInput:
    """Finds the depth image of a frame. One thread takes messages, another asks.

    Args:
        topic: topic of the depth images.
        max_pixels: larger ones are refused.
        warn: takes a throttling key and the text.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        topic: str,
        max_pixels: int,
        warn: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.topic = topic
        self._max_pixels = max_pixels
        self._warn = warn
        self._clock = clock
        self._messages: deque[tuple[int, Any]] = deque(maxlen=KEPT)
        self._arrived = threading.Condition()
        self._last_s: float | None = None
        self._frames = [0, 0]  # without and with depth
        self._refused: str | None = None

    def take(self, message: Any) -> None:
        """Take a depth image."""
        stamp = _nanoseconds(message.header.stamp)
        with self._arrived:
            if self._messages and stamp < self._messages[-1][0] - JUMP_S * _S:
                self._messages.clear()
            self._messages.append((stamp, message))
            self._last_s = self._clock()
            self._arrived.notify_all()

    def clear(self) -> None:
        """Forget all depth images."""
        with self._arrived:
            self._messages.clear()
            self._last_s, self._refused = None, None

    def of(self, stamp: Any, shape: tuple[int, int]) -> npt.NDArray[np.float32] | None:
        """Return the depth of a frame in metres; None without a usable one.

        Args:
            stamp: of the image.
            shape: height and width of the image.
        """
        message = self._find(_nanoseconds(stamp))
        depth = None if message is None else self._decode(message, shape)
        self._frames[depth is not None] += 1
        return depth

    def _find(self, stamp: int) -> Any:
        """Return the depth image nearest in time; wait for one that may be nearer."""
        until = self._clock() + WAIT_S
        with self._arrived:
            while True:
                gap, message = min(
                    ((abs(known - stamp), one) for known, one in self._messages),
                    key=lambda pair: pair[0],
                    default=(_S, None),
                )
                late = any(known >= stamp for known, _ in self._messages)
                left = until - self._clock()
                if gap == 0 or late or left <= 0 or not self._runs():
                    return message if gap <= TOLERANCE_S * _S else None
                self._arrived.wait(left)

    def _runs(self) -> bool:
        return self._last_s is not None and self._clock() - self._last_s <= SILENCE_S

    def _decode(self, message: Any, shape: tuple[int, int]) -> npt.NDArray[np.float32] | None:
        try:
            depth = decode_depth(message, self._max_pixels)
            if abs(depth.shape[1] * shape[0] / (depth.shape[0] * shape[1]) - 1) > SHAPE_TOLERANCE:
                raise ValueError(
                    f"its {depth.shape[1]} x {depth.shape[0]} pixels have another shape than the "
                    f"image's {shape[1]} x {shape[0]}: give depth that is aligned to the image"
                )
        except ValueError as error:
            self._refused = f"depth on {self.topic} is not used: {error}"
            self._warn(f"depth {self.topic}", self._refused)
            return None
        self._refused = None
        return depth

    def problem(self) -> str | None:
        """Why obstacles are placed on the ground plane, not by depth; None if depth arrives."""
        if self._refused is not None:
            return self._refused
        with self._arrived:
            if self._runs():
                return None
        known = "no depth yet" if self._last_s is None else "no more depth"
        return f"{known} on {self.topic}: the ground plane places obstacles"

    def counts(self) -> dict[str, int]:
        """Totals for diagnostics."""
        return {"frames with depth": self._frames[1], "frames without depth": self._frames[0]}


def _nanoseconds(stamp: Any) -> int:
    return int(stamp.sec) * _S + int(stamp.nanosec)
