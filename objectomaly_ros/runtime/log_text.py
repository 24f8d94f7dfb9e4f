"""Log text: throttled repetitions, and errors in one line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from objectomaly_ros.files.reading import printable
from objectomaly_ros.runtime.keyframes import MaskGeneratorError

_MAX_TEXT = 2000  # characters
_MAX_KEYS = 100  # in one period; texts of others' making may be in keys


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
            if key not in self._last and len(self._last) >= _MAX_KEYS:
                self._forget(now - self._period_s)
                if len(self._last) >= _MAX_KEYS:
                    return None
            last = self._last.get(key)
            if last is not None and now - last < self._period_s:
                self._held[key] = self._held.get(key, 0) + 1
                return None
            self._last[key] = now
            held = self._held.pop(key, 0)
        return f"{text} ({held} more like this in the meantime)" if held else text

    def _forget(self, before: float) -> None:
        self._last = {key: last for key, last in self._last.items() if last > before}
        self._held = {key: held for key, held in self._held.items() if key in self._last}


def describe(error: BaseException) -> str:
    """Return an exception as one line, with its type unless the message alone suffices."""
    try:
        text = printable(" ".join(str(error).split()))[:_MAX_TEXT]
    except Exception:  # a user's class may fail at that, too
        text = ""
    plain = isinstance(error, (ValueError, FileNotFoundError, ImportError, MaskGeneratorError))
    return text if plain and text else f"{type(error).__name__}: {text}".removesuffix(": ")
