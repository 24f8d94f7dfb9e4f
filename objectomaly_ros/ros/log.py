"""The node's log; repeated messages are throttled."""

from __future__ import annotations

from typing import Any

from objectomaly_ros.files.reading import printable
from objectomaly_ros.runtime.log_text import Throttle

PERIOD_S = 5.0


class ThrottledLog:
    """Logs each key at most once in five seconds. Safe from any thread."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._throttle = Throttle(PERIOD_S)

    def warn(self, key: str, text: str) -> None:
        """Log a warning."""
        if (admitted := self._throttle.admit(key, text)) is not None:
            self._logger.warning(printable(admitted))

    def error(self, key: str, text: str) -> None:
        """Log an error."""
        # rclpy refuses two severities on one line of code.
        if (admitted := self._throttle.admit(key, text)) is not None:
            self._logger.error(printable(admitted))
