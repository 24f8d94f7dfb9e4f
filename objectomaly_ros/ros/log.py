"""The node's log, where what repeats is said only now and then."""

from __future__ import annotations

from typing import Any

from objectomaly_ros.runtime.log_text import Throttle

PERIOD_S = 5.0


class ThrottledLog:
    """Warnings and errors with a key each; one key is heard at most every five seconds."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._throttle = Throttle(PERIOD_S)

    def warn(self, key: str, text: str) -> None:
        """Log a warning. Safe from any thread."""
        admitted = self._throttle.admit(key, text)
        if admitted is not None:
            self._logger.warning(admitted)

    def error(self, key: str, text: str) -> None:
        """Log an error. Safe from any thread."""
        admitted = self._throttle.admit(key, text)
        if admitted is not None:
            self._logger.error(admitted)
