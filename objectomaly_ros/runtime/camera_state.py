"""What the engine remembers of one camera."""

from __future__ import annotations

from dataclasses import dataclass, field

from objectomaly_ros.obstacles.stage import ObstacleStage
from objectomaly_ros.runtime.refiner import Refiner
from objectomaly_ros.runtime.statistics import Rate, Rolling


@dataclass
class Counters:
    """Totals of one camera since the engine started; each is written by one thread."""

    received: int = 0
    scored: int = 0
    refined: int = 0
    dropped: int = 0
    rejected: int = 0
    failed: int = 0


@dataclass
class CameraState:
    """Counters, statistics and memory of one camera.

    Attributes:
        refiner: None where nothing is refined.
        cas_latency: seconds from a frame's arrival to its coarse score being handed out.
        latency: seconds from a frame's arrival to everything being handed out.
        detector: seconds in the detector.
        last_stamp_s: of the newest frame, None before the first.
        last_received_s: when the newest frame arrived, on the engine's clock.
    """

    refiner: Refiner | None = None
    obstacles: ObstacleStage = field(default_factory=ObstacleStage)
    counters: Counters = field(default_factory=Counters)
    rate_in: Rate = field(default_factory=Rate)
    rate_out: Rate = field(default_factory=Rate)
    cas_latency: Rolling = field(default_factory=Rolling)
    latency: Rolling = field(default_factory=Rolling)
    detector: Rolling = field(default_factory=Rolling)
    last_stamp_s: float | None = None
    last_received_s: float | None = None

    def clock_went_back(self, stamp_s: float) -> bool:
        """Take the next frame's stamp; if it is older than the last, forget masks and obstacles."""
        back = self.last_stamp_s is not None and stamp_s < self.last_stamp_s
        self.last_stamp_s = stamp_s
        if back:
            self.obstacles.reset()
            if self.refiner is not None:
                self.refiner.reset()
        return back
