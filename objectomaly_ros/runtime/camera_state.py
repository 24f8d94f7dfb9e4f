"""The engine's state of one camera."""

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
        refiner: None without a mask generator.
        cas_latency: seconds from a frame's arrival until its coarse score is handed out.
        latency: seconds from a frame's arrival until all its results are handed out.
        detector: seconds that the detector took.
        last_received_s: when the newest frame arrived, on the engine's clock.
        last_stamp_s: stamp of the newest frame that was decoded, None before the first.
        time_s: image time of that frame: its stamp, plus the time between arrivals for as long as
            stamps stand still. So a drive replayed at another speed has the same times.
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
    last_stamp_s: float | None = None
    time_s: float = 0.0
    _anchor_s: float = 0.0  # arrival of the first frame with the newest stamp
    _offset_s: float = 0.0  # its image time minus its stamp

    def advance(self, stamp_s: float, received_s: float) -> bool:
        """Take the times of the next frame; return whether its stamp went back.

        Masks and obstacles are forgotten then.
        """
        last = self.last_stamp_s
        if stamp_s == last:
            self.time_s = stamp_s + self._offset_s + received_s - self._anchor_s
            return False
        went_back = last is not None and stamp_s < last
        if last is None or went_back:
            self.time_s = stamp_s
        else:
            self.time_s = max(self.time_s, stamp_s + self._offset_s)
        self.last_stamp_s, self._anchor_s = stamp_s, received_s
        self._offset_s = self.time_s - stamp_s
        if went_back:
            self.obstacles.reset()
            if self.refiner is not None:
                self.refiner.reset()
        return went_back
