"""The engine's input and output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from objectomaly_ros.obstacles.stage import Obstacles, ObstacleSettings
from objectomaly_ros.runtime.cadence import CadenceSettings
from objectomaly_ros.runtime.camera_state import Counters
from objectomaly_ros.runtime.mask_propagator import Propagation
from objectomaly_ros.runtime.refiner import Refined
from objectomaly_ros.types import Detection, Image, ScoreMap


@dataclass(frozen=True)
class Settings:
    """Settings that may change while the engine runs.

    Attributes:
        cadence: which frames become keyframes.
        propagation: how masks are used between keyframes, see `MaskPropagator`.
        obstacles: None if no threshold is known; obstacles are not looked for then.
        max_age_s: seconds of image time after which masks no longer refine.
        keep_up: make the detector quicker if frames are dropped for long.
    """

    cadence: CadenceSettings = field(default_factory=CadenceSettings)
    propagation: Propagation = "flow"
    obstacles: ObstacleSettings | None = None
    max_age_s: float = 2.0
    keep_up: bool = True


@dataclass(frozen=True)
class Demand:
    """Which results have subscribers at the moment.

    Attributes:
        score: the refined score, or anything made from it.
        obstacles: the obstacles, or anything made from them.
    """

    score: bool = True
    obstacles: bool = True


class BadImageError(ValueError):
    """An image that cannot be used; the message says why."""


@dataclass(frozen=True, eq=False)
class Frame:
    """An image that arrived.

    Attributes:
        camera: name of the camera, "" for a single one.
        stamp_s: time of the image in seconds.
        received_s: when it arrived, on the engine's clock.
        message: the input of `Sink.decode`.
        score: returns the coarse score that came with the decoded image, (H, W) float32, finite, or
            raises BadImageError; called in the scoring thread. None: the detector scores the image.
    """

    camera: str
    stamp_s: float
    received_s: float
    message: Any
    score: Callable[[Image], ScoreMap] | None = None


@dataclass(frozen=True)
class Timings:
    """Seconds that the stages took for one frame, 0 for those that did not run."""

    queue_wait: float = 0.0
    coarse: float = 0.0
    propagation: float = 0.0
    oasc: float = 0.0
    mbp: float = 0.0


@dataclass(frozen=True, eq=False)
class Result:
    """The results of one frame.

    Attributes:
        frame: the input.
        image: (H, W, 3) uint8 RGB.
        detection: the coarse score, and the road if the detector knows it.
        refined: the best score known, and which masks refined it.
        obstacles: None without demand or without a threshold.
        timings: of the stages.
        mask_generation_s: seconds that the last mask generation took, None before the first.
        adapted: how the detector was made quicker in overload, "" if it was not.
        counters: totals of the camera so far.
    """

    frame: Frame
    image: Image
    detection: Detection
    refined: Refined
    obstacles: Obstacles | None
    timings: Timings
    mask_generation_s: float | None
    adapted: str
    counters: Counters


class Sink(Protocol):
    """Takes the engine's results.

    `decode` and `coarse` are called in the scoring thread, `demand` and `result` in the refinement
    thread, `warn` and `error` in any.
    """

    def decode(self, frame: Frame) -> Image:
        """Decode the message of a frame; raises BadImageError."""

    def demand(self, camera: str) -> Demand:
        """Return which results of a camera have subscribers."""

    def coarse(self, frame: Frame, score: ScoreMap) -> None:
        """Take the coarse score of a frame, as soon as it is known."""

    def result(self, result: Result) -> None:
        """Take all results of a frame; called once for every frame scored."""

    def warn(self, key: str, text: str) -> None:
        """Log a warning; texts of one key are throttled together."""

    def error(self, key: str, text: str) -> None:
        """Log an error; texts of one key are throttled together."""
