"""Connects the engine with the publishers of the cameras."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from objectomaly_ros.ros.camera import Camera
from objectomaly_ros.ros.log import ThrottledLog
from objectomaly_ros.runtime.interface import Demand, Frame, Result
from objectomaly_ros.types import Image, ScoreMap


class Outputs:
    """Publishes the engine's results until it is closed; a `Sink`.

    Args:
        cameras: by name.
        log: takes warnings and errors.
        seen: takes the image of every scored frame.
        problem: returns why the results of a camera may not be acted on, "" if they may.
    """

    def __init__(
        self,
        cameras: Mapping[str, Camera],
        log: ThrottledLog,
        seen: Callable[[Image], None],
        problem: Callable[[str], str],
    ) -> None:
        self._cameras = cameras
        self._log = log
        self._seen = seen
        self._problem = problem
        self._open = True

    def close(self) -> None:
        """Publish nothing more, though the engine may be busy with a last frame."""
        self._open = False

    def decode(self, frame: Frame) -> Image:
        """See `Sink`."""
        return self._cameras[frame.camera].decode(frame)

    def demand(self, camera: str) -> Demand:
        """See `Sink`."""
        nothing = Demand(score=False, obstacles=False)
        return self._cameras[camera].demand() if self._open else nothing

    def coarse(self, frame: Frame, score: ScoreMap) -> None:
        """See `Sink`."""
        if self._open:
            self._cameras[frame.camera].publish_coarse(frame, score)

    def result(self, result: Result) -> None:
        """See `Sink`."""
        if self._open:
            self._seen(result.image)
            camera = result.frame.camera
            self._cameras[camera].publish(result, lambda: self._problem(camera))

    def warn(self, key: str, text: str) -> None:
        """See `Sink`."""
        if self._open:
            self._log.warn(key, text)

    def error(self, key: str, text: str) -> None:
        """See `Sink`."""
        if self._open:
            self._log.error(key, text)
