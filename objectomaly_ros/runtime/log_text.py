"""Log text: throttled repetitions, and errors in one line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from objectomaly_ros.files.reading import printable
from objectomaly_ros.runtime.keyframes import MaskGeneratorError

_MAX_TEXT = 2000  # characters


class Throttle:
    """Lets one text per key pass in `period_s` seconds, and counts the others."""

    def __init__(self, period_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._period_s = period_s
        self._clock = clock
        self._last: dict[str, float] = {}
        self._held: dict[str, int] = {}
        self._lock = threading.Lock()

    def admit(self, key: str, text: str) -> str | None:
        """Return the text to log now, or None."""
        now = self._clock()
        with self._lock:
            last = self._last.get(key)
            if last is not None and now - last < self._period_s:
                self._held[key] = self._held.get(key, 0) + 1
                return None
            self._last[key] = now
            held = self._held.pop(key, 0)
        return f"{text} ({held} more like this in the meantime)" if held else text


def describe(error: BaseException) -> str:
    """Return an exception as one line, with its type unless the message alone suffices."""
    try:
        text = printable(" ".join(str(error).split()))[:_MAX_TEXT]
    except Exception:  # a user's class may fail at that, too
        text = ""
    plain = isinstance(error, (ValueError, FileNotFoundError, ImportError, MaskGeneratorError))
    return text if plain and text else f"{type(error).__name__}: {text}".removesuffix(": ")
