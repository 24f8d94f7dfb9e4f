"""Rolling percentiles and rates for diagnostics, in bounded memory."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Percentiles:
    """Median and 95th percentile of the recent samples, NaN without any."""

    p50: float
    p95: float


class Rolling:
    """The last `size` samples of one quantity."""

    def __init__(self, size: int = 512) -> None:
        self._samples: deque[float] = deque(maxlen=size)
        self._lock = threading.Lock()

    def add(self, value: float) -> None:
        """Add one sample. Safe from any thread."""
        with self._lock:
            self._samples.append(value)

    def percentiles(self) -> Percentiles:
        """Return p50 and p95 of the samples."""
        with self._lock:
            samples = list(self._samples)
        if not samples:
            return Percentiles(float("nan"), float("nan"))
        p50, p95 = np.percentile(samples, [50, 95])
        return Percentiles(float(p50), float(p95))

    def exceeded_by(self, value: float, least: float, factor: float) -> bool:
        """Return whether `value` is above `least` and above `factor` times the p95."""
        if value <= least:
            return False
        p95 = self.percentiles().p95
        return math.isnan(p95) or value > factor * p95


class Rate:
    """Events per second over the last `window_s` seconds, or since the start if that is shorter."""

    def __init__(self, window_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_s = window_s
        self._clock = clock
        self._started = clock()
        self._events: deque[float] = deque()
        self._lock = threading.Lock()

    def add(self) -> None:
        """Count one event now. Safe from any thread."""
        with self._lock:
            self._events.append(self._clock())
            self._forget()

    def per_second(self) -> float:
        """Return the rate in hertz."""
        with self._lock:
            self._forget()
            seen_s = min(self._window_s, self._clock() - self._started)
            return len(self._events) / seen_s if seen_s > 0 else 0.0

    def _forget(self) -> None:
        oldest = self._clock() - self._window_s
        while self._events and self._events[0] <= oldest:
            self._events.popleft()
