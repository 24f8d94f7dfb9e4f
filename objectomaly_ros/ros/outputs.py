"""The engine's surroundings on the node: where frames come from and results go to."""

from __future__ import annotations

from collections.abc import Mapping

from objectomaly_ros.ros.camera import Camera
from objectomaly_ros.ros.log import ThrottledLog
from objectomaly_ros.runtime.interface import Demand, Frame, Result
from objectomaly_ros.types import Image, ScoreMap


class Outputs:
    """Hands the engine's results to the cameras' publishers, until it is closed."""

    def __init__(self, cameras: Mapping[str, Camera], log: ThrottledLog) -> None:
        self._cameras = cameras
        self._log = log
        self._open = True

    def close(self) -> None:
        """Publish nothing from now on; the engine may still be busy with a last frame."""
        self._open = False

    def decode(self, frame: Frame) -> Image:
        """See `Sink`."""
        return self._cameras[frame.camera].decode(frame)

    def demand(self, camera: str) -> Demand:
        """See `Sink`."""
        return (
            self._cameras[camera].demand() if self._open else Demand(score=False, obstacles=False)
        )

    def coarse(self, frame: Frame, score: ScoreMap) -> None:
        """See `Sink`."""
        if self._open:
            self._cameras[frame.camera].publish_coarse(frame, score)

    def result(self, result: Result) -> None:
        """See `Sink`."""
        if self._open:
            self._cameras[result.frame.camera].publish(result)

    def warn(self, key: str, text: str) -> None:
        """See `Sink`."""
        if self._open:
            self._log.warn(key, text)

    def error(self, key: str, text: str) -> None:
        """See `Sink`."""
        if self._open:
            self._log.error(key, text)
