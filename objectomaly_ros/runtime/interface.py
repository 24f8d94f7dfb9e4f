"""What goes into the engine and what comes out of it."""

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
    """What may change while the engine runs.

    Attributes:
        cadence: which frames become keyframes.
        propagation: what masks do between keyframes.
        obstacles: what counts as an obstacle; None where no threshold is known.
        max_age_s: seconds of image time after which masks no longer refine.
    """

    cadence: CadenceSettings = field(default_factory=CadenceSettings)
    propagation: Propagation = "flow"
    obstacles: ObstacleSettings | None = None
    max_age_s: float = 2.0


@dataclass(frozen=True)
class Demand:
    """What somebody listens to at the moment.

    Attributes:
        score: the refined score, or anything that is made from it.
        obstacles: the obstacles, or anything that is made from them.
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
        message: what `Sink.decode` makes the image of.
        score: makes the coarse score that came with the image, (H, W) float32, in the engine's
            thread, or raises BadImageError; None where the detector is to be asked.
    """

    camera: str
    stamp_s: float
    received_s: float
    message: Any
    score: Callable[[], ScoreMap] | None = None


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
    """Everything known of one frame.

    Attributes:
        frame: that it is of.
        image: (H, W, 3) uint8 RGB.
        detection: the coarse stage's answer.
        refined: the best score known, and the masks that refined it, if any.
        obstacles: the obstacles, None if nobody asked or no threshold is known.
        timings: of the stages.
        mask_generation_s: seconds that the last mask generation took, None before the first.
        counters: totals of the camera, this frame included.
    """

    frame: Frame
    image: Image
    detection: Detection
    refined: Refined
    obstacles: Obstacles | None
    timings: Timings
    mask_generation_s: float | None
    counters: Counters


class Sink(Protocol):
    """The engine's surroundings; all is called from its CAS thread, but for `warn` and `error`."""

    def decode(self, frame: Frame) -> Image:
        """Make the image of a frame's message; raises BadImageError."""

    def demand(self, camera: str) -> Demand:
        """Say what somebody listens to."""

    def coarse(self, frame: Frame, score: ScoreMap) -> None:
        """Take the coarse score of a frame, as soon as it is known."""

    def result(self, result: Result) -> None:
        """Take everything that is known of a frame; called once for every frame scored."""

    def warn(self, key: str, text: str) -> None:
        """Log something wrong; `key` names what may repeat."""

    def error(self, key: str, text: str) -> None:
        """Log something that keeps the engine from its task; `key` names what may repeat."""
