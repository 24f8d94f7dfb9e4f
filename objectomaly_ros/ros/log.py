"""The node's log; repeated messages are throttled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from objectomaly_ros.runtime.log_text import Throttle

PERIOD_S = 5.0


class ThrottledLog:
    """Logs each key at most once in five seconds. Safe from any thread."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._throttle = Throttle(PERIOD_S)

    def warn(self, key: str, text: str) -> None:
        """Log a warning."""
        self._log(self._logger.warning, key, text)

    def error(self, key: str, text: str) -> None:
        """Log an error."""
        self._log(self._logger.error, key, text)

    def _log(self, log: Callable[[str], Any], key: str, text: str) -> None:
        admitted = self._throttle.admit(key, text)
        if admitted is not None:
            log(admitted)
