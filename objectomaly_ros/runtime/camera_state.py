"""The engine's state of one camera."""

from __future__ import annotations

from dataclasses import dataclass, field

from objectomaly_ros.obstacles.stage import ObstacleStage
from objectomaly_ros.runtime.image_clock import ImageClock
from objectomaly_ros.runtime.refiner import Refiner
from objectomaly_ros.runtime.statistics import Rate, Rolling
from objectomaly_ros.runtime.strangeness import Strangeness


@dataclass
class Counters:
    """Totals of one camera since the engine started; each is written by one thread.

    Late frames are scored, but older than a frame before them.
    """

    received: int = 0
    scored: int = 0
    refined: int = 0
    dropped: int = 0
    rejected: int = 0
    failed: int = 0
    late: int = 0


@dataclass
class CameraState:
    """Counters, statistics and memory of one camera.

    Attributes:
        refiner: None without a mask generator.
        cas_latency: seconds from a frame's arrival until its coarse score is handed out.
        latency: seconds from a frame's arrival until all its results are handed out.
        detector: seconds that the detector took.
        last_received_s: when the newest frame arrived, on the engine's clock.
        clock: image time of the frames that were decoded.
        strangeness: whether its images are unlike those of the detector's training.
    """

    refiner: Refiner | None = None
    obstacles: ObstacleStage = field(default_factory=ObstacleStage)
    counters: Counters = field(default_factory=Counters)
    rate_in: Rate = field(default_factory=Rate)
    rate_out: Rate = field(default_factory=Rate)
    cas_latency: Rolling = field(default_factory=Rolling)
    latency: Rolling = field(default_factory=Rolling)
    detector: Rolling = field(default_factory=Rolling)
    last_received_s: float | None = None
    clock: ImageClock = field(default_factory=ImageClock)
    strangeness: Strangeness = field(default_factory=Strangeness)

    def reset(self) -> None:
        """Forget masks and obstacles, after a clock jump."""
        self.obstacles.reset()
        if self.refiner is not None:
            self.refiner.reset()
